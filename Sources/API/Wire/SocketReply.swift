import Engine
import Weights

/// The messages about one chat on a WebSocket, in the dialect in which it was asked for.
struct SocketReply: Sendable {
    enum Dialect: Sendable {
        case typed  // {"type":"chat.request"} and answers that say their type and their request
        case plain  // the body of a chat alone, answered by {"token"} and {"done"}
    }

    let dialect: Dialect
    let id: String
    /// As the client called the request; answers in the plain dialect name it only then.
    let givenID: String?
    var model = ""

    func started() -> JSONObject? { dialect == .typed ? typed("chat.started", ["model": .string(model)]) : nil }

    /// Says nothing but that the answer is being worked on.
    func keepAlive() -> JSONObject { dialect == .typed ? typed("chat.keepalive") : plain(["token": .string("")]) }

    func token(_ text: String, _ logprobs: JSONValue?) -> JSONObject {
        var message = dialect == .typed ? typed("chat.token", ["content": .string(text)]) : plain(["token": .string(text)])
        if let logprobs { message["logprobs"] = logprobs }
        return message
    }

    /// - Parameter content: the whole answer, where it was not streamed.
    func done(_ reason: FinishReason, _ usage: Usage, _ timings: Timings, content: String?, logprobs: JSONValue?) -> JSONObject {
        var end: JSONObject = [
            "model": .string(model), "finish_reason": .string(reason.rawValue), "usage": usage.json,
            "stats": .object([
                "tokens_per_second": .float(timings.decodeTokensPerSecond(usage)),
                "prompt_tokens_per_second": .float(timings.promptTokensPerSecond(usage)),
                "time_to_first_token_ms": .float((timings.firstToken * 1000).rounded()),
                "tokens": .int(usage.completionTokens),
            ]),
        ]
        if let content { end["content"] = .string(content) }
        if let logprobs { end["logprobs"] = logprobs }
        return dialect == .typed ? typed("chat.done", end) : plain(["done": .bool(true)] + end)
    }

    func failed(_ error: APIError) -> JSONObject {
        switch dialect {
        case .typed: return Self.error(error, id: id)
        case .plain:
            guard case .object(let envelope) = error.envelope else { return [:] }
            return plain(envelope)
        }
    }

    /// - Parameter id: of the request; nil where none can be named.
    static func error(_ error: APIError, id: String?) -> JSONObject {
        [
            "type": .string("chat.error"), "request_id": .text(id), "error": .string(error.message), "code": .string(error.code),
            "status": .int(error.status), "param": .text(error.parameter),
        ]
    }

    private func typed(_ type: String, _ members: JSONObject = [:]) -> JSONObject {
        ["type": .string(type), "request_id": .string(id)] + members
    }

    private func plain(_ members: JSONObject) -> JSONObject {
        givenID.map { members + ["request_id": .string($0)] } ?? members
    }
}
