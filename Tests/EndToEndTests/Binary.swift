import Foundation
import TestSupport

/// The `lmx` binary that was built beside the tests.
enum Binary {
    struct Outcome: Sendable {
        var status: Int32
        var output: String
        var errors: String
        /// Standard error without progress bars: what a refusal says.
        var lines: [Substring] { errors.split(separator: "\n") }
    }

    /// Where the build puts it, or LMX_BINARY.
    static let path: String = {
        if let named = ProcessInfo.processInfo.environment["LMX_BINARY"] { return named }
        let beside = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent("lmx").path
        return FileManager.default.isExecutableFile(atPath: beside) ? beside : Corpus.packageFolder + "/.build/release/lmx"
    }()

    static func run(_ arguments: [String], input: String? = nil, environment: [String: String] = [:]) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let output = Pipe()
        let errors = Pipe()
        let entrance = Pipe()
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = input == nil ? FileHandle.nullDevice : entrance
        try process.run()
        if let input {
            entrance.fileHandleForWriting.write(Data(input.utf8))
            try entrance.fileHandleForWriting.close()
        }
        // Both pipes at once, so that neither fills up while the other is read.
        nonisolated(unsafe) var wrong = Data()
        let reader = Thread { wrong = errors.fileHandleForReading.readDataToEndOfFile() }
        reader.start()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        while !reader.isFinished { usleep(1000) }
        return Outcome(
            status: process.terminationStatus, output: String(decoding: text, as: UTF8.self), errors: String(decoding: wrong, as: UTF8.self)
        )
    }
}

/// A running `lmx serve` on a free port; ends with its owner.
final class RunningServer {
    let client: LoopbackClient
    let process: Process
    private let log: URL

    /// Seconds from the start of the process until `/healthz` answered.
    let secondsToHealth: Double
    /// Seconds until `/readyz` said ready, nil where no model was given.
    let secondsToReady: Double?

    var output: String { (try? String(contentsOf: log, encoding: .utf8)) ?? "" }

    /// - Parameter port: nil: a free one.
    init(_ arguments: [String], port: Int? = nil, waitsForModel: Bool = true) throws {
        let port = try port ?? Self.freePort()
        client = LoopbackClient(port: port)
        log = FileManager.default.temporaryDirectory.appendingPathComponent("lmx-serve-\(UUID().uuidString).log")
        FileManager.default.createFile(atPath: log.path, contents: nil)
        process = Process()
        process.executableURL = URL(fileURLWithPath: Binary.path)
        process.arguments = ["serve"] + arguments + ["--port", String(port)]
        let handle = try FileHandle(forWritingTo: log)
        process.standardOutput = handle
        process.standardError = handle
        process.standardInput = FileHandle.nullDevice
        let start = Date()
        try process.run()
        secondsToHealth = try Self.wait(for: "/healthz", client, process, since: start)
        secondsToReady = waitsForModel ? try Self.wait(for: "/readyz", client, process, since: start) : nil
    }

    deinit { stop() }

    func stop() {
        guard process.isRunning else { return }
        process.terminate()
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: log)
    }

    private static func wait(for path: String, _ client: LoopbackClient, _ process: Process, since start: Date) throws -> Double {
        while Date().timeIntervalSince(start) < 60 {
            if let answer = try? client.get(path, seconds: 5), answer.status == 200 { return Date().timeIntervalSince(start) }
            guard process.isRunning else { throw LoopbackClientFailure("the server ended before it answered \(path)") }
            usleep(5000)
        }
        throw LoopbackClientFailure("\(path) did not answer 200 within a minute")
    }

    private static func freePort() throws -> Int {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) == 0 && getsockname(socket, $0, &length) == 0
            }
        }
        guard result else { throw LoopbackClientFailure("no free port on 127.0.0.1") }
        return Int(in_port_t(bigEndian: address.sin_port))
    }
}

struct LoopbackClientFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
