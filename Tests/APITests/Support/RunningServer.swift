import API
import Dispatch
import Engine
import Glibc
import Logging
import Synchronization
import TestSupport
import Weights

/// A server on a loopback port that the system chose, with scripted models instead of real ones.
struct RunningServer: Sendable {
    let port: Int
    let engine: InferenceEngine
    let lines: Lines
    let hub: EventHub
    var client: LoopbackClient { LoopbackClient(port: port) }

    /// The lines for the operator, as they came.
    final class Lines: Sendable {
        private let list = Locked<[String]>([])
        func add(_ line: LogLine) { list.withLock { $0.append(line.description) } }
        var all: [String] { list.withLock { $0 } }
    }

    /// Runs `body` against a server, and ends the server.
    ///
    /// - Parameters:
    ///   - script: what every model of it says.
    ///   - models: loaded before `body` begins.
    ///   - disk: could be loaded besides.
    ///   - template: of every model.
    static func run(
        _ script: Script = Script(), models: [String] = ["tiny"], disk: [String] = [], template: String? = Script.template,
        options: EngineOptions = EngineOptions(), configuration: Configuration = Configuration(),
        closures: Closures = Closures(), catalogue: (@Sendable () -> [CatalogueEntry])? = nil, memory: (@Sendable () -> Memory)? = nil, loader: ModelLoader? = nil,
        _ body: @Sendable @escaping (RunningServer) async throws -> Void
    ) async throws {
        var configuration = configuration
        configuration.port = 0
        let entries = (models + disk).map {
            CatalogueEntry(id: $0, path: "/models/\($0)", format: "gguf", quantization: "Q4_1", sizeBytes: 1 << 20)
        }
        let engine = InferenceEngine(options: options)
        let lines = Lines()
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        var context = ServerContext(
            engine: engine, configuration: configuration, version: "0.0.0-test", models: [],
            loader: loader ?? { entry, _ in try script.loaded(entry.id, template: template) },
            catalogue: catalogue ?? { entries }, closures: closures, log: { lines.add($0) }, logger: logger)
        // A busy machine's own memory is no part of a test.
        context.memory = memory ?? { Memory(totalBytes: 64 << 30, availableBytes: 32 << 30) }
        for id in models { _ = try await engine.load(id) { _ in try script.loaded(id, template: template) } }

        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let server = Server(context) { continuation.yield($0) }
        let running = Task {
            defer { continuation.finish() }
            try await server.run()
        }
        var iterator = ports.makeAsyncIterator()
        guard let port = await iterator.next() else {
            try await running.value
            throw ClientFailure(description: "the server ended at once")
        }
        let hub = context.events
        let result = await Result { try await body(RunningServer(port: port, engine: engine, lines: lines, hub: hub)) }
        running.cancel()
        _ = await running.result
        await engine.drain(grace: .zero)
        try result.get()
    }

    // MARK: Requests, on threads of their own: the client blocks

    func get(_ path: String, headers: [String: String] = [:]) async throws -> LoopbackClient.Answer {
        try await blocking { try client.get(path, headers: headers, seconds: 20) }
    }

    func post(_ path: String, _ json: String, headers: [String: String] = [:]) async throws -> LoopbackClient.Answer {
        try await blocking { try client.post(path, json, headers: headers, seconds: 20) }
    }

    func send(
        _ method: String, _ path: String, body: [UInt8]? = nil, headers: [String: String] = [:]
    ) async throws -> LoopbackClient.Answer {
        try await blocking { try client.send(method, path, body: body, headers: headers, seconds: 20) }
    }

    /// Bytes as they are, and what comes back until the server closes the connection.
    ///
    /// - Parameter end: what is waited for instead.
    func raw(_ text: String, until end: String? = nil) async throws -> String {
        try await blocking {
            let socket = try client.connect(seconds: 20)
            defer { close(socket) }
            try client.write(Array(text.utf8), to: socket)
            if let end {
                var got: [UInt8] = []
                var block = [UInt8](repeating: 0, count: 4096)
                while !got.contains(Array(end.utf8)) {
                    let count = recv(socket, &block, block.count, 0)
                    guard count > 0 else { throw ClientFailure(description: "no '\(end)' in what came") }
                    got += block.prefix(count)
                }
                return String(decoding: got, as: UTF8.self)
            }
            return String(decoding: try client.readAll(socket), as: UTF8.self)
        }
    }

    /// Begins a POST and hands over the socket after `bytes` of the answer have come, or at once.
    func open(_ path: String, _ json: String, awaiting bytes: Int) async throws -> Int32 {
        try await blocking {
            let socket = try client.connect(seconds: 20)
            let head = "POST \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \(json.utf8.count)\r\n\r\n"
            try client.write(Array((head + json).utf8), to: socket)
            var block = [UInt8](repeating: 0, count: 4096)
            var got = 0
            while got < bytes {
                let count = recv(socket, &block, block.count, 0)
                guard count > 0 else { throw ClientFailure(description: "the answer ended after \(got) bytes") }
                got += count
            }
            return socket
        }
    }
}

/// Runs what blocks on a thread of its own: the server under test lives on the threads of this process's concurrency.
func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        let thread = DispatchQueue(label: "client")
        thread.async { continuation.resume(with: Result { try work() }) }
    }
}

extension Result where Failure == any Error {
    init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}

extension LoopbackClient.Answer {
    var json: JSONValue { (try? JSONValue.parse(body)) ?? .null }
    /// The parsed data of each event but `[DONE]`.
    var chunks: [JSONValue] { events.filter { $0 != "[DONE]" }.map { (try? JSONValue.parse($0)) ?? .null } }
}

extension JSONValue {
    subscript(index: Int) -> JSONValue? {
        if case .array(let list) = self, list.indices.contains(index) { list[index] } else { nil }
    }
    var string: String? { if case .string(let text) = self { text } else { nil } }
    var number: Double? {
        switch self {
        case .int(let number): Double(number)
        case .float(let number): number
        default: nil
        }
    }
    var int: Int? { if case .int(let number) = self { number } else { nil } }
    var bool: Bool? { if case .bool(let flag) = self { flag } else { nil } }
    var count: Int { if case .array(let list) = self { list.count } else { 0 } }
    var keys: [String] { if case .object(let object) = self { object.map(\.key) } else { [] } }
}

struct ClientFailure: Error, CustomStringConvertible { let description: String }

final class Counter: Sendable {
    private let number = Atomic(0)
    func add() { number.add(1, ordering: .relaxed) }
    var value: Int { number.load(ordering: .relaxed) }
}

/// Holds up a loader until it is opened.
final class Gate: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)
    func wait() { semaphore.wait() }
    func open() { semaphore.signal() }
}

func closeSocket(_ socket: Int32) { close(socket) }
