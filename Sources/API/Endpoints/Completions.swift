import Engine
import FoundationEssentials
import Weights

/// `POST /v1/completions`: text continued as it stands, whole or token by token.
package struct Completions: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/v1/completions"
    package static let access = Access.client
    package init() {}

    package func answer(_ call: Call, _ body: CompletionRequest, _ server: ServerContext) async throws -> Reply {
        let model = try await server.model(named: body.generation.model)
        let prompts = try await Worker.run { body.prompts.map { Prompt.text($0, for: model) } }
        let choices = body.generation.choices
        /// What stands before answer number `index`.
        let before = body.prompts.flatMap { prompt in
            [String](repeating: body.echoes ? Prompt.echo(prompt, for: model) : "", count: choices)
        }
        let reply = CompletionReply(created: Int(Date().timeIntervalSince1970), model: model.id)
        if body.generation.maximumTokens == 0 { return echo(before, prompts, body, reply, server) }

        let answers = try Answers.begin(
            prompts, body.generation, topLogprobs: body.topLogprobs, model: model, call: call, server: server)
        guard body.generation.streams else {
            let (whole, usage) = try await answers.collect()
            let list = whole.enumerated().map { index, answer in
                var logprobs = CompletionLogprobs(after: before[index])
                return reply.choice(
                    index, before[index] + answer.text + body.suffix,
                    logprobs: body.topLogprobs == nil ? .null : logprobs.json(answer.tokens), finish: answer.reason)
            }
            return .json(reply.document(list, usage: usage))
        }
        return answers.events(keepAlive: server.configuration.keepAlive) { emitter in
            for (index, text) in before.enumerated() { emitter.send(reply.chunk(reply.choice(index, text))) }
            let logprobs = Locked(before.map { CompletionLogprobs(after: $0) })
            let usage = try await answers.run { index, event in
                switch event {
                case .started: break
                case .text(let text, let tokens):
                    let shown = body.topLogprobs == nil ? .null : logprobs.withLock { $0[index].json(tokens) }
                    emitter.send(reply.chunk(reply.choice(index, text, logprobs: shown)))
                case .finished(let reason, _, _):
                    emitter.send(reply.chunk(reply.choice(index, body.suffix, finish: reason)))
                }
            }
            if body.generation.includesUsage { emitter.send(reply.usageChunk(usage)) }
        }
    }

    /// No new tokens wanted: the prompts alone come back.
    private func echo(
        _ before: [String], _ prompts: [[Int32]], _ body: CompletionRequest, _ reply: CompletionReply, _ server: ServerContext
    ) -> Reply {
        let usage = Usage(promptTokens: prompts.reduce(0) { $0 + $1.count }, completionTokens: 0)
        let list = before.enumerated().map { reply.choice($0, $1 + body.suffix, finish: .length) }
        guard body.generation.streams else { return .json(reply.document(list, usage: usage)) }
        return .events(
            EventStream(keepAlive: server.configuration.keepAlive) { emitter in
                for choice in list { emitter.send(reply.chunk(choice)) }
                if body.generation.includesUsage { emitter.send(reply.usageChunk(usage)) }
                emitter.done()
            })
    }
}
