import Formats
import TestSupport
import Testing
import Weights

/// The stored bytes of a tensor, plane by plane.
private func planes(_ record: StoredTensor, _ source: any ModelSource) -> [[UInt8]] {
    record.planes.map { plane in Array(UnsafeRawBufferPointer(rebasing: source.storages[plane.file].bytes[plane.range])) }
}

/// There and back: what the matrix of conversions calls exact comes back byte for byte.
@Suite struct ConversionRoundTripTests {
    static let gguf = ConversionTests.models.map { "\(Corpus.testdata)/tiny/\($0).gguf" }
    /// Of 8-bit codes with offsets no type of GGUF is made, nor of f32 scales.
    static let mlx = ["llama/mlx/q4-g64-f16", "mistral/mlx/q4-g64-bf16", "qwen2/mlx/q4-g64-f16", "gemma3/mlx/q4-g32-bf16"]
        .map { "\(Corpus.testdata)/tiny/\($0)" }
    static let huggingFace = ["llama", "mistral", "smollm2", "qwen2", "qwen3", "gemma3"].map { "\(Corpus.testdata)/tiny/\($0)/hf" }

    @Test(arguments: gguf) func aGGUFComesBackThroughMLX(_ path: String) throws {
        let there = try Converted(path: path, ConversionOptions(target: .mlx))
        _ = try there.run()
        try check(there, Converted(path: there.folder, ConversionOptions(target: .gguf)))
    }

    @Test(arguments: mlx) func anMLXCheckpointComesBackThroughGGUF(_ path: String) throws {
        let there = try Converted(path: path, ConversionOptions(target: .gguf))
        _ = try there.run()
        try check(there, Converted(path: there.folder, ConversionOptions(target: .mlx)))
    }

    @Test(arguments: huggingFace) func aHuggingFaceCheckpointComesBackThroughGGUF(_ path: String) throws {
        let there = try Converted(path: path, ConversionOptions(target: .gguf))
        _ = try there.run()
        try check(there, Converted(path: there.folder, ConversionOptions(target: .huggingFace)))
    }

    /// Norms that lose or gain a 1 are compared as numbers, all else as bytes.
    private func check(_ there: Converted, _ back: Converted) throws {
        let result = try back.run()
        var compared = 0
        for (name, given) in there.source.records {
            if name.description.hasPrefix("rope_freqs") { continue }
            let made = try #require(result.records[name], "\(name)")
            #expect(made.shape == given.shape)
            if there.layout.addsOneToNorms, name.description.contains("norm") {
                let scaled = name.description.contains("q_norm")  // carries what GGUF has no key for
                let left = values(given, 0, there.source), right = values(made, 0, result)
                if !scaled { for (one, other) in zip(left, right) { #expect(abs(one - other) <= 1.2e-7, "\(name)") } }
            } else if given.shape.count == 1 {
                #expect(values(made, 0, result) == values(given, 0, there.source), "\(name)")
            } else {
                #expect(made.format.name == given.format.name, "\(name)")
                #expect(planes(made, result) == planes(given, there.source), "\(name)")
            }
            compared += 1
        }
        #expect(compared == result.records.keys.count { !$0.description.hasPrefix("rope_freqs") })
        let before = try #require(there.source.tokenizer), after = try #require(result.tokenizer)
        #expect(after.pieces.count == before.pieces.count)
        #expect(after.chatTemplate == before.chatTemplate)
        #expect(Set(after.endOfGeneration) == Set(before.endOfGeneration))
        #expect(after.addsBOS == before.addsBOS)
    }

    /// A SentencePiece vocabulary keeps its scores in `tokenizer.model`.
    @Test(arguments: ["mistral/gguf/F32", "gemma3/gguf/Q8_0"]) func scoresComeBack(_ name: String) throws {
        let there = try Converted(name)
        _ = try there.run()
        let back = try Converted(path: there.folder, ConversionOptions(target: .gguf))
        let result = try #require(back.run().tokenizer), given = try #require(there.source.tokenizer)
        #expect(result.scores == given.scores)
        #expect(result.pieces == given.pieces)
        // llama.cpp's converter calls the unknown piece a control one.
        let same = zip(result.kinds, given.kinds).allSatisfy { $0 == $1 || ($0 == .unknown && $1 == .control) }
        #expect(same)
    }

    /// The facts of the configuration survive, so that a third program reads them.
    @Test(arguments: huggingFace) func theNumbersOfTheConfigurationComeBack(_ path: String) throws {
        let there = try Converted(path: path, ConversionOptions(target: .gguf))
        _ = try there.run()
        let back = try Converted(path: there.folder, ConversionOptions(target: .huggingFace))
        let result = try back.run()
        #expect(result.metadata.architecture == there.source.metadata.architecture)
        for key: MetadataKey in [
            .blockCount, .contextLength, .embeddingLength, .feedForwardLength, .vocabularySize, .headCount, .headCountKV, .rmsEpsilon,
            .ropeBase, .ropeScalingFactor, .ropeOriginalContext,
        ] {
            #expect(try result.metadata.findFloat(key) == there.source.metadata.findFloat(key), "\(key.huggingFace)")
        }
        if path.contains("mistral") { #expect(try result.metadata.findInt(.slidingWindow) == 16) }
    }

    /// Codes of the K types move where that is asked for, with f32 scales that hold the products.
    @Test(arguments: ["Q4_K", "Q5_K"]) func codesOfKTypesAreKeptOnRequest(_ kind: String) throws {
        var options = ConversionOptions(target: .mlx)
        options.keepsCodes = true
        let converted = try Converted(path: "\(Corpus.testdata)/tiny/llama/gguf/\(kind).gguf", options)
        #expect(converted.conversion.report.isExact)
        let result = try converted.run()
        let given = try #require(converted.source.records["blk.0.ffn_down.weight"])
        let made = try #require(result.records["model.layers.0.mlp.down_proj.weight"])
        #expect(made.format.name == "affine \(kind == "Q4_K" ? 4 : 5)-bit group 32 (f32)")
        for row in 0..<given.rows { #expect(values(made, row, result) == values(given, row, converted.source)) }
    }

    /// Without quantisation a checkpoint is the same numbers in f32.
    @Test(arguments: ["llama/gguf/Q4_K", "llama/gguf/Q6_K", "qwen3/gguf/Q8_0"]) func everyTypeBecomesExactNumbers(_ name: String) throws {
        let converted = try Converted(path: "\(Corpus.testdata)/tiny/\(name).gguf", ConversionOptions(target: .huggingFace))
        #expect(converted.conversion.report.isExact)
        let result = try converted.run()
        let given = try #require(converted.source.records["blk.0.ffn_up.weight"])
        let made = try #require(result.records["model.layers.0.mlp.up_proj.weight"])
        for row in 0..<given.rows { #expect(values(made, row, result) == values(given, row, converted.source)) }
    }
}
