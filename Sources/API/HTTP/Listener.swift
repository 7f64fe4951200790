import Glibc
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// One listening socket and the connections that came by it.
final class Listener: Sendable {
    private let server: HummingbirdCore.Server<WatchedChannel>
    private let bound: AsyncStream<Int>

    init(host: String, port: Int, dispatcher: Dispatcher, connections: Int, logger: Logger) {
        let (bound, continuation) = AsyncStream.makeStream(of: Int.self)
        self.bound = bound
        server = HummingbirdCore.Server(
            childChannelSetup: WatchedChannel { request, writer, channel, connection in
                try await Exchange(dispatcher: dispatcher, connection: connection).run(request, writer, channel)
            },
            configuration: ServerConfiguration(
                address: .hostname(host, port: port), serverName: nil,
                availableConnectionsDelegate: .maximum(connections, logger: logger)),
            onServerRunning: { channel in
                continuation.yield(channel.localAddress?.port ?? port)
                continuation.finish()
            },
            eventLoopGroup: EventLoopGroupProvider.singleton.eventLoopGroup, logger: logger)
    }

    /// Listens until ``stop()`` and until every connection is closed.
    ///
    /// Runs apart from the caller's task, so that a graceful shutdown of the service around it does not close the socket
    /// before we say so.
    func start() -> Task<Void, any Error> { Task.detached { [server] in try await server.run() } }

    /// The port, once the socket is bound; nil if it never will be.
    func port(of running: Task<Void, any Error>) async -> Int? {
        await withTaskGroup(of: Int?.self) { group in
            group.addTask { [bound] in
                for await port in bound { return port }
                return nil
            }
            group.addTask {
                _ = await running.result
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
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
