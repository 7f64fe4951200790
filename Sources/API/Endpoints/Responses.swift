import Engine
import FoundationEssentials
import Weights

/// `POST /v1/responses`: a chat in the form of OpenAI's newer protocol. Nothing is kept: every request brings its messages.
package struct Responses: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/v1/responses"
    package static let access = Access.client
    package init() {}

    package func answer(_ call: Call, _ body: ResponsesBody, _ server: ServerContext) async throws -> Reply {
        let chat = body.chat
        let model = try await server.model(named: chat.generation.model)
        let prompt = try await Worker.run { try Prompt.chat(chat, for: model) }
        let answers = try Answers.begin([prompt], chat.generation, topLogprobs: nil, model: model, call: call, server: server)
        let reply = ResponseReply(created: Int(Date().timeIntervalSince1970), model: model.id)
        guard chat.generation.streams else {
            let (whole, usage) = try await answers.collect()
            let answer = whole.first ?? Answers.Whole()
            return .json(.object(reply.document(answer.text, answer.reason, usage)))
        }
        return answers.events(keepAlive: server.configuration.keepAlive) { emitter in
            let numbered = Locked(0)
            @Sendable func send(_ type: String, _ members: JSONObject) {
                let number = numbered.withLock { number in
                    defer { number += 1 }
                    return number
                }
                emitter.send(type, reply.event(type, number, members))
            }
            send("response.created", ["response": .object(reply.beginning)])
            send("response.output_item.added", ["output_index": .int(0), "item": reply.item("", status: "in_progress")])
            send("response.content_part.added", reply.place + ["part": reply.part("")])
            let said = Locked((text: "", reason: FinishReason.stop))
            let usage = try await answers.run { _, event in
                switch event {
                case .started: break
                case .text(let text, _):
                    said.withLock { $0.text += text }
                    send("response.output_text.delta", reply.place + ["delta": .string(text), "logprobs": .array([])])
                case .finished(let reason, _, _): said.withLock { $0.reason = reason }
                }
            }
            let (text, reason) = said.withLock { $0 }
            send("response.output_text.done", reply.place + ["text": .string(text), "logprobs": .array([])])
            send("response.content_part.done", reply.place + ["part": reply.part(text)])
            send("response.output_item.done", ["output_index": .int(0), "item": reply.item(text, status: "completed")])
            // One name for the last event whether the answer was cut or not: clients wait for it. The status tells.
            send("response.completed", ["response": .object(reply.document(text, reason, usage))])
        }
    }
}

/// The shapes of `POST /v1/responses`.
struct ResponseReply: Sendable {
    let id = Identifier.make("resp-")
    let itemID = Identifier.make("msg-")
    let created: Int  // seconds since 1970
    let model: String

    var beginning: JSONObject { frame("in_progress", [], text: "", usage: .null, cut: .null) }

    /// The place of the one text that an answer has.
    var place: JSONObject { ["item_id": .string(itemID), "output_index": .int(0), "content_index": .int(0)] }

    func document(_ text: String, _ reason: FinishReason, _ usage: Usage) -> JSONObject {
        let used: JSONObject = [
            "input_tokens": .int(usage.promptTokens), "input_tokens_details": .object(["cached_tokens": .int(usage.cachedTokens)]),
            "output_tokens": .int(usage.completionTokens), "output_tokens_details": .object(["reasoning_tokens": .int(0)]),
            "total_tokens": .int(usage.promptTokens + usage.completionTokens),
        ]
        let isCut = reason == .length
        return frame(
            isCut ? "incomplete" : "completed", [item(text, status: isCut ? "incomplete" : "completed")], text: text, usage: .object(used),
            cut: isCut ? .object(["reason": .string("max_output_tokens")]) : .null)
    }

    func item(_ text: String, status: String) -> JSONValue {
        .object([
            "id": .string(itemID), "type": .string("message"), "role": .string("assistant"), "status": .string(status),
            "content": .array(status == "in_progress" ? [] : [part(text)]),
        ])
    }

    func part(_ text: String) -> JSONValue {
        .object(["type": .string("output_text"), "text": .string(text), "annotations": .array([]), "logprobs": .array([])])
    }

    func event(_ type: String, _ number: Int, _ members: JSONObject) -> JSONObject {
        ["type": .string(type), "sequence_number": .int(number)] + members
    }

    private func frame(_ status: String, _ output: [JSONValue], text: String, usage: JSONValue, cut: JSONValue) -> JSONObject {
        [
            "id": .string(id), "object": .string("response"), "created_at": .int(created), "status": .string(status),
            "model": .string(model), "output": .array(output), "output_text": .string(text), "usage": usage, "error": .null,
            "incomplete_details": cut, "instructions": .null, "metadata": .object([:]), "parallel_tool_calls": .bool(false),
            "temperature": .null, "top_p": .null, "tool_choice": .string("none"), "tools": .array([]),
        ]
    }
}
