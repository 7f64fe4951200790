import Weights

/// `POST /v1/completions`: text to continue as it stands, without a chat template.
package struct CompletionRequest: EndpointBody {
    /// What to continue: text, or token ids that the client made itself.
    enum Prompt: Sendable, Equatable {
        case text(String)
        case tokens([Int32])
    }

    let generation: GenerationFields
    let prompts: [Prompt]
    let suffix: String  // stands after the answer
    let echoes: Bool  // the answer begins with the prompt
    let topLogprobs: Int?

    package init(_ fields: Fields) throws(APIError) {
        generation = try GenerationFields(fields)
        prompts = try Self.prompts(fields)
        suffix = try fields.string("suffix") ?? ""
        echoes = try fields.flag("echo") ?? false
        topLogprobs = try fields.integer("logprobs", in: 0...RequestLimits.topLogprobs)
        if echoes, topLogprobs != nil { throw .unsupported("logprobs", "log-probabilities of an echoed prompt are not supported") }
        guard generation.maximumTokens != 0 || echoes else { throw .refused("max_tokens", "0 is outside 1 to \(Int32.max)") }
        if let best = try fields.integer("best_of", in: 1...20), best > generation.choices {
            throw .unsupported("best_of", "must not be above n (\(generation.choices))")
        }
        guard prompts.count * generation.choices <= RequestLimits.prompts else {
            throw .refused("prompt", "\(prompts.count) prompts × n \(generation.choices) is above \(RequestLimits.prompts)")
        }
        if fields["response_format"] != nil { throw .unsupported("response_format", "belongs to chat completions") }
        if fields["tools"] != nil { throw .unsupported("tools", "belongs to chat completions") }
    }

    private static func prompts(_ fields: Fields) throws(APIError) -> [Prompt] {
        let expected = "a string, a list of strings, or token ids"
        switch fields["prompt"] {
        case nil: throw .refused("prompt", "is missing")
        case .string(let text)?: return [.text(text)]
        case .array(let values)?:
            guard let first = values.first else {
                throw APIError(
                    400, "invalid-request", type: "invalid_request_error", parameter: "prompt", alternativeCode: "invalid_input",
                    "prompt: is empty")
            }
            if case .int = first { return [.tokens(try tokens(values, fields))] }
            guard values.count <= RequestLimits.prompts else {
                throw .refused("prompt", "\(values.count) prompts, \(RequestLimits.prompts) are allowed")
            }
            var prompts: [Prompt] = []
            for value in values {
                switch value {
                case .string(let text): prompts.append(.text(text))
                case .array(let ids): prompts.append(.tokens(try tokens(ids, fields)))
                default: throw fields.mistyped("prompt", expected, value)
                }
            }
            return prompts
        case let other?: throw fields.mistyped("prompt", expected, other)
        }
    }

    private static func tokens(_ values: [JSONValue], _ fields: Fields) throws(APIError) -> [Int32] {
        var ids: [Int32] = []
        ids.reserveCapacity(values.count)
        for value in values {
            guard case .int(let number) = value, let id = Int32(exactly: number), id >= 0 else {
                throw fields.mistyped("prompt", "token ids", value)
            }
            ids.append(id)
        }
        return ids
    }
}
