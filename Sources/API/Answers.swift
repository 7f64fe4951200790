import Engine
import Text
import Weights

/// The answers to one request while the engine makes them: for each prompt, one after another, its choices.
struct Answers: Sendable {
    let streams: [GenerationStream]
    let choices: Int  // of each prompt
    private let finish: @Sendable (Usage, Double) -> Void

    /// Hands everything to the engine before anything is waited for, so that a full queue is an error and no half answer.
    static func begin(
        _ prompts: [[Int32]], _ fields: GenerationFields, topLogprobs: Int?, model: ServedModel, server: ServerContext
    ) throws -> Answers {
        var requests: [GenerationRequest] = []
        for prompt in prompts {
            var request = GenerationRequest(model: model.id, prompt: prompt)
            request.maximumTokens = try maximum(fields, prompt: prompt.count, server.configuration)
            request.sampling = fields.sampling
            request.sampling.temperature = Float(fields.temperature ?? server.configuration.temperature)
            request.stop = fields.stop
            request.topLogprobs = topLogprobs
            request.speculates = fields.speculates
            for choice in 0..<fields.choices {
                // Equal seeds would make equal choices.
                request.sampling.seed = fields.sampling.seed.map { $0 &+ UInt64(choice) }
                requests.append(request)
            }
        }
        let streams = try server.engine.generate(requests)
        let log = server.log
        let id = model.id
        return Answers(streams: streams, choices: fields.choices) { usage, speed in
            let rounded = (speed * 10).rounded() / 10
            log(LogLine(.info, "Completion request model=\(id) tokens=\(usage.completionTokens) speed=\(rounded)tok/s"))
        }
    }

    /// What was asked for, or the server's own bound; inside the client's own bound on the context.
    private static func maximum(_ fields: GenerationFields, prompt: Int, _ configuration: Configuration) throws(APIError) -> Int {
        let wanted = fields.maximumTokens ?? configuration.maximumTokens
        guard let context = fields.context else { return wanted }
        guard prompt < context else { throw .contextExceeded("num_ctx", tokens: prompt, context: context) }
        return min(wanted, context - prompt)
    }

    /// Tells `each` what happens, by number of the answer, until all have ended; returns what they used in all.
    ///
    /// Throws the first error, `CancellationError` when this task was cancelled, and `APIError.shuttingDown` when the
    /// server took the answers away.
    func run(_ each: @escaping @Sendable (Int, GenerationEvent) -> Void) async throws -> Usage {
        let ended = try await withThrowingTaskGroup(of: (Int, Usage, Timings).self) { group in
            for (index, stream) in streams.enumerated() {
                group.addTask {
                    for try await event in stream {
                        if case .finished(let reason, let usage, let timings) = event {
                            if reason == .cancelled { break }
                            each(index, event)
                            return (index, usage, timings)
                        }
                        each(index, event)
                    }
                    try Task.checkCancellation()
                    throw APIError.shuttingDown
                }
            }
            var ended: [(Int, Usage, Timings)] = []
            for try await answer in group { ended.append(answer) }
            return ended.sorted { $0.0 < $1.0 }
        }
        let usage = Usage.total(ended.map(\.1), choices: choices)
        finish(usage, ended.first.map { $0.2.decodeTokensPerSecond($0.1) } ?? 0)
        return usage
    }

    /// One answer, whole.
    struct Whole: Sendable {
        var text = ""
        var tokens: [TokenLogprob] = []  // where log-probabilities were asked for
        var reason = FinishReason.stop
    }

    /// All answers, whole.
    func collect() async throws -> ([Whole], Usage) {
        let answers = Locked([Whole](repeating: Whole(), count: streams.count))
        let usage = try await run { index, event in
            answers.withLock { answers in
                switch event {
                case .started: break
                case .text(let text, let tokens):
                    answers[index].text += text
                    answers[index].tokens += tokens
                case .finished(let reason, _, _): answers[index].reason = reason
                }
            }
        }
        return (answers.withLock { $0 }, usage)
    }

    /// A stream of events that ends with `[DONE]`, and with an error in the usual envelope before it if there was one.
    func events(
        keepAlive: Duration, _ write: @escaping @Sendable (EventEmitter) async throws -> Void
    ) -> Reply {
        .events(
            EventStream(keepAlive: keepAlive) { emitter in
                do {
                    try await write(emitter)
                } catch is CancellationError {
                    return
                } catch {
                    emitter.send(APIError(error).envelope)
                }
                emitter.done()
            })
    }
}
