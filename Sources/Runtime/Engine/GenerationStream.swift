/// The answer to one request as it is made. To let go of it, or to cancel the task that reads it, cancels the request.
public struct GenerationStream: AsyncSequence, Sendable {
    public typealias Element = GenerationEvent
    public typealias Failure = EngineError
    public typealias ID = UInt64

    public let id: ID
    private let events: AsyncThrowingStream<GenerationEvent, any Error>
    private let onCancel: @Sendable () -> Void

    init(id: ID, events: AsyncThrowingStream<GenerationEvent, any Error>, onCancel: @escaping @Sendable () -> Void) {
        self.id = id
        self.events = events
        self.onCancel = onCancel
    }

    /// Ends the request within one step, waiting or running; the stream then ends with `finished(.cancelled, …)`.
    public func cancel() { onCancel() }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(events: events.makeAsyncIterator()) }

    public struct AsyncIterator: AsyncIteratorProtocol {
        var events: AsyncThrowingStream<GenerationEvent, any Error>.AsyncIterator

        public mutating func next() async throws(EngineError) -> GenerationEvent? {
            try await next(isolation: nil)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws(EngineError) -> GenerationEvent? {
            do {
                return try await events.next(isolation: actor)
            } catch let error as EngineError {
                throw error
            } catch {
                return nil  // only EngineError is ever put into the stream
            }
        }
    }

    /// The whole answer at once.
    public func collected() async throws(EngineError) -> Generated {
        var answer = Generated()
        for try await event in self {
            switch event {
            case .started: break
            case .text(let text, let tokens):
                answer.text += text
                answer.tokens += tokens
            case .finished(let reason, let usage, let timings):
                (answer.reason, answer.usage, answer.timings) = (reason, usage, timings)
            }
        }
        return answer
    }
}

/// A finished answer.
public struct Generated: Sendable {
    public var text = ""
    public var tokens: [TokenLogprob] = []  // where log-probabilities were asked for
    public var reason = FinishReason.cancelled
    public var usage = Usage(promptTokens: 0, completionTokens: 0)
    public var timings = Timings()

    public init() {}
}
