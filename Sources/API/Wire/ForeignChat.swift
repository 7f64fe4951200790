import Weights

/// A conversation that another protocol describes, as the chat that it is.
enum ForeignChat {
    /// - Parameters:
    ///   - copied: fields that mean the same here under the same name.
    ///   - tokens: names under which the length of the answer may stand.
    static func request(
        _ fields: Fields, copied: [String], tokens: [String], stop: String? = nil, messages: [JSONValue], temperature: Double? = nil
    ) throws(APIError) -> ChatRequest {
        var chat = JSONObject()
        for name in copied { if let value = fields[name] { chat[name] = value } }
        if let length = tokens.lazy.compactMap({ fields[$0] }).first { chat["max_tokens"] = length }
        if let stop, let strings = fields[stop] { chat["stop"] = strings }
        if chat["temperature"] == nil, let temperature { chat["temperature"] = .float(temperature) }
        chat["messages"] = .array(messages)
        return try ChatRequest(Fields(chat))
    }

    static func message(_ role: String, _ content: JSONValue) -> JSONValue { .object(["role": .string(role), "content": content]) }
}

/// `POST /v1/messages`: the Anthropic form.
package struct MessagesBody: EndpointBody {
    let chat: ChatRequest

    package init(_ fields: Fields) throws(APIError) {
        _ = try fields.number("temperature", in: 0...1)
        _ = try fields.list("stop_sequences", upTo: RequestLimits.stopStrings)
        if fields["tools"] != nil { throw .unsupported("tools", "belongs to chat completions") }
        let messages = try fields.required("messages", try fields.list("messages", upTo: RequestLimits.messages - 1))
        let system = fields["system"].map { [ForeignChat.message("system", $0)] } ?? []
        chat = try ForeignChat.request(
            fields, copied: ["model", "temperature", "top_p", "top_k", "stream", "seed"], tokens: ["max_tokens"],
            stop: "stop_sequences", messages: messages.isEmpty ? [] : system + messages, temperature: 1)
    }
}

/// `POST /v1/responses`: a text, several, or messages.
package struct ResponsesBody: EndpointBody {
    let chat: ChatRequest

    package init(_ fields: Fields) throws(APIError) {
        if let tools = try fields.list("tools", upTo: RequestLimits.tools), !tools.isEmpty {
            throw .unsupported("tools", "belongs to chat completions")
        }
        for name in ["previous_response_id", "conversation", "prompt"] where fields[name] != nil {
            throw .unsupported(name, "this server keeps no conversations (send the messages)")
        }
        if let format = try fields.fields("text")?.fields("format"), try format.string("type") ?? "text" != "text" {
            throw .unsupported("text.format", "only 'text' is supported")
        }
        if try fields.flag("background") == true { throw .unsupported("background", "answers are not kept") }
        var messages: [JSONValue] = []
        if let instructions = try fields.string("instructions") { messages.append(ForeignChat.message("system", .string(instructions))) }
        messages += try Self.input(fields)
        chat = try ForeignChat.request(
            fields, copied: ["model", "temperature", "top_p", "stream", "seed", "chat_template_kwargs"],
            tokens: ["max_output_tokens", "max_tokens"], messages: messages)
    }

    private static func input(_ fields: Fields) throws(APIError) -> [JSONValue] {
        let place = fields.name("input")
        switch fields["input"] {
        case nil: throw .refused(place, "is missing")
        case .string(let text)?: return [ForeignChat.message("user", .string(text))]
        case .array(let items)?:
            guard !items.isEmpty else { throw .refused(place, "is empty") }
            guard items.count <= RequestLimits.messages - 1 else { throw .refused(place, "\(items.count) elements are too many") }
            var messages: [JSONValue] = []
            for (index, item) in items.enumerated() {
                switch item {
                case .string(let text): messages.append(ForeignChat.message("user", .string(text)))
                case .object(let object): messages.append(try message(Fields(object, in: "\(place)[\(index)].")))
                default: throw .refused("\(place)[\(index)]", "must be a string or an object, not \(item.kind)")
                }
            }
            return messages
        case let other?: throw fields.mistyped("input", "a string or a list", other)
        }
    }

    private static func message(_ item: Fields) throws(APIError) -> JSONValue {
        let type = try item.string("type") ?? "message"
        guard type == "message" else { throw .unsupported(item.name("type"), "'\(APIError.echo(type))' is not supported (message is)") }
        let role = try item.required("role", try item.string("role"))
        guard case .array(let parts)? = item["content"] else {
            return ForeignChat.message(role, .string(try item.required("content", try item.string("content"))))
        }
        var texts: [String] = []
        for (index, part) in parts.enumerated() {
            guard case .object(let object) = part else { throw item.mistyped("content[\(index)]", "an object", part) }
            let part = Fields(object, in: item.name("content[\(index)]."))
            let type = try part.required("type", try part.string("type"))
            guard ["input_text", "output_text", "text"].contains(type) else {
                throw .unsupported(part.name("type"), "'\(APIError.echo(type))' is not supported (this model reads text)")
            }
            texts.append(try part.required("text", try part.string("text")))
        }
        return ForeignChat.message(role, .string(texts.joined(separator: "\n")))
    }
}
