import Foundation
import TestSupport
import Testing

/// Conversions that do not come to their end: nothing stands under the final name, and the next one needs no cleaning up.
@Suite struct BrokenConversionTests {
    /// A source, and what it becomes.
    enum Way: String, CaseIterable {
        case toFolder, toFile

        var source: String { Corpus.testdata + (self == .toFolder ? "/tiny/llama/gguf/F32.gguf" : "/tiny/llama/hf") }
        func destination(in folder: URL) -> String { folder.appendingPathComponent(self == .toFolder ? "made" : "made.gguf").path }
    }

    private static func scratch() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lmx-broken-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// Bytes of a file, or of all files of a folder; nil where nothing is.
    private static func size(_ path: String) -> Int? {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return nil }
        let files = isFolder.boolValue ? (try? FileManager.default.contentsOfDirectory(atPath: path))?.map { path + "/" + $0 } ?? [] : [path]
        return files.reduce(0) { $0 + (((try? FileManager.default.attributesOfItem(atPath: $1))?[.size] as? Int) ?? 0) }
    }

    @Test(arguments: Way.allCases) func killedAtAnyMomentLeavesNoHalfResult(_ way: Way) throws {
        let folder = try Self.scratch()
        defer { try? FileManager.default.removeItem(at: folder) }
        let destination = way.destination(in: folder)
        let start = Date()
        #expect(try Binary.run(["convert", way.source, destination]).status == 0)
        let length = Date().timeIntervalSince(start)
        let whole = try #require(Self.size(destination))
        try FileManager.default.removeItem(atPath: destination)

        var random = SeededRandom(seed: 9)
        var finished = 0
        for round in 0..<50 {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: Binary.path)
            process.arguments = ["convert", way.source, destination]
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            usleep(UInt32(Double.random(in: 0...length * 1.1, using: &random) * 1e6))
            kill(process.processIdentifier, round % 2 == 0 ? SIGKILL : SIGTERM)
            process.waitUntilExit()
            // SIGTERM is answered: not even the scratch folder is left.
            if round % 2 == 1, process.terminationReason == .exit {
                #expect(!FileManager.default.fileExists(atPath: destination + ".partial"))
            }
            if let size = Self.size(destination) {
                #expect(size == whole, "round \(round)")
                try FileManager.default.removeItem(atPath: destination)
                finished += 1
            }
        }
        print("\(way.rawValue): \(finished) of 50 conversions had finished when they were to be killed")
        #expect(try Binary.run(["convert", way.source, destination]).status == 0)
        #expect(Self.size(destination) == whole)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 1)
    }

    @Test(arguments: Way.allCases) func withoutRoomNothingIsLeft(_ way: Way) throws {
        let folder = try Self.scratch()
        defer { try? FileManager.default.removeItem(at: folder) }
        let destination = way.destination(in: folder)
        #expect(try Binary.run(["convert", way.source, destination]).status == 0)
        let blocks = try #require(Self.size(destination)) / 512
        try FileManager.default.removeItem(atPath: destination)
        for step in 0..<20 {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            let line = "ulimit -f \(blocks * step / 20); exec \"$0\" convert \"$1\" \"$2\""
            process.arguments = ["-c", line, Binary.path, way.source, destination]
            let errors = Pipe()
            process.standardOutput = FileHandle.nullDevice
            process.standardError = errors
            try process.run()
            let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 1, "\(step): \(text)")
            #expect(text.contains("File too large"), "\(text)")
            #expect(text.split(separator: "\n").count == 1)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        }
        #expect(try Binary.run(["convert", way.source, destination]).status == 0)
    }

    @Test func aDryRunWritesNothing() throws {
        let folder = try Self.scratch()
        defer { try? FileManager.default.removeItem(at: folder) }
        let outcome = try Binary.run(["convert", Way.toFile.source, Way.toFile.destination(in: folder), "--quantize", "q4_k_m", "--dry-run"])
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("nothing written"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }
}
