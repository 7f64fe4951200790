import API
import Engine
import Logging
import ServiceLifecycle
import TestSupport
import Testing
import Weights

@Suite struct LifecycleTests {
    /// A server in a service group, as the program runs it.
    static func start(
        _ script: Script, drain: Duration, entries: [CatalogueEntry], loader: ModelLoader? = nil
    ) async throws -> (RunningServer, ServiceGroup, Task<Void, any Error>) {
        var configuration = Configuration()
        configuration.port = 0
        configuration.drainTime = drain
        let lines = RunningServer.Lines()
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let engine = InferenceEngine()
        let context = ServerContext(
            engine: engine, configuration: configuration, version: "0", models: entries,
            loader: loader ?? { entry, _ in try script.loaded(entry.id) }, catalogue: { [] }, log: { lines.add($0) }, logger: logger)
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let group = ServiceGroup(
            configuration: .init(services: [Server(context) { continuation.yield($0) }], logger: logger))
        let running = Task { try await group.run() }
        var iterator = ports.makeAsyncIterator()
        let port = await iterator.next() ?? 0
        return (RunningServer(port: port, engine: engine, lines: lines, hub: context.events), group, running)
    }

    static let tiny = CatalogueEntry(id: "tiny", path: "/models/tiny", format: "gguf", quantization: nil, sizeBytes: 1)

    @Test func theServerAnswersWhileItsFirstModelLoads() async throws {
        let gate = Gate()
        let (server, group, running) = try await Self.start(
            Script(), drain: .seconds(5), entries: [Self.tiny],
            loader: { entry, _ in
                gate.wait()
                return try Script().loaded(entry.id)
            })
        #expect(try await server.get("/healthz").status == 200)
        #expect(try await server.get("/readyz").status == 503)
        gate.open()
        #expect(try await StreamTests.eventually { try await server.get("/readyz").status == 200 })
        #expect(try await StreamTests.eventually { server.lines.all.last == "INFO:     Ready for inference" })
        await group.triggerGracefulShutdown()
        try await running.value
    }

    @Test func aModelThatDoesNotLoadLeavesTheServerRunning() async throws {
        let (server, group, running) = try await Self.start(
            Script(), drain: .seconds(5), entries: [Self.tiny], loader: { _, _ in throw ModelError(.truncated, at: "tiny.gguf", "ends early") })
        #expect(try await StreamTests.eventually { server.lines.all.contains { $0.hasPrefix("ERROR:    Model not loaded: tiny: tiny.gguf: ends early") } })
        #expect(try await server.get("/healthz").status == 200)
        await group.triggerGracefulShutdown()
        try await running.value
    }

    @Test func aShutdownLetsAStreamEnd() async throws {
        let (server, group, running) = try await Self.start(
            Script(String(repeating: "x", count: 200), microsecondsPerStep: 10_000), drain: .seconds(20), entries: [Self.tiny])
        #expect(try await StreamTests.eventually { !server.engine.models.isEmpty })
        async let stream = server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#))
        #expect(try await StreamTests.eventually { server.engine.status().inFlight == 1 })
        await group.triggerGracefulShutdown()
        #expect(try await StreamTests.eventually { try await server.get("/readyz").json["reason"]?.string == "shutting down" })
        #expect(try await server.get("/healthz").status == 200)
        #expect(try await server.post("/v1/chat/completions", ChatTests.body()).status == 503)
        let answer = try await stream
        #expect(answer.events.last == "[DONE]")
        #expect(answer.chunks.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }.joined().count == 200)
        try await running.value
        #expect(throws: (any Error).self) { try server.client.get("/healthz", seconds: 2) }
    }

    @Test func aStreamThatOutlastsTheDrainEndsWithAnError() async throws {
        let (server, group, running) = try await Self.start(
            Script(microsecondsPerStep: 10_000, isEndless: true), drain: .milliseconds(300), entries: [Self.tiny])
        #expect(try await StreamTests.eventually { !server.engine.models.isEmpty })
        async let stream = server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#))
        #expect(try await StreamTests.eventually { server.engine.status().inFlight == 1 })
        await group.triggerGracefulShutdown()
        let answer = try await stream
        #expect(answer.chunks.last?["error"]?["message"]?.string == "the server is shutting down")
        #expect(answer.events.last == "[DONE]")
        try await running.value
    }

    @Test func aSecondServerOnTheSamePortSaysSoAndEnds() async throws {
        try await RunningServer.run { server in
            var configuration = Configuration()
            configuration.port = server.port
            let context = ServerContext(
                engine: InferenceEngine(), configuration: configuration, version: "0", loader: { _, _ in throw ClientFailure(description: "") },
                catalogue: { [] }, log: { _ in })
            let error = await #expect(throws: ConfigurationError.self) { try await Server(context).run() }
            #expect(error?.description == "127.0.0.1:\(server.port): another program listens there (choose another --port)")
        }
    }
}
