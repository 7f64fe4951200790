import Formats
import TestSupport
import Testing
import Text
import Weights

#if canImport(Glibc)
    internal import Glibc
#endif

/// Real vocabularies: those of the models at hand, and the reference's vocabulary files (`LMX_TEST_VOCABS`).
@Suite struct TokenizerRealTests {
    static let smollm2 = model("SmolLM2-135M-Instruct.Q4_1.gguf"), gemma3 = model("gemma-3-270m-q4_k_m.gguf")
    static let vocabularies: String? = getenv("LMX_TEST_VOCABS").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }

    private static func model(_ name: String) -> String? {
        guard let path = Corpus.models.map({ $0 + "/" + name }), access(path, R_OK) == 0 else {
            print("\(name): not present")
            return nil
        }
        return path
    }

    private static func open(_ path: String?) throws -> TokenizerSpec {
        let path = try #require(path)
        return try #require(try ModelSources.open(path).tokenizer)
    }

    private func compare(_ name: String, _ spec: TokenizerSpec) throws {
        let tokenizer = try Tokenizer(spec)
        let expected = try TokenizerFiles.real(name)
        expectNone(
            of: expected.texts.indices.filter { tokenizer.encode(expected.texts[$0], addSpecial: false) != expected.ids[$0] }
                .map { (expected.texts[$0], expected.ids[$0]) }, name)
        // Literal ▁ is read as the space that it spells elsewhere.
        let decoded = expected.texts.indices.filter { index in
            let text =
                spec.algorithm == .byteLevelPairs
                ? expected.texts[index]
                : expected.texts[index].split(separator: "▁", omittingEmptySubsequences: false).joined(separator: " ")
            return tokenizer.text(expected.ids[index], special: true) != text
                || tokenizer.streamed(expected.ids[index], special: true) != text
        }
        expectNone(of: decoded.map { expected.texts[$0] }, name)
    }

    @Test(.enabled(if: smollm2 != nil)) func smolLM2GivesTheIdsOfBothReferences() throws { try compare("smollm2", Self.open(Self.smollm2)) }

    @Test(.enabled(if: gemma3 != nil)) func gemma3GivesTheIdsOfBothReferences() throws { try compare("gemma3", Self.open(Self.gemma3)) }

    /// Files `ggml-vocab-NAME.gguf` with texts in `.inp` and the reference's ids in `.out`.
    @Test(
        .enabled(if: vocabularies != nil, "LMX_TEST_VOCABS: not present"),
        arguments: [
            "llama-spm", "llama-bpe", "qwen2", "gpt-2", "falcon", "starcoder", "refact", "command-r", "deepseek-llm", "deepseek-coder",
            "qwen35", "phi-3",
        ])
    func theReferencesVocabulariesGiveItsIds(_ name: String) throws {
        let path = try #require(Self.vocabularies) + "/ggml-vocab-\(name).gguf"
        var spec = try Self.open(path)
        spec.composesUnicode = false  // the reference never composes, though the models were trained on composed text
        let tokenizer = try Tokenizer(spec)
        let texts = Self.parts(of: try #require(Corpus.bytes(of: path + ".inp")), at: Array("\n__ggml_vocab_test__\n".utf8))
        let rows = try #require(Corpus.bytes(of: path + ".out")).split(separator: 0x0A, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self).split(separator: " ").compactMap { Int32($0) } }
        try #require(texts.count >= 47 && rows.count >= texts.count)
        expectNone(
            of: texts.indices.filter { tokenizer.encode(texts[$0], parseSpecial: false, addSpecial: false) != rows[$0] }
                .map { (String(decoding: texts[$0], as: UTF8.self), rows[$0]) }, name)
    }

    private static func parts(of bytes: [UInt8], at separator: [UInt8]) -> [[UInt8]] {
        var parts: [[UInt8]] = [[]]
        var index = 0
        while index < bytes.count {
            if bytes[index...].starts(with: separator) {
                parts.append([])
                index += separator.count
            } else {
                parts[parts.count - 1].append(bytes[index])
                index += 1
            }
        }
        return parts
    }

    /// The bounds are far above what an idle machine needs, so that only a change of order fails: 0.04 s and 0.07 s to read
    /// the vocabularies, 40 and 10 million bytes a second.
    @Test func readingAVocabularyAndTextIsFast() throws {
        let text = try #require(Corpus.bytes(of: Corpus.testdata + "/text/english.txt"))
        for (path, bound) in [(Self.smollm2, 0.3), (Self.gemma3, 0.6)] {
            guard let path else { continue }
            let spec = try Self.open(path)
            var tokenizer: Tokenizer?
            let reading = try CPUTime.measure { tokenizer = try Tokenizer(spec) }
            let ready = try #require(tokenizer)
            let rate = (0..<5).map { _ in Double(text.count) / CPUTime.measure { _ = ready.encode(text) } / 1e6 }.max() ?? 0
            print("\(path.split(separator: "/").last ?? ""): \(spec.pieces.count) pieces read in \(reading * 1000) ms, \(rate) MB/s")
            #if !DEBUG
                #expect(reading < bound && rate > 2, "\(path)")
            #endif
        }
    }
}
