import Engine
import Weights

/// The shapes of `POST /v1/chat/completions`: one document, or the chunks of a stream.
struct ChatReply: Sendable {
    let id = Identifier.make("chatcmpl-")
    let created: Int  // seconds since 1970
    let model: String
    let hasLogprobs: Bool

    func document(_ answers: [Answers.Whole], usage: Usage) -> JSONValue {
        let choices = answers.enumerated().map { index, answer in
            JSONValue.object([
                "index": .int(index),
                "message": .object(["role": .string("assistant"), "content": .string(answer.text), "tool_calls": .null]),
                "logprobs": hasLogprobs ? ChatLogprobs.json(answer.tokens) : .null,
                "finish_reason": .string(answer.reason.rawValue),
            ])
        }
        return .object(frame("chat.completion", choices, usage: usage.json))
    }

    func roleChunk(_ index: Int) -> JSONValue { chunk(index, role: "assistant", content: "") }

    func textChunk(_ index: Int, _ text: String, _ tokens: [TokenLogprob]) -> JSONValue {
        chunk(index, content: text, logprobs: hasLogprobs ? ChatLogprobs.json(tokens) : .null)
    }

    func finishChunk(_ index: Int, _ reason: FinishReason) -> JSONValue { chunk(index, finish: reason.rawValue) }

    func usageChunk(_ usage: Usage) -> JSONValue { .object(frame("chat.completion.chunk", [], usage: usage.json)) }

    /// Members that say nothing are null, not absent: clients of LMX read them.
    private func chunk(
        _ index: Int, role: String? = nil, content: String? = nil, logprobs: JSONValue = .null, finish: String? = nil
    ) -> JSONValue {
        let choice: JSONObject = [
            "index": .int(index),
            "delta": .object(["role": .text(role), "content": .text(content), "tool_calls": .null]),
            "logprobs": logprobs,
            "finish_reason": .text(finish),
        ]
        return .object(frame("chat.completion.chunk", [.object(choice)], usage: .null))
    }

    private func frame(_ object: String, _ choices: [JSONValue], usage: JSONValue) -> JSONObject {
        [
            "id": .string(id), "object": .string(object), "created": .int(created), "model": .string(model),
            "choices": .array(choices), "usage": usage,
        ]
    }
}
