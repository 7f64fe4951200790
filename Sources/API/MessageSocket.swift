import Engine
import Weights

/// A connection on which both sides send text messages (a WebSocket), as an endpoint sees it.
package final class MessageSocket: Sendable {
    /// Why a socket is closed: the numbers of RFC 6455, section 7.4.1.
    enum Closing: Int, Sendable {
        case normal = 1000
        case goingAway = 1001  // the server ends
        case protocolError = 1002
        case textOnly = 1003
        case notUTF8 = 1007
        case policy = 1008  // the client reads too slowly, or was silent for too long
        case tooLarge = 1009
    }

    /// What a client sent, whole and valid UTF-8. Ends when either side has closed.
    ///
    /// Each is to be acknowledged with ``took(_:)``: while too much waits here, nothing more is read from the client.
    let messages: AsyncStream<[UInt8]>

    private struct State {
        var unsentBytes = 0
        var lastActive = ContinuousClock.now
        var isClosed = false
        var overflowed = false
    }

    private let state = Locked(State())
    private let write: @Sendable (_ text: String, _ sent: @escaping @Sendable () -> Void) -> Void
    private let acknowledge: @Sendable (_ bytes: Int) -> Void
    private let end: @Sendable (Closing, String) -> Void

    /// - Parameters:
    ///   - write: sends one message, and says when it has left.
    ///   - acknowledge: so many bytes of messages no longer wait.
    ///   - end: tells the client why, and closes.
    init(
        messages: AsyncStream<[UInt8]>, write: @escaping @Sendable (String, @escaping @Sendable () -> Void) -> Void,
        acknowledge: @escaping @Sendable (Int) -> Void, end: @escaping @Sendable (Closing, String) -> Void
    ) {
        self.messages = messages
        self.write = write
        self.acknowledge = acknowledge
        self.end = end
    }

    /// When the client was last heard of or written to.
    var lastActive: ContinuousClock.Instant { state.withLock(\.lastActive) }

    /// The client took its messages too slowly and was given up.
    var overflowed: Bool { state.withLock(\.overflowed) }

    /// Something came from the client, if only a sign of life.
    func stir() { state.withLock { $0.lastActive = .now } }

    func took(_ message: [UInt8]) { acknowledge(Self.weight(of: message)) }

    /// What a message that waits costs, in bytes.
    static func weight(of message: [UInt8]) -> Int { message.count + 64 }

    /// Sends a message in its turn. One to a client that lets too much wait closes the socket instead.
    func send(_ json: JSONObject) {
        let text = JSONValue.object(json).serialized()
        let size = text.utf8.count
        let fits = state.withLock { state -> Bool? in
            guard !state.isClosed else { return nil }
            state.lastActive = .now
            state.overflowed = state.unsentBytes > RequestLimits.unsentBytes
            if !state.overflowed { state.unsentBytes += size }
            return !state.overflowed
        }
        switch fits {
        case nil: break
        case true?: write(text) { [state] in state.withLock { $0.unsentBytes -= size } }
        case false?: close(.policy, "too slow: \(RequestLimits.unsentBytes >> 10) KiB unread")
        }
    }

    /// Closes once; what was sent before still arrives.
    func close(_ reason: Closing, _ text: String) {
        let isFirst = state.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
        if isFirst { end(reason, text) }
    }
}
