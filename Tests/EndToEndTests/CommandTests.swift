import Foundation
import TestSupport
import Testing
import Weights

/// Every command answers, on the tiny models.
@Suite struct CommandTests {
    private let model = Corpus.testdata + "/tiny/llama/gguf/F32.gguf"
    private let directory = Corpus.testdata + "/tiny/llama/hf"

    private func document(_ arguments: [String]) throws -> JSONValue {
        let outcome = try Binary.run(arguments + ["--json"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try JSONValue.parse(Array(outcome.output.utf8), maximumDepth: 64)
    }

    @Test func everyCommandHasHelpWithAnExample() throws {
        for command in ["serve", "run", "inspect", "convert", "bench", "perplexity", "tokenize", "check", "list"] {
            let outcome = try Binary.run([command, "--help"])
            #expect(outcome.status == 0)
            #expect(outcome.output.contains("Example"), "\(command)")
        }
    }

    @Test func inspectSaysWhatBothFormatsAre() throws {
        for path in [model, directory] {
            let found = try document(["inspect", path])
            #expect(found["architecture"]?["name"] == .string("llama"), "\(path)")
        }
    }

    @Test func bothFormatsHaveTheSameTokens() throws {
        let text = "Hello, world: 12345 — ünïcode\n  and blanks"
        #expect(try document(["tokenize", model, text])["ids"] == document(["tokenize", directory, text])["ids"])
    }

    @Test func bothFormatsGiveTheSameAnswer() throws {
        let question = ["--raw", "--max-tokens", "24", "--temperature", "0"]
        let gguf = try document(["run", model, "the quick brown"] + question)
        let safetensors = try document(["run", directory, "the quick brown"] + question)
        #expect(gguf["text"] == safetensors["text"])
        #expect(gguf["tokens"] == safetensors["tokens"])
    }

    @Test func theSameSeedGivesTheSameText() throws {
        let question = ["run", model, "the", "--raw", "--max-tokens", "24", "--temperature", "1", "--seed"]
        #expect(try document(question + ["7"])["text"] == document(question + ["7"])["text"])
        #expect(try document(question + ["7"])["text"] != document(question + ["8"])["text"])
    }

    @Test func checkSaysThatTheModelWouldServe() throws {
        #expect(try document(["check", model])["serves"] == .bool(true))
    }

    @Test func listShowsWhatTheFoldersHold() throws {
        let models = try document(["list", "--models-dir", Corpus.testdata + "/tiny/llama/gguf"])["models"]
        guard case .array(let entries) = models else {
            _ = Issue.record("no list")
            return
        }
        #expect(entries.contains { $0["id"] == .string("Q4_1") && $0["quantization"] == .string("Q4_1") })
    }

    @Test func benchMeasures() throws {
        let found = try document(["bench", model, "--prompt", "64", "--generate", "8", "--repetitions", "2"])
        guard case .array(let models) = found["models"], case .array(let tests) = models.first?["tests"],
            case .array(let prompt) = tests.first?["tokens_per_second"]
        else {
            _ = Issue.record("no figures")
            return
        }
        #expect(tests.map { $0["test"] } == [.string("prompt"), .string("generate")])
        #expect(prompt.count == 2)
    }

    @Test func benchMeasuresEverySizeOfAList() throws {
        let found = try document([
            "bench", model, "--prompt", "16,32", "--generate", "4", "--depth", "0,40", "--batch", "1,2", "--repetitions", "1",
        ])
        guard case .array(let models) = found["models"], case .array(let tests) = models.first?["tests"] else {
            _ = Issue.record("no figures")
            return
        }
        let sizes = tests.map { [$0["tokens"], $0["depth"], $0["batch"]] }
        #expect(sizes == [[16, 0, 1], [32, 0, 1], [4, 0, 1], [4, 40, 1], [4, 0, 2], [4, 40, 2]].map { $0.map { .int($0) } })
    }

    @Test func benchMeasuresTheMachine() throws {
        let found = try document(["bench", "--machine", model, "--prompt", "32", "--working-set", "1048576"])
        guard case .array(let reads) = found["reads"], case .array(let kernels) = found["kernels"] else {
            _ = Issue.record("no figures")
            return
        }
        #expect(reads.contains { $0["bytes"] == .int(1_048_576) })
        #expect(kernels.contains { $0["logits"] == .bool(true) } && kernels.contains { $0["logits"] == .bool(false) })
    }

    @Test func theDivergenceOfPackedFromPreciseArithmeticIsSmall() throws {
        let text = Corpus.testdata + "/text/english.txt"
        let found = try document(["perplexity", model, text, "--against", model, "--window", "64", "--windows", "20"])
        guard case .float(let divergence) = found["kl_divergence"] else {
            _ = Issue.record("no figure")
            return
        }
        #expect(abs(divergence) < 1e-4, "f32 weights run in f32 either way")
    }

    /// The proof of the two formats without any other tool: codes move, so the answers are the same. To the last digit where
    /// both run in one form; a constant zero of Q4_0 and Q8_0 becomes MLX's offset, which sums in another order.
    @Test(arguments: ["Q4_0", "Q4_1", "Q8_0", "F16"])
    func aConvertedModelAnswersAsItsSource(_ type: String) throws {
        let source = Corpus.testdata + "/tiny/llama/gguf/\(type).gguf"
        let destination = FileManager.default.temporaryDirectory.appendingPathComponent("lmx-convert-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: destination) }
        let converted = try Binary.run(["convert", source, destination])
        #expect(converted.status == 0, "\(converted.errors)")
        let question = ["--raw", "--max-tokens", "24", "--temperature", "0", "--top-logprobs", "3"]
        let before = try document(["run", source, "the quick brown"] + question)
        let after = try document(["run", destination, "the quick brown"] + question)
        #expect(before["text"] == after["text"])
        if !["Q4_0", "Q8_0"].contains(type) { #expect(before["tokens"] == after["tokens"]) }
    }

    private func scratch(_ suffix: String = "") -> String {
        FileManager.default.temporaryDirectory.appendingPathComponent("lmx-convert-\(UUID().uuidString)\(suffix)").path
    }

    @Test func anExactConversionIsVerifiedToBeTheSame() throws {
        let destination = scratch()
        defer { try? FileManager.default.removeItem(atPath: destination) }
        let text = Corpus.testdata + "/text/english.txt"
        let found = try document(["convert", Corpus.testdata + "/tiny/llama/gguf/Q4_1.gguf", destination, "--verify", text])
        let verification = found["verification"]
        #expect(verification?["kl_divergence"] == .float(0))
        #expect(verification?["kl_divergence_maximum"] == .float(0))
        #expect(verification?["top_1_agreement"] == .float(1))
        #expect(verification?["cuts_alike"] == .bool(true))
        #expect(verification?["perplexity"] == verification?["source_perplexity"])
        let readme = try String(contentsOfFile: destination + "/README.md", encoding: .utf8)
        #expect(readme.contains("KL divergence 0.0 mean"))
    }

    /// Both figures stand in the file itself. The text that the columns are weighted by is not the one that is predicted.
    @Test func aRoundedConversionSaysWhatItCost() throws {
        let text = scratch(".txt"), destination = scratch(".gguf")
        defer { for path in [text, destination] { try? FileManager.default.removeItem(atPath: path) } }
        try String(repeating: "The quick brown fox jumps over the lazy dog. ", count: 12).write(toFile: text, atomically: true, encoding: .utf8)
        let found = try document([
            "convert", directory, destination, "--quantize", "q4_0", "--calibrate", Corpus.testdata + "/text/english.txt", "--verify", text,
        ])
        guard case .float(let divergence)? = found["verification"]?["kl_divergence"] else {
            _ = Issue.record("no figure")
            return
        }
        #expect(divergence > 1e-6 && divergence < 1)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: destination))
        for word in [#""kl_divergence":"#, #""calibration":{"text":"english.txt""#] { #expect(bytes.range(of: Data(word.utf8)) != nil, "\(word)") }
    }

    @Test func aTextThatIsNoUseIsRefusedBeforeAnythingIsWritten() throws {
        let destination = scratch(".gguf"), text = scratch(".txt")
        defer { try? FileManager.default.removeItem(atPath: text) }
        try "short".write(toFile: text, atomically: true, encoding: .utf8)
        for (options, status) in [
            (["--verify", text], 1), (["--verify", text + ".none"], 1), (["--quantize", "q4_0", "--calibrate", text], 1),
            (["--quantize", "q8_0", "--calibrate", text], 2), (["--calibrate", text], 2),
        ] {
            let outcome = try Binary.run(["convert", directory, destination] + options)
            #expect(outcome.status == Int32(status), "\(options) \(outcome.errors)")
            #expect(!FileManager.default.fileExists(atPath: destination))
            #expect(!FileManager.default.fileExists(atPath: destination + ".partial"))
        }
    }
}
