import Engine
import Text
import Weights

/// The answers to one request while the engine makes them: for each prompt, one after another, its choices.
struct Answers: Sendable {
    let streams: [GenerationStream]
    let choices: Int  // of each prompt
    private let model: ServedModel
    private let streamed: Bool
    private let client: String?
    private let requestID: String
    private let server: ServerContext

    /// Hands everything to the engine before anything is waited for, so that a full queue is an error and no half answer.
    static func begin(
        _ prompts: [[Int32]], _ fields: GenerationFields, topLogprobs: Int?, model: ServedModel, call: Call, server: ServerContext
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
        return Answers(
            streams: try server.engine.generate(requests), choices: fields.choices, model: model, streamed: fields.streams,
            client: call.client, requestID: call.requestID, server: server)
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
    /// Throws the first error, `lmx-timeout` after the time that the server gives, `CancellationError` when this task was cancelled, and `APIError.shuttingDown` when the
    /// server took the answers away.
    ///
    /// - Parameter tellsCancelled: `each` is told of an answer that was cancelled, too, before this is thrown.
    func run(tellsCancelled: Bool = false, _ each: @escaping @Sendable (Int, GenerationEvent) -> Void) async throws -> Usage {
        let limit = server.configuration.answerTime
        let ended = try await withThrowingTaskGroup(of: Ended?.self) { group in
            group.addTask {
                try await Task.sleep(for: limit)
                throw APIError.timedOut(after: limit)
            }
            for (index, stream) in streams.enumerated() {
                group.addTask { try await follow(stream, index, tellsCancelled, each) }
            }
            var ended: [Ended] = []
            while ended.count < streams.count, let answer = try await group.next() { ended += [answer].compactMap(\.self) }
            group.cancelAll()  // the clock
            return ended.sorted { $0.index < $1.index }
        }
        let usage = Usage.total(ended.map(\.usage), choices: choices)
        report(ended, usage)
        return usage
    }

    /// How one answer ended.
    private struct Ended: Sendable {
        let index: Int
        let usage: Usage
        let timings: Timings
        let gaps: Histogram  // between its pieces of text, in seconds
    }

    private func follow(
        _ stream: GenerationStream, _ index: Int, _ tellsCancelled: Bool, _ each: @Sendable (Int, GenerationEvent) -> Void
    ) async throws -> Ended {
        var gaps = Histogram(Histogram.gapBounds)
        var last: ContinuousClock.Instant?
        for try await event in stream {
            switch event {
            case .started: break
            case .text:
                let now = ContinuousClock.now
                if let last { gaps.observe((now - last).inSeconds) }
                last = now
            case .finished(.cancelled, _, _):
                if tellsCancelled { each(index, event) }
                try Task.checkCancellation()
                throw APIError.shuttingDown
            case .finished(_, let usage, let timings):
                each(index, event)
                return Ended(index: index, usage: usage, timings: timings, gaps: gaps)
            }
            each(index, event)
        }
        try Task.checkCancellation()
        throw APIError.shuttingDown
    }

    /// Tells the operator, the counters and the live events of answers that are complete. Figures only, never a text.
    private func report(_ ended: [Ended], _ usage: Usage) {
        let speed = ended.first.map { $0.timings.decodeTokensPerSecond($0.usage) } ?? 0
        let rounded = (speed * 10).rounded() / 10
        server.log(
            LogLine(
                .info, "Completion request model=\(model.id) tokens=\(usage.completionTokens) speed=\(rounded)tok/s",
                event: "completion", requestID: requestID,
                [
                    "model_id": .string(model.id), "prompt_tokens": .int(usage.promptTokens),
                    "completion_tokens": .int(usage.completionTokens), "tokens_per_second": .float(rounded), "stream": .bool(streamed),
                ]))
        for answer in ended { server.metrics.finished(model, answer.usage, answer.timings, gaps: answer.gaps, client: client) }
        let time = ended.map(\.timings.total).max() ?? 0
        server.events.tell(
            .completed(model: model.id, milliseconds: time * 1000, tokens: usage.completionTokens, streams: streamed))
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
    ///
    /// - Parameter onError: tells the client instead; the stream is then at its end.
    func events(
        keepAlive: Duration, onError: (@Sendable (EventEmitter, APIError) -> Void)? = nil, _ write: @escaping @Sendable (EventEmitter) async throws -> Void
    ) -> Reply {
        .events(
            EventStream(keepAlive: keepAlive) { emitter in
                do {
                    try await write(emitter)
                } catch is CancellationError {
                    return
                } catch {
                    let refusal = APIError(error)
                    server.metrics.streamFailed(client: client)
                    server.incidents.add(refusal, error, model: model.id)
                    if let onError { return onError(emitter, refusal) }
                    emitter.send(refusal.envelope)
                }
                if onError == nil { emitter.done() }
            })
    }
}
