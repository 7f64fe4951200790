import Engine
import FoundationEssentials
import Weights

/// `POST /v1/chat/completions`: the next message of a conversation, whole or token by token.
package struct ChatCompletions: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/v1/chat/completions"
    package static let access = Access.client
    package init() {}

    package func answer(_ call: Call, _ body: ChatRequest, _ server: ServerContext) async throws -> Reply {
        let model = try await server.model(named: body.generation.model)
        let prompt = try await Worker.run { try Prompt.chat(body, for: model) }
        let answers = try Answers.begin(
            [prompt], body.generation, topLogprobs: body.topLogprobs, model: model, call: call, server: server)
        let reply = ChatReply(
            created: Int(Date().timeIntervalSince1970), model: model.id, hasLogprobs: body.topLogprobs != nil)
        guard body.generation.streams else {
            let (whole, usage) = try await answers.collect()
            return .json(reply.document(whole, usage: usage))
        }
        return answers.events(keepAlive: server.configuration.keepAlive) { emitter in
            for index in answers.streams.indices { emitter.send(reply.roleChunk(index)) }
            let usage = try await answers.run { index, event in
                switch event {
                case .started: break
                case .text(let text, let tokens): emitter.send(reply.textChunk(index, text, tokens))
                case .finished(let reason, _, _): emitter.send(reply.finishChunk(index, reason))
                }
            }
            if body.generation.includesUsage { emitter.send(reply.usageChunk(usage)) }
        }
    }
}
