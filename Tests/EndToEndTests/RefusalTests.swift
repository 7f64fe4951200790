import Foundation
import TestSupport
import Testing

/// What is wrong gets one clear line, and the program goes on or ends in order.
@Suite struct RefusalTests {
    /// A folder of its own for a test's files.
    private func folder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lmx-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    private func refusal(_ path: String, _ command: String = "check") throws -> String {
        let outcome = try Binary.run([command, path])
        #expect(outcome.status == 1, "\(command) \(path): status \(outcome.status)")
        #expect(outcome.lines.count == 1, "\(outcome.errors)")
        return outcome.errors
    }

    @Test func aTextFileIsRefusedInOneLine() throws {
        let file = try folder().appendingPathComponent("notes.gguf")
        try Data("these are notes, not weights\n".utf8).write(to: file)
        #expect(try refusal(file.path).contains("notes.gguf"))
    }

    @Test func aTruncatedFileIsRefusedInOneLine() throws {
        let whole = try Data(contentsOf: URL(fileURLWithPath: Corpus.testdata + "/tiny/llama/gguf/F32.gguf"))
        let folder = try folder()
        for share in [4, whole.count / 7, whole.count / 2, whole.count - 1] {
            let file = folder.appendingPathComponent("cut-\(share).gguf")
            try whole.prefix(share).write(to: file)
            #expect(try refusal(file.path).contains("cut-\(share).gguf"))
        }
    }

    @Test func anUnknownArchitectureIsNamed() throws {
        let whole = try Data(contentsOf: URL(fileURLWithPath: Corpus.testdata + "/tiny/qwen2/gguf/F32.gguf"))
        let file = try folder().appendingPathComponent("stranger.gguf")
        // The value of general.architecture: its length stays.
        guard let place = whole.range(of: Data("general.architecture".utf8)),
            let name = whole.range(of: Data("qwen2".utf8), in: place.upperBound..<whole.endIndex)
        else {
            _ = Issue.record("the file names no architecture")
            return
        }
        var changed = whole
        changed.replaceSubrange(name, with: Data("qwexx".utf8))
        try changed.write(to: file)
        #expect(try refusal(file.path).contains("qwexx"))
    }

    @Test func aMissingFileIsRefusedInOneLine() throws {
        #expect(try refusal("/nonexistent/model.gguf").contains("/nonexistent/model.gguf"))
    }

    @Test func wrongUsageExitsWithTwo() throws {
        #expect(try Binary.run(["inspect"]).status == 2)
        #expect(try Binary.run(["frobnicate"]).status == 2)
        #expect(try Binary.run(["bench", "--prompt", "many", "x"]).status == 2)
    }

    @Test func anUnknownInstructionSetIsRefused() throws {
        let outcome = try Binary.run(["check", Corpus.testdata + "/tiny/llama/gguf/F32.gguf"], environment: ["LMX_ISA": "nonsense"])
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("nonsense") && outcome.errors.contains("scalar"))
    }

    @Test func aRefusalWithJSONHasAStableCode() throws {
        let outcome = try Binary.run(["inspect", "--json", "/nonexistent/model.gguf"])
        #expect(outcome.status == 1)
        #expect(outcome.output.contains("\"code\":\"unreadable\""))
    }
}
