import Hummingbird
import HummingbirdCore
import Logging
import NIOCore

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// One listening socket and the connections that came by it.
final class Listener: Sendable {
    private let server: HummingbirdCore.Server<WatchedChannel>
    private let ports: AsyncStream<Int>
    private let announcement: AsyncStream<Int>.Continuation

    init(host: String, port: Int, dispatcher: Dispatcher, connections: Int, logger: Logger) {
        (ports, announcement) = AsyncStream.makeStream(of: Int.self)
        server = HummingbirdCore.Server(
            childChannelSetup: WatchedChannel { request, writer, channel, connection in
                try await Exchange(dispatcher: dispatcher, connection: connection).run(request, writer, channel)
            },
            configuration: ServerConfiguration(
                address: .hostname(host, port: port), serverName: nil,
                availableConnectionsDelegate: .maximum(connections, logger: logger)),
            onServerRunning: { [announcement] in announcement.yield($0.localAddress?.port ?? port) },
            eventLoopGroup: EventLoopGroupProvider.singleton.eventLoopGroup, logger: logger)
    }

    /// Listens until ``stop()`` and until every connection is closed.
    ///
    /// Runs apart from the caller's task, so that a graceful shutdown of the service around it does not close the socket
    /// before we say so.
    func start() -> Task<Void, any Error> {
        Task.detached { [server, announcement] in
            defer { announcement.finish() }
            try await server.run()
        }
    }

    /// The port, once the socket is bound; nil if it never will be.
    func port() async -> Int? {
        var ports = ports.makeAsyncIterator()
        return await ports.next()
    }

    /// Accepts no more connections, closes idle ones and lets the others end their answers.
    func stop() async { try? await server.shutdownGracefully() }
}

extension Listener {
    /// Why a socket could not be had, in words.
    static func refusal(_ result: Result<Void, any Error>, host: String, port: Int) -> ConfigurationError {
        let place = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        guard case .failure(let error) = result else { return ConfigurationError("\(place): the socket closed at once") }
        if let error = error as? IOError, error.errnoCode == EADDRINUSE {
            return ConfigurationError("\(place): another program listens there (choose another --port)")
        }
        return ConfigurationError("\(place): \(error)")
    }
}
