import Engine
import Text
import Weights

/// From a request to token ids. Renders and tokenizes, so it belongs on a ``Worker``.
enum Prompt {
    /// A conversation through the model's own template.
    ///
    /// What users wrote is tokenized as plain text: a control token in it stays text.
    static func chat(_ request: ChatRequest, for model: ServedModel) throws -> [Int32] {
        guard let template = model.template else {
            throw APIError.unsupported(
                "messages", "the model '\(APIError.echo(model.id))' has no chat template (use /v1/completions)")
        }
        var arguments = request.templateArguments
        if !request.tools.isEmpty { arguments["tools"] = .array(request.tools) }
        return try chat(request.messages, template, arguments, for: model)
    }

    /// - Parameter arguments: what the template is given besides the messages.
    static func chat(
        _ messages: [JSONValue], _ template: ChatTemplate, _ arguments: JSONObject = [:], for model: ServedModel
    ) throws -> [Int32] {
        var context = arguments
        context["messages"] = .array(renamed(messages, for: template))
        context["add_generation_prompt"] = .bool(true)
        context["bos_token"] = .string(text(of: model.tokenizer.bos, in: model.tokenizer))
        context["eos_token"] = .string(text(of: model.tokenizer.eos, in: model.tokenizer))
        return model.tokenizer.encode(segments: try template.render(context))
    }

    /// Templates that do not know the role `developer` get such messages as `system`, which is what it was called before.
    private static func renamed(_ messages: [JSONValue], for template: ChatTemplate) -> [JSONValue] {
        if template.source.contains("developer") { return messages }
        return messages.map { message in
            guard case .object(var object) = message, object["role"] == .string("developer") else { return message }
            object["role"] = .string("system")
            return .object(object)
        }
    }

    /// Text as it stands, with the tokens that the model wants at its beginning.
    static func text(_ prompt: CompletionRequest.Prompt, for model: ServedModel) -> [Int32] {
        switch prompt {
        case .text(let text): model.tokenizer.encode(segments: [TextSegment(text: text, isUserText: false)])
        case .tokens(let ids): ids
        }
    }

    static func echo(_ prompt: CompletionRequest.Prompt, for model: ServedModel) -> String {
        switch prompt {
        case .text(let text): text
        case .tokens(let ids): String(decoding: model.tokenizer.decode(ids, special: true), as: UTF8.self)
        }
    }

    private static func text(of id: Int32?, in tokenizer: Tokenizer) -> String {
        id.map { String(decoding: tokenizer.bytes(of: $0, special: true), as: UTF8.self) } ?? ""
    }
}
