import Hummingbird
import HummingbirdCore
import Logging
import NIOCore

/// Hummingbird's HTTP/1 channel with a ``Connection`` beside it.
struct WatchedChannel: ServerChildChannel {
    struct Value: ServerChildChannelValue {
        let http: HTTP1Channel.Value
        let connection: Connection
        var channel: any Channel { http.channel }
    }

    typealias Responder = @Sendable (Request, consuming ResponseWriter, any Channel, Connection) async throws -> Void

    private let responder: Responder
    private let configuration: HTTP1Channel.Configuration

    init(_ responder: @escaping Responder) {
        self.responder = responder
        configuration = HTTP1Channel.Configuration(
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: RequestLimits.headerBytes, maxHeaderListSize: RequestLimits.headerBytes,
                maxHeaderFieldCount: RequestLimits.headerFields))
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let connection = Connection()
        do {
            try channel.pipeline.syncOperations.addHandler(ConnectionHandler(connection))
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
        return http { _, _, _ in }.setup(channel: channel, logger: logger).map { Value(http: $0, connection: connection) }
    }

    func handle(value: Value, logger: Logger) async {
        let responder = responder
        let channel = http { request, writer, channel in
            try await responder(request, writer, channel, value.connection)
        }
        await channel.handle(value: value.http, logger: logger)
    }

    private func http(_ respond: @escaping HTTPChannelHandler.Responder) -> HTTP1Channel {
        HTTP1Channel(responder: respond, configuration: configuration)
    }
}
