import Engine
import Weights

/// Tells everybody who listens what goes on in the server: numbered frames, the last of which are kept for readers that
/// come back.
///
/// Telling never waits: a frame goes into each reader's own queue, and a reader whose queue is full is let go.
package final class EventHub: Sendable {
    private struct State {
        var number = 0  // of the last frame
        var kept: [(number: Int, frame: String)] = []
        var readers: [Int: EventEmitter] = [:]
        var dropped = 0
        var isClosed = false
    }

    /// Names this run of the server in every id, so that numbers of an earlier run are known as such.
    private let run: String
    private let state = Locked(State())
    private let onDrop: @Sendable () -> Void

    /// - Parameter onDrop: a reader was let go because it read too slowly.
    init(run: String = Identifier.make("").lowercased().prefix(6).description, onDrop: @escaping @Sendable () -> Void = {}) {
        self.run = run
        self.onDrop = onDrop
    }

    var readers: Int { state.withLock { $0.readers.count } }
    /// Readers that were let go.
    var dropped: Int { state.withLock(\.dropped) }

    // MARK: Telling

    package func tell(_ event: LiveEvent) { tell([event]) }

    package func tell(_ events: [LiveEvent]) {
        let slow = state.withLock { state -> Int in
            guard !state.isClosed else { return 0 }
            for event in events {
                state.number += 1
                let frame = event.frame(id: "\(run)-\(state.number)")
                if event.isKept {
                    if state.kept.count == RequestLimits.keptEvents { state.kept.removeFirst() }
                    state.kept.append((state.number, frame))
                }
                for reader in state.readers.values { reader.emit(frame) }
            }
            let slow = state.readers.filter { $0.value.overflowed }
            for reader in slow.keys { state.readers[reader] = nil }
            state.dropped += slow.count
            return slow.count
        }
        for _ in 0..<slow { onDrop() }
    }

    /// Ends every stream; from now on nobody is told anything.
    func close() {
        let readers = state.withLock { state in
            state.isClosed = true
            defer { state.readers = [:] }
            return state.readers.values
        }
        for reader in readers { reader.end() }
    }

    // MARK: Listening

    /// A stream of everything told from now on.
    ///
    /// - Parameters:
    ///   - last: the id of the last frame that the reader has seen; what was kept since is told again.
    ///   - greeting: what to begin with, as things stand; asked for when the reader is in place, so that nothing is lost between.
    /// - Throws: `overloaded` when there are too many readers.
    func listen(after last: String?, keepAlive: Duration, greeting: @escaping @Sendable () -> [LiveEvent]) throws(APIError) -> EventStream {
        guard readers < RequestLimits.eventReaders else {
            throw APIError(
                503, "overloaded", type: "server_error", retryAfter: 10,
                "\(RequestLimits.eventReaders) programs read the events already")
        }
        return EventStream(keepAlive: keepAlive) { [self] emitter in
            let number = join(emitter, after: last, greeting)
            while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }  // which is when the stream ends
            leave(number)
        }
    }

    private func join(_ emitter: EventEmitter, after last: String?, _ greeting: () -> [LiveEvent]) -> Int {
        state.withLock { state in
            state.number += 1
            for event in state.kept where event.number > missed(since: last) { emitter.emit(event.frame) }
            for event in greeting() { emitter.emit(event.frame(id: nil)) }
            if state.isClosed { emitter.end() } else { state.readers[state.number] = emitter }
            return state.number
        }
    }

    private func leave(_ reader: Int) { state.withLock { _ = $0.readers.removeValue(forKey: reader) } }

    /// The number after which frames are new to a reader. Of another run's numbers all kept frames are; without an id, none.
    private func missed(since id: String?) -> Int {
        guard let parts = id?.split(separator: "-"), parts.count == 2, let number = Int(parts[1]) else { return .max }
        return parts[0] == run ? number : 0
    }
}
