import Engine
import Weights

/// The shapes of `POST /v1/completions`: one document, or chunks of the same shape.
struct CompletionReply: Sendable {
    let id = Identifier.make("cmpl-")
    let created: Int  // seconds since 1970
    let model: String

    func document(_ choices: [JSONValue], usage: Usage) -> JSONValue { .object(frame(choices, usage: usage.json)) }

    func choice(_ index: Int, _ text: String, logprobs: JSONValue = .null, finish: FinishReason? = nil) -> JSONValue {
        .object([
            "text": .string(text), "index": .int(index), "logprobs": logprobs, "finish_reason": .text(finish?.rawValue),
        ])
    }

    func chunk(_ choice: JSONValue) -> JSONValue { .object(frame([choice], usage: .null)) }

    func usageChunk(_ usage: Usage) -> JSONValue { .object(frame([], usage: usage.json)) }

    private func frame(_ choices: [JSONValue], usage: JSONValue) -> JSONObject {
        [
            "id": .string(id), "object": .string("text_completion"), "created": .int(created), "model": .string(model),
            "choices": .array(choices), "usage": usage,
        ]
    }
}
