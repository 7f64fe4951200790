import Engine
import Weights

/// `POST /v1/messages`: a chat in the form of Anthropic's protocol.
package struct Messages: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/v1/messages"
    package static let access = Access.client
    package static let refusalType: String? = "error"
    package init() {}

    package func answer(_ call: Call, _ body: MessagesBody, _ server: ServerContext) async throws -> Reply {
        let chat = body.chat
        let model = try await server.model(named: chat.generation.model)
        let prompt = try await Worker.run { try Prompt.chat(chat, for: model) }
        let answers = try Answers.begin([prompt], chat.generation, topLogprobs: nil, model: model, call: call, server: server)
        let id = Identifier.make("msg_")
        /// - Parameter end: why, and what it took; nil before the answer is there.
        @Sendable func message(_ content: [JSONValue], _ end: (FinishReason, Usage)?) -> JSONValue {
            .object([
                "id": .string(id), "type": .string("message"), "role": .string("assistant"), "model": .string(model.id),
                "content": .array(content), "stop_reason": .text(end.map { Self.reason($0.0) }), "stop_sequence": .null,
                "usage": .object([
                    "input_tokens": .int(end?.1.promptTokens ?? prompt.count), "output_tokens": .int(end?.1.completionTokens ?? 0),
                    "cache_read_input_tokens": .int(end?.1.cachedTokens ?? 0),
                ]),
            ])
        }
        guard chat.generation.streams else {
            let (whole, usage) = try await answers.collect()
            let answer = whole.first ?? Answers.Whole()
            return .json(message([Self.text(answer.text)], (answer.reason, usage)))
        }
        return answers.events(keepAlive: server.configuration.keepAlive, onError: Self.fail) { emitter in
            emitter.send("message_start", ["type": .string("message_start"), "message": message([], nil)])
            emitter.send(
                "content_block_start", ["type": .string("content_block_start"), "index": .int(0), "content_block": Self.text("")])
            let end = Locked(FinishReason.stop)
            let usage = try await answers.run { _, event in
                switch event {
                case .started: break
                case .text(let text, _):
                    let delta: JSONObject = ["type": .string("text_delta"), "text": .string(text)]
                    emitter.send(
                        "content_block_delta", ["type": .string("content_block_delta"), "index": .int(0), "delta": .object(delta)])
                case .finished(let reason, _, _): end.withLock { $0 = reason }
                }
            }
            emitter.send("content_block_stop", ["type": .string("content_block_stop"), "index": .int(0)])
            let delta: JSONObject = ["stop_reason": .string(Self.reason(end.withLock { $0 })), "stop_sequence": .null]
            let used: JSONObject = ["input_tokens": .int(usage.promptTokens), "output_tokens": .int(usage.completionTokens)]
            emitter.send("message_delta", ["type": .string("message_delta"), "delta": .object(delta), "usage": .object(used)])
            emitter.send("message_stop", ["type": .string("message_stop")])
        }
    }

    private static func text(_ text: String) -> JSONValue { .object(["type": .string("text"), "text": .string(text)]) }

    private static func reason(_ reason: FinishReason) -> String { reason == .length ? "max_tokens" : "end_turn" }

    @Sendable private static func fail(_ emitter: EventEmitter, _ refusal: APIError) {
        guard case .object(var envelope) = refusal.envelope else { return }
        envelope["type"] = .string("error")
        emitter.send("error", envelope)
    }
}
