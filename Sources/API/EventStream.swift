import Engine
import Weights

/// A stream of server-sent events in the making: `data: …` frames, and a comment where there was silence for too long.
///
/// The producer runs in a task of its own, which ends when the reader lets go of `frames`.
package struct EventStream: Sendable {
    /// Complete frames, each with its blank line.
    let frames: AsyncStream<String>
    let emitter: EventEmitter
    private let end: @Sendable () -> Void

    init(keepAlive: Duration, _ produce: @escaping @Sendable (EventEmitter) async -> Void) {
        let (frames, continuation) = AsyncStream.makeStream(of: String.self)
        let emitter = EventEmitter(continuation)
        let task = Task {
            await withDiscardingTaskGroup { group in
                group.addTask {
                    while (try? await Task.sleep(until: emitter.lastSent + keepAlive)) != nil { emitter.breakSilence(of: keepAlive) }
                }
                await produce(emitter)
                group.cancelAll()
            }
            continuation.finish()
        }
        continuation.onTermination = { _ in task.cancel() }
        self.frames = frames
        self.emitter = emitter
        end = { continuation.finish() }
    }

    /// Nobody reads any more: ends the frames and, through them, the producer.
    func cancel() { end() }
}

/// The writing end of an ``EventStream``.
package final class EventEmitter: Sendable {
    private struct State {
        var unsentBytes = 0
        var lastSent = ContinuousClock.now
        var overflowed = false
    }

    private let continuation: AsyncStream<String>.Continuation
    private let state = Locked(State())

    init(_ continuation: AsyncStream<String>.Continuation) { self.continuation = continuation }

    func send(_ json: JSONValue) { emit("data: \(json.serialized())\n\n") }

    /// A named event.
    func send(_ name: String, _ json: JSONObject) { emit("event: \(name)\ndata: \(JSONValue.object(json).serialized())\n\n") }

    /// Ends the stream.
    func end() { continuation.finish() }

    /// The last frame that clients of the OpenAI protocol wait for.
    func done() { emit("data: [DONE]\n\n") }

    /// True when the client took its events too slowly and the stream was given up.
    var overflowed: Bool { state.withLock { $0.overflowed } }

    var lastSent: ContinuousClock.Instant { state.withLock(\.lastSent) }

    func breakSilence(of time: Duration) {
        if ContinuousClock.now - lastSent >= time { emit(": keep-alive\n\n") }
    }

    /// To be told of every frame that left for the client.
    func sent(_ frame: String) { state.withLock { $0.unsentBytes -= frame.utf8.count } }

    /// A complete frame, with its blank line.
    func emit(_ frame: String) {
        let fits = state.withLock { state in
            state.unsentBytes += frame.utf8.count
            state.lastSent = .now
            if state.unsentBytes > RequestLimits.unsentBytes { state.overflowed = true }
            return !state.overflowed
        }
        if fits { continuation.yield(frame) } else { continuation.finish() }
    }
}
