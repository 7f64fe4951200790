import Engine
import NIOCore

/// What the server knows of one client connection: what it is waiting for, since when, and whether the client is still there.
final class Connection: Sendable {
    private enum Phase {
        case waiting(first: Bool)  // for a request
        case header
        case body
        case answering
        case closing  // nothing more is expected; bytes are thrown away
    }

    private struct State {
        var phase = Phase.waiting(first: true)
        var since = ContinuousClock.now
        var stalledSince: ContinuousClock.Instant?
        var isGone = false
        var wasStalled = false
        var onGone: (@Sendable () -> Void)?

        mutating func enter(_ phase: Phase) {
            self.phase = phase
            since = .now
        }
    }

    private let state = Locked(State())

    var isGone: Bool { state.withLock { $0.isGone } }
    /// It was closed because the client took nothing for too long.
    var wasStalled: Bool { state.withLock { $0.wasStalled } }

    // MARK: Told by the socket

    func bytesArrived() {
        state.withLock { state in
            switch state.phase {
            case .waiting: state.enter(.header)
            case .body: state.since = .now
            case .header, .answering, .closing: break
            }
        }
    }

    /// The client closed its side, or the connection broke. A client that only half-closes counts as gone.
    func clientLeft() {
        let action = state.withLock { state in
            state.isGone = true
            defer { state.onGone = nil }
            return state.onGone
        }
        action?()
    }

    func writabilityChanged(to writable: Bool) {
        state.withLock { $0.stalledSince = writable ? nil : .now }
    }

    /// Whether the client has kept us waiting for longer than it may.
    func isOverdue(at now: ContinuousClock.Instant = .now) -> Bool {
        state.withLock { state in
            if let stalled = state.stalledSince, now - stalled > RequestLimits.stalledReader {
                state.wasStalled = true
                return true
            }
            let waited = now - state.since
            return switch state.phase {
            case .waiting(let first): waited > (first ? RequestLimits.headerTime : RequestLimits.idleTime)
            case .header: waited > RequestLimits.headerTime
            case .body: waited > RequestLimits.bodyPause
            case .answering: false
            case .closing: waited > .seconds(2)
            }
        }
    }

    // MARK: Told by the exchange

    func bodyBegins() { state.withLock { $0.enter(.body) } }
    func answerBegins() { state.withLock { $0.enter(.answering) } }
    func answerEnds() { state.withLock { $0.enter(.waiting(first: false)) } }
    func closes() { state.withLock { $0.enter(.closing) } }

    /// Runs `action` once when the client leaves; at once if it has left. The next call replaces it.
    func whenGone(_ action: (@Sendable () -> Void)?) {
        let gone = state.withLock { state in
            if !state.isGone { state.onGone = action }
            return state.isGone
        }
        if gone { action?() }
    }
}

/// Tells a ``Connection`` what its socket does, and closes it when the client is overdue. Stands next to the socket,
/// before anything is parsed.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let connection: Connection
    private var clock: RepeatedTask?

    init(_ connection: Connection) { self.connection = connection }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        clock = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { [connection] _ in
            if connection.isOverdue() { channel.close(promise: nil) }
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { clock?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection.bytesArrived()
        context.fireChannelRead(data)
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.clientLeft()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        connection.clientLeft()
        context.fireErrorCaught(error)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent { connection.clientLeft() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        connection.writabilityChanged(to: context.channel.isWritable)
        context.fireChannelWritabilityChanged()
    }
}
