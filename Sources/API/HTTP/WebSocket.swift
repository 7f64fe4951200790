import Engine
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// A WebSocket (RFC 6455) on a connection that began as HTTP: frames of the client to whole messages, messages to frames,
/// and the closing of both sides in order.
///
/// Stands before the HTTP handlers of its channel. From then on these hear nothing but the end of the connection.
final class WebSocketHandler: ChannelDuplexHandler {
    typealias InboundIn = WebSocketFrame
    typealias InboundOut = Never
    typealias OutboundIn = Never
    typealias OutboundOut = WebSocketFrame

    /// What the endpoint's side wants; comes from the end of the pipeline, from any thread.
    enum Command: Sendable {
        case text(String)
        case acknowledge(Int)
        case close(MessageSocket.Closing, String)
    }

    private enum State {
        case open
        case closing  // we have said so; the client's own word for it is waited for, for a moment
        case closed
    }

    private let connection: Connection
    private let onFrame: @Sendable () -> Void
    private let messages: AsyncStream<[UInt8]>.Continuation
    private var state = State.open
    private var partial: [UInt8] = []  // of a message that comes in several frames
    private var fragments = 0  // of them so far
    private var waitingBytes = 0  // of messages that nobody has taken yet
    private var wantsRead = false

    init(_ connection: Connection, _ messages: AsyncStream<[UInt8]>.Continuation, onFrame: @escaping @Sendable () -> Void) {
        self.connection = connection
        self.messages = messages
        self.onFrame = onFrame
    }

    // MARK: From the client

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = Self.unwrapInboundIn(data)
        guard state == .open else {
            if frame.opcode == .connectionClose { finish(context) }
            return
        }
        onFrame()
        guard frame.maskKey != nil else { return close(context, .protocolError, "a client masks its frames") }
        guard !frame.rsv1, !frame.rsv2, !frame.rsv3 else { return close(context, .protocolError, "no extension was agreed on") }
        switch frame.opcode {
        case .text:
            guard fragments == 0 else { return close(context, .protocolError, "a message began inside another") }
            append(context, frame)
        case .continuation:
            guard fragments > 0 else { return close(context, .protocolError, "nothing to continue") }
            append(context, frame)
        case .binary: close(context, .textOnly, "messages are text")
        case .ping:
            // One that a client has no room for is left out: it does not read.
            guard context.channel.isWritable else { return }
            write(context, .pong, frame.unmaskedData)
        case .pong: break
        case .connectionClose: answerClose(context, frame.unmaskedData)
        default: close(context, .protocolError, "an unknown kind of frame")
        }
    }

    private func append(_ context: ChannelHandlerContext, _ frame: WebSocketFrame) {
        fragments += 1
        guard partial.count + frame.length <= RequestLimits.socketMessageBytes else { return close(context, .tooLarge, Self.tooLarge) }
        guard fragments <= RequestLimits.socketFragments else { return close(context, .policy, "too many pieces of one message") }
        partial.append(contentsOf: frame.unmaskedData.readableBytesView)
        guard frame.fin else { return }
        let message = partial
        (partial, fragments) = ([], 0)
        guard String(validating: message, as: UTF8.self) != nil else { return close(context, .notUTF8, "the text is not UTF-8") }
        waitingBytes += MessageSocket.weight(of: message)
        messages.yield(message)
    }

    private static let tooLarge = "a message has at most \(RequestLimits.socketMessageBytes) bytes"

    /// Nothing is read while much waits to be taken, so that a client cannot fill the memory.
    func read(context: ChannelHandlerContext) {
        if waitingBytes > RequestLimits.socketMessageBytes { wantsRead = true } else { context.read() }
    }

    // MARK: From the endpoint

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard let command = event as? Command else { return context.triggerUserOutboundEvent(event, promise: promise) }
        switch command {
        case .text(let text):
            guard state == .open else {
                promise?.fail(ChannelError.ioOnClosedChannel)
                return
            }
            write(context, .text, context.channel.allocator.buffer(string: text), promise)
        case .acknowledge(let bytes):
            waitingBytes -= bytes
            if wantsRead, waitingBytes <= RequestLimits.socketMessageBytes {
                wantsRead = false
                context.read()
            }
            promise?.succeed()
        case .close(let reason, let text):
            close(context, reason, text, isFault: false)
            promise?.succeed()
        }
    }

    /// The HTTP handlers behind have nothing to say any more.
    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        promise?.fail(ChannelError.ioOnClosedChannel)
    }

    private func write(
        _ context: ChannelHandlerContext, _ opcode: WebSocketOpcode, _ data: ByteBuffer, _ promise: EventLoopPromise<Void>? = nil
    ) {
        context.writeAndFlush(Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: opcode, data: data)), promise: promise)
    }

    // MARK: The end

    /// Says why and waits for the client to close, too; the connection itself sees to it that this does not take long.
    private func close(_ context: ChannelHandlerContext, _ reason: MessageSocket.Closing, _ text: String, isFault: Bool = true) {
        guard state == .open else { return }
        leave(.closing)
        let channel = context.channel
        let sent = channel.eventLoop.makePromise(of: Void.self)
        // After a fault nothing that comes can be relied on: our half ends at once, the other when the client has read why.
        if isFault { sent.futureResult.whenComplete { _ in channel.close(mode: .output, promise: nil) } }
        var data = context.channel.allocator.buffer(capacity: 125)
        data.writeInteger(UInt16(reason.rawValue))
        data.writeString(text)  // ours are short: a control frame has room for 123 bytes
        write(context, .connectionClose, data, sent)
    }

    /// The client closes: its number comes back if it is one that may be sent, and that is the end.
    private func answerClose(_ context: ChannelHandlerContext, _ data: ByteBuffer) {
        var rest = data
        var answer = context.channel.allocator.buffer(capacity: 2)
        if data.readableBytes > 0 {
            let given = rest.readInteger(as: UInt16.self).map(Int.init)
            let isAllowed = given.map { (1000...1003).contains($0) || (1007...1014).contains($0) || (3000...4999).contains($0) } ?? false
            let isText = String(validating: rest.readableBytesView, as: UTF8.self) != nil
            let code = isAllowed && isText ? given ?? 1002 : MessageSocket.Closing.protocolError.rawValue
            answer.writeInteger(UInt16(truncatingIfNeeded: code))
        }
        leave(.closed)
        let channel = context.channel
        let sent = channel.eventLoop.makePromise(of: Void.self)
        sent.futureResult.whenComplete { _ in channel.close(promise: nil) }
        write(context, .connectionClose, answer, sent)
    }

    private func finish(_ context: ChannelHandlerContext) {
        leave(.closed)
        context.close(promise: nil)
    }

    private func leave(_ next: State) {
        if state == .open {
            connection.closes()
            messages.finish()
        }
        state = next
        partial = []
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case NIOWebSocketError.invalidFrameLength: close(context, .tooLarge, Self.tooLarge)
        case is NIOWebSocketError: close(context, .protocolError, "a control frame is whole and has at most 125 bytes")
        case is ByteToMessageDecoderError: break  // more bytes after the one error above
        default: context.fireErrorCaught(error)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent { return close(context, .goingAway, "the server is shutting down", isFault: false) }
        if case ChannelEvent.inputClosed? = event as? ChannelEvent {
            // A client that cannot close properly any more.
            if state == .open { leave(.closing) } else { return finish(context) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        leave(.closed)
        context.fireChannelInactive()
    }
}

extension WebSocketHandler {
    /// Answers the request with 101 and puts a WebSocket in HTTP's place.
    ///
    /// - Parameters:
    ///   - request: its header fields, which have been checked.
    ///   - fields: of the answer, besides those of the protocol.
    static func upgrade(
        _ channel: any Channel, _ request: [(name: String, value: String)], fields: [(name: String, value: String)],
        _ connection: Connection
    ) async throws -> MessageSocket {
        let (messages, continuation) = AsyncStream.makeStream(of: [UInt8].self)
        let socket = MessageSocket(messages: messages) { [channel] text, sent in
            let promise = channel.eventLoop.makePromise(of: Void.self)
            promise.futureResult.whenComplete { _ in sent() }
            channel.triggerUserOutboundEvent(Command.text(text), promise: promise)
        } acknowledge: { [channel] bytes in
            channel.triggerUserOutboundEvent(Command.acknowledge(bytes), promise: nil)
        } end: { [channel] reason, text in
            channel.triggerUserOutboundEvent(Command.close(reason, text), promise: nil)
        }
        let headers = try await handshake(channel, request).get()
        try await channel.eventLoop.submit {
            let pipeline = channel.pipeline.syncOperations
            let watcher = try pipeline.handler(type: ConnectionHandler.self)
            var head = "HTTP/1.1 101 Switching Protocols\r\nDate: \(HTTPDate.now)\r\n"
            for (name, value) in headers { head += "\(name): \(value)\r\n" }
            for (name, value) in fields { head += "\(name): \(value)\r\n" }
            // From the handler next to the socket, so that no HTTP handler sees it.
            try pipeline.context(handler: watcher).writeAndFlush(NIOAny(ByteBuffer(string: head + "\r\n")), promise: nil)
            let handler = WebSocketHandler(connection, continuation) { [weak socket] in socket?.stir() }
            let decoder = ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: RequestLimits.socketMessageBytes))
            try pipeline.addHandlers([WebSocketFrameEncoder(), decoder, handler], position: .after(watcher))
        }.get()
        return socket
    }

    /// The fields that tell the client that we have understood it.
    private static func handshake(_ channel: any Channel, _ request: [(name: String, value: String)]) -> EventLoopFuture<HTTPHeaders> {
        let upgrader = NIOWebSocketServerUpgrader(
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture(HTTPHeaders()) },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/", headers: HTTPHeaders(request.map { ($0.name, $0.value) }))
        return upgrader.buildUpgradeResponse(channel: channel, upgradeRequest: head, initialResponseHeaders: HTTPHeaders())
    }
}
