import Foundation
import TestSupport
import Testing
import Weights

/// What `inspect` foretells against what a run has resident at its peak.
@Suite struct MemoryTests {
    private static let models: [String] = {
        let tiny = ["llama/gguf/Q4_0.gguf", "qwen3/gguf/Q8_0.gguf"].map { Corpus.testdata + "/tiny/" + $0 }
        let real = ["SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct-mlx-4bit"].map { (Corpus.models ?? "") + "/" + $0 }
        return (tiny + real).filter { path in
            let isThere = FileManager.default.fileExists(atPath: path)
            if !isThere { print("\(path): not present, its memory is not measured") }
            return isThere
        }
    }()

    private func document(_ arguments: [String]) throws -> JSONValue {
        let outcome = try Binary.run(arguments + ["--json"])
        #expect(outcome.status == 0, "\(arguments): \(outcome.errors)")
        return try JSONValue.parse(Array(outcome.output.utf8))
    }

    private func bytes(_ value: JSONValue?) throws -> Double {
        guard case .int(let number)? = value else { throw JSONError(at: 0, "no number") }
        return Double(number)
    }

    /// Within 3 %, and eight megabytes: what the program itself takes differs from run to run.
    @Test(arguments: models)
    func memoryIsAsForetold(_ path: String) throws {
        let bench = try document(["bench", path, "--prompt", "512", "--generate", "8", "--repetitions", "1"])
        guard case .array(let results)? = bench["models"], let result = results.first else {
            throw JSONError(at: 0, "bench reports no model")
        }
        let peak = try bytes(result["peak_resident_bytes"])
        let foretold = try bytes(result["predicted_bytes"])
        #expect(abs(peak - foretold) < 0.03 * foretold + 8_000_000, "\(peak) where \(foretold) were foretold")

        // A benchmark opens no tokenizer and no template, which inspect counts with the program.
        let memory = try document(["inspect", path, "--context", "520"])["memory"]
        let parts = try ["weights_bytes", "cache_bytes", "workspace_bytes"].reduce(0) { $0 + (try bytes(memory?[$1])) }
        #expect(peak - parts < 100_000_000, "\(peak) for \(parts) of weights, cache and workspace")
        #expect(try bytes(memory?["total_bytes"]) == parts + bytes(memory?["program_bytes"]))
    }
}
