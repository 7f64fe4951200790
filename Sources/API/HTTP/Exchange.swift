import Hummingbird
import HummingbirdCore
import NIOCore
import Weights

/// One request and its answer on one connection: translates between the library's types and the ``Dispatcher``.
struct Exchange: Sendable {
    let dispatcher: Dispatcher
    let connection: Connection

    func run(_ request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
        let head = Self.head(of: request)
        let length = request.headers[.contentLength].map { Int($0) ?? Int.max }
        if head.fields["expect"]?.lowercased() == "100-continue", length ?? 0 <= RequestLimits.bodyBytes {
            try await writer.writeInformationalHead(HTTPResponse(status: .continue))
        }
        connection.answerBegins()
        let port = channel.localAddress?.port ?? 0
        let body = request.body
        let work = Task {
            try await dispatcher.respond(to: head, port: port, contentLength: length) { try await collect(body) }
        }
        connection.whenGone { work.cancel() }
        var response = try await withTaskCancellationHandler {
            try await work.value
        } onCancel: {
            work.cancel()
        }
        connection.whenGone(nil)
        if case .socket(let serve)? = response.reply { return try await socket(serve, request, response, channel) }
        // After a request to change the protocol the parser reads no other, whatever the answer was.
        if head.fields["upgrade"] != nil || head.method == "CONNECT" { response.closes = true }
        try await write(response, isHead: head.method == "HEAD", writer)
        if response.closes {
            // The client may still be sending. It is to read the answer before the connection breaks under it.
            connection.closes()
            channel.close(mode: .output, promise: nil)
        } else {
            connection.answerEnds()
        }
    }

    private static func head(of request: Request) -> RequestHead {
        var fields = request.headers.map { (name: $0.name.canonicalName, value: $0.value) }
        if let host = request.head.authority { fields.append(("host", host)) }
        return RequestHead(
            method: request.method.rawValue, target: request.head.path ?? "/", host: request.head.authority,
            fields: HeaderFields(fields))
    }

    private func collect(_ body: RequestBody) async throws -> Dispatcher.Body {
        connection.bodyBegins()
        var bytes: [UInt8] = []
        for try await piece in body {
            guard bytes.count + piece.readableBytes <= RequestLimits.bodyBytes else { return .tooLarge }
            bytes.append(contentsOf: piece.readableBytesView)
        }
        connection.answerBegins()
        return .complete(bytes)
    }

    // MARK: WebSocket

    /// Ends when both sides have closed or the client is gone.
    private func socket(
        _ serve: @escaping @Sendable (MessageSocket) async -> Void, _ request: Request, _ response: Dispatcher.Response, _ channel: any Channel
    ) async throws {
        let fields = request.headers.map { (name: $0.name.canonicalName, value: $0.value) }
        let socket = try await WebSocketHandler.upgrade(channel, fields, fields: response.fields, connection)
        let work = Task { await serve(socket) }
        connection.whenGone { work.cancel() }
        defer { connection.whenGone(nil) }
        await withTaskCancellationHandler {
            await work.value
        } onCancel: {
            work.cancel()
        }
        if dispatcher.server.lifecycle.isDraining { socket.close(.goingAway, "the server is shutting down") }
        socket.close(.normal, "")
        if socket.overflowed || connection.wasStalled {
            dispatcher.server.log(LogLine(.warning, "WebSocket client disconnected: too slow", event: "websocket_client_disconnected"))
        }
    }

    // MARK: Writing

    private func write(_ response: Dispatcher.Response, isHead: Bool, _ writer: consuming ResponseWriter) async throws {
        var head = HTTPResponse(status: .init(code: response.status))
        head.headerFields[.date] = HTTPDate.now
        head.headerFields[.cacheControl] = "no-store"
        head.headerFields[.xContentTypeOptions] = "nosniff"
        if response.closes { head.headerFields[.connection] = "close" }
        for field in response.fields {
            if let name = HTTPFields.Element.Name(field.name) { head.headerFields[name] = field.value }
        }
        switch response.reply {
        case nil:
            try await writer.writeResponse(head)
        case .json(let value, _)?:
            try await write(ByteBuffer(string: value.serialized()), type: "application/json", head, isHead: isHead, writer)
        case .text(let text, let type, _)?:
            try await write(ByteBuffer(string: text), type: type, head, isHead: isHead, writer)
        case .resource(_, _, _, status: 304)?:
            try await writer.writeResponse(head)
        case .resource(let bytes, let type, _, _)?:
            try await write(ByteBuffer(bytes: bytes), type: type, head, isHead: isHead, writer)
        case .socket?: break
        case .events(let stream)?:
            head.headerFields[.contentType] = "text/event-stream; charset=utf-8"
            try await write(stream, head, writer)
        }
    }

    private func write(_ bytes: ByteBuffer, type: String, _ head: HTTPResponse, isHead: Bool, _ writer: consuming ResponseWriter) async throws {
        var head = head
        head.headerFields[.contentType] = type
        head.headerFields[.contentLength] = String(bytes.readableBytes)
        if isHead {
            try await writer.writeResponse(head)
        } else {
            try await writer.write(response: head, body: ResponseBody(byteBuffer: bytes))
        }
    }

    private func write(_ stream: EventStream, _ head: HTTPResponse, _ writer: consuming ResponseWriter) async throws {
        connection.whenGone { stream.cancel() }
        defer { connection.whenGone(nil) }
        var body = try await writer.writeHead(head)
        for await frame in stream.frames {
            try await body.write(ByteBuffer(string: frame))
            stream.emitter.sent(frame)
        }
        if connection.wasStalled {
            let seconds = RequestLimits.stalledReader.components.seconds
            dispatcher.server.log(LogLine(.warning, "SSE client disconnected: too slow, took nothing for \(seconds) s", event: "sse_client_disconnected"))
        }
        if connection.isGone || stream.emitter.overflowed { throw CancellationError() }
        try await body.finish(nil)
    }
}

