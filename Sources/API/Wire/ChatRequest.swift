import Weights

/// `POST /v1/chat/completions`: a conversation to continue.
package struct ChatRequest: EndpointBody {
    let generation: GenerationFields
    let messages: [JSONValue]  // as the template gets them
    let tools: [JSONValue]
    let templateArguments: JSONObject
    let topLogprobs: Int?  // nil: no log-probabilities wanted

    package init(_ fields: Fields) throws(APIError) {
        generation = try GenerationFields(fields)
        guard generation.maximumTokens != 0 else { throw .refused("max_tokens", "0 is outside 1 to \(Int32.max)") }
        messages = try Self.messages(fields)
        tools = try Self.tools(fields)
        templateArguments = try Self.templateArguments(fields)
        try Self.refuseUnhonoured(fields)
        let wanted = try fields.flag("logprobs") ?? false
        let top = try fields.integer("top_logprobs", in: 0...RequestLimits.topLogprobs)
        if top != nil, !wanted { throw .refused("top_logprobs", "needs logprobs to be true") }
        topLogprobs = wanted ? top ?? 0 : nil
    }

    private static func refuseUnhonoured(_ fields: Fields) throws(APIError) {
        if let format = try fields.fields("response_format") {
            let type = try format.required("type", try format.string("type"))
            guard type == "text" else {
                throw .unsupported("response_format", "type '\(APIError.echo(type))' is not supported (only 'text' is)")
            }
        }
        if let modalities = try fields.list("modalities", upTo: 8), modalities.contains(where: { $0 != .string("text") }) {
            throw .unsupported("modalities", "only 'text' is supported")
        }
    }

    /// Tools are for the template to show to the model. A choice that the model would have to be forced to is refused.
    private static func tools(_ fields: Fields) throws(APIError) -> [JSONValue] {
        let tools = try fields.list("tools", upTo: RequestLimits.tools) ?? []
        for (index, tool) in tools.enumerated() {
            guard case .object = tool else { throw .refused("tools[\(index)]", "must be an object, not \(tool.kind)") }
        }
        switch fields["tool_choice"] {
        case nil, .string("auto")?: return tools
        case .string("none")?: return []
        case .string(let choice)?:
            throw .unsupported("tool_choice", "'\(APIError.echo(choice))' is not supported ('auto' and 'none' are)")
        case .object?: throw .unsupported("tool_choice", "a named tool is not supported ('auto' and 'none' are)")
        case let other?: throw fields.mistyped("tool_choice", "a string or an object", other)
        }
    }

    /// Switches that templates know. Others would reach into a template's own variables.
    private static func templateArguments(_ fields: Fields) throws(APIError) -> JSONObject {
        var arguments = JSONObject()
        guard let given = try fields.fields("chat_template_kwargs") else { return arguments }
        for member in given.object.members {
            guard ["enable_thinking", "thinking"].contains(member.key) else {
                throw .unsupported("chat_template_kwargs", "'\(APIError.echo(member.key))' is not supported (enable_thinking and thinking are)")
            }
            if let flag = try given.flag(member.key) { arguments[member.key] = .bool(flag) }
        }
        return arguments
    }

    private static func messages(_ fields: Fields) throws(APIError) -> [JSONValue] {
        let list = try fields.required("messages", try fields.list("messages", upTo: RequestLimits.messages))
        guard !list.isEmpty else {
            throw APIError(
                400, "invalid-request", type: "invalid_request_error", parameter: "messages", alternativeCode: "invalid_input",
                "messages: is empty")
        }
        var messages: [JSONValue] = []
        messages.reserveCapacity(list.count)
        for (index, value) in list.enumerated() {
            guard case .object(let object) = value else {
                throw .refused("messages[\(index)]", "must be an object, not \(value.kind)")
            }
            messages.append(.object(try message(Fields(object, in: "messages[\(index)]."))))
        }
        return messages
    }

    /// One message as templates expect it: content is a string, arguments of tool calls are objects.
    private static func message(_ fields: Fields) throws(APIError) -> JSONObject {
        let role = try fields.required("role", try fields.string("role"))
        var message: JSONObject = ["role": .string(role)]
        let content = try content(fields)
        if content == nil, role != "assistant" { throw .refused(fields.name("content"), "is missing") }
        message["content"] = .string(content ?? "")
        for key in ["name", "tool_call_id", "reasoning_content"] {
            if let text = try fields.string(key) { message[key] = .string(text) }
        }
        if let calls = try fields.list("tool_calls", upTo: RequestLimits.tools), !calls.isEmpty {
            var list: [JSONValue] = []
            for (index, call) in calls.enumerated() {
                let place = "\(fields.name("tool_calls"))[\(index)]"
                guard case .object(let object) = call else { throw .refused(place, "must be an object, not \(call.kind)") }
                list.append(.object(try toolCall(Fields(object, in: place + "."))))
            }
            message["tool_calls"] = .array(list)
        }
        return message
    }

    private static func toolCall(_ fields: Fields) throws(APIError) -> JSONObject {
        let function = try fields.required("function", try fields.fields("function"))
        var call: JSONObject = ["type": .string("function")]
        if let id = try fields.string("id") { call["id"] = .string(id) }
        var arguments = function["arguments"] ?? .object([:])
        if case .string(let text) = arguments, let parsed = try? JSONValue.parse(Array(text.utf8), maximumDepth: RequestLimits.jsonDepth),
            case .object = parsed
        {
            arguments = parsed
        }
        call["function"] = .object([
            "name": .string(try function.required("name", try function.string("name"))), "arguments": arguments,
        ])
        return call
    }

    /// A string, or the texts of a list of parts joined by line breaks.
    private static func content(_ fields: Fields) throws(APIError) -> String? {
        switch fields["content"] {
        case nil: return nil
        case .string(let text)?: return text
        case .array(let parts)?:
            var texts: [String] = []
            for (index, part) in parts.enumerated() {
                let place = "\(fields.name("content"))[\(index)]"
                guard case .object(let object) = part else { throw .refused(place, "must be an object, not \(part.kind)") }
                let part = Fields(object, in: place + ".")
                let type = try part.required("type", try part.string("type"))
                guard type == "text" else {
                    throw .unsupported(part.name("type"), "'\(APIError.echo(type))' is not supported (this model reads text)")
                }
                texts.append(try part.required("text", try part.string("text")))
            }
            return texts.joined(separator: "\n")
        case let other?: throw fields.mistyped("content", "a string or a list of parts", other)
        }
    }
}
