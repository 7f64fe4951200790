import Dispatch
import Engine
import Logging
public import ServiceLifecycle
import Weights

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The HTTP server: listens first, loads models then, and stops in order.
///
/// Stopping: `/readyz` says no at once and new requests are refused, running ones may end within the drain time, the
/// rest end with an error, and the sockets close last.
public struct Server: Service {
    private let context: ServerContext
    private let onListening: @Sendable (Int) -> Void

    /// - Parameter onListening: is told the port once requests are answered, before any model is loaded.
    public init(_ context: ServerContext, onListening: @escaping @Sendable (_ port: Int) -> Void = { _ in }) {
        self.context = context
        self.onListening = onListening
    }

    /// Serves until a graceful shutdown of the service group around it, or until the task is cancelled.
    ///
    /// Throws `ConfigurationError` when it may not or cannot listen.
    public func run() async throws {
        let configuration = context.configuration
        try configuration.validate()
        let sockets = try await listen(configuration)
        for warning in configuration.warnings { context.log(LogLine(.warning, warning, event: "configuration_warning")) }
        context.log(
            LogLine(
                .info, "LMX starting on \(configuration.addresses[0]):\(sockets.port)", event: "server_starting",
                [
                    "host": .string(configuration.addresses[0]), "port": .int(sockets.port),
                    "security_profile": .string(configuration.profile.rawValue), "version": .string(context.version),
                ]))
        onListening(sockets.port)

        let loading = Task { await loadModels() }
        let monitor = Task { await Monitor(server: context).run() }
        defer { monitor.cancel() }
        await withTaskCancellationHandler {
            // Ends when the task is cancelled, too.
            try? await gracefulShutdown()
            context.lifecycle.drain()
            loading.cancel()
            await context.downloads.end()
            if !Task.isCancelled { await context.engine.drain(grace: context.configuration.drainTime) }
        } onCancel: {
            for socket in sockets.running { socket.cancel() }
        }
        await stop(sockets)
        context.log(LogLine(.info, nil, event: "server_shutdown"))
    }

    /// Serves until the process is told to stop by SIGTERM or SIGINT; a second signal ends it at once. SIGHUP reads the
    /// configuration again.
    public func runUntilSignalled() async throws {
        let group = ServiceGroup(configuration: .init(services: [self], logger: context.logger))
        let queue = DispatchQueue(label: "lmx.signals")
        let sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            return DispatchSource.makeSignalSource(signal: number, queue: queue)
        }
        for (source, number) in zip(sources, [SIGTERM, SIGINT]) {
            source.setEventHandler { [lifecycle = context.lifecycle] in
                guard !lifecycle.isDraining else { _exit(128 + number) }
                lifecycle.drain()
                Task { await group.triggerGracefulShutdown() }
            }
            source.resume()
        }
        signal(SIGHUP, SIG_IGN)
        let hangup = DispatchSource.makeSignalSource(signal: SIGHUP, queue: queue)
        hangup.setEventHandler { [context] in Task { _ = try? await context.reloadConfiguration() } }
        hangup.resume()
        defer { for source in sources + [hangup] { source.cancel() } }
        try await group.run()
    }

    // MARK: Starting

    private struct Sockets {
        var port: Int
        var listeners: [Listener]
        var running: [Task<Void, any Error>]
    }

    /// Binds the first address, and the others at the same port where the machine has them.
    private func listen(_ configuration: Configuration) async throws -> Sockets {
        // A socket for each connection, and room for models and everything else.
        let connections = max(8, min(RequestLimits.connections, Machine.raiseFileLimit() - 40))
        let dispatcher = Dispatcher(context, machine: Machine.name)
        var logger = context.logger
        logger.logLevel = max(logger.logLevel, .warning)
        var sockets = Sockets(port: configuration.port, listeners: [], running: [])
        for (index, host) in configuration.addresses.enumerated() {
            let listener = Listener(host: host, port: sockets.port, dispatcher: dispatcher, connections: connections, logger: logger)
            let running = listener.start()
            guard let port = await listener.port() else {
                if index > 0 { continue }
                throw Listener.refusal(await running.result, host: host, port: sockets.port)
            }
            sockets.port = port
            sockets.listeners.append(listener)
            sockets.running.append(running)
        }
        return sockets
    }

    /// A model that cannot be loaded is reported; the server goes on and answers for the others.
    private func loadModels() async {
        for entry in context.models where !Task.isCancelled { _ = try? await context.loads.load(entry) }
        if !Task.isCancelled, !context.engine.models.isEmpty { context.log(LogLine(.info, "Ready for inference", event: "server_ready")) }
    }

    // MARK: Stopping

    /// Lets answers that are on their way reach their clients, but not for ever.
    private func stop(_ sockets: Sockets) async {
        context.events.close()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(for: .seconds(2)) }
            group.addTask {
                for listener in sockets.listeners { await listener.stop() }
            }
            await group.next()
            for running in sockets.running { running.cancel() }
            group.cancelAll()
        }
    }
}
