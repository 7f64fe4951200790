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

    /// What a model is said to own is what the process has of it: within 3 % of its growth by a load and a long prompt, and of
    /// what an unload gives back.
    @Test(arguments: models.filter { !$0.hasPrefix(Corpus.testdata) })
    func whatAModelOwnsIsWhatTheProcessHasOfIt(_ path: String) throws {
        let place = URL(fileURLWithPath: path)
        let name = place.lastPathComponent
        let id = name.hasSuffix(".gguf") ? String(name.dropLast(5)) : name
        let server = try RunningServer(["--models-dir", place.deletingLastPathComponent().path, "--context", "2048"], waitsForModel: false)
        defer { server.stop() }
        func document(_ answer: LoopbackClient.Answer) throws -> JSONValue {
            #expect(answer.status == 200, "\(answer.text)")
            return try JSONValue.parse(answer.body, maximumDepth: 16)
        }
        func memory() throws -> JSONValue { try document(try server.client.get("/admin/memory", seconds: 20)) }
        func process() throws -> Double { try bytes(try memory()["process_anonymous_bytes"]) }
        let text = String(repeating: "The river runs to the sea and the sea gives it back. ", count: 140)

        // What the first requests of any kind leave behind is the program's: the second round counts.
        for round in 1...2 {
            let before = try process()
            _ = try document(try server.client.post("/admin/models/load", #"{"model_id":"\#(id)"}"#, seconds: 60))
            for _ in 0..<2 {
                _ = try document(
                    try server.client.post("/v1/completions", #"{"model":"auto","prompt":"\#(text)","max_tokens":8}"#, seconds: 60))
            }
            let now = try memory()
            guard case .array(let list)? = now["per_model"], let model = list.first else { throw JSONError(at: 0, "no model") }
            let full = try bytes(now["process_anonymous_bytes"])
            let owned = try bytes(model["resident_bytes"])
            _ = try document(try server.client.send("POST", "/admin/models/unload", body: nil, headers: [:]))
            let after = try process()
            print("\(name), round \(round): owns \(Int(owned)), the process grew by \(Int(full - before)), gave back \(Int(full - after))")
            guard round == 2 else { continue }
            #expect(abs(full - before - owned) < 0.03 * owned, "\(full - before) bytes grown, \(owned) owned")
            #expect(abs(full - after - owned) < 0.03 * owned, "\(full - after) bytes given back, \(owned) owned")
        }
    }
}
