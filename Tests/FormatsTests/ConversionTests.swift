import Formats
import Glibc
import TestSupport
import Testing
import Weights

/// A model, converted into a folder or file that goes away with this value.
final class Converted {
    let source: any ModelSource
    let layout: CheckpointLayout
    let conversion: Conversion
    let folder: String

    convenience init(_ name: String) throws {
        try self.init(path: "\(Corpus.testdata)/tiny/\(name).gguf", ConversionOptions(target: .mlx))
    }

    init(path: String, _ options: ConversionOptions) throws {
        source = try ModelSources.open(path)
        let architecture = try #require(ConversionLayouts.architecture(of: source.metadata))
        layout = architecture.layout
        conversion = try Conversion(source, architecture, options)
        folder = temporaryName() + (options.target == .gguf ? ".gguf" : "")
    }

    func run() throws -> any ModelSource {
        try conversion.run(to: folder)
        return try ModelSources.open(folder)
    }

    deinit { removeFolder(folder) }
}

func temporaryName() -> String {
    let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    return "\(base)/lmx-conversion-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
}

/// A flat folder and its files, or a file.
func removeFolder(_ path: String) {
    unlink(path)
    for name in names(in: path) { unlink("\(path)/\(name)") }
    rmdir(path)
}

func names(in path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names
}

func values(_ record: StoredTensor, _ row: Int, _ source: any ModelSource) -> [Float] {
    [Float](unsafeUninitializedCapacity: record.columns) { buffer, count in
        record.format.decode(source.bytes(of: record, row: row), into: UnsafeMutableBufferPointer(rebasing: buffer[..<record.columns]))
        count = record.columns
    }
}

/// Where a row of the Hugging Face order lies in GGUF's order of interleaved pairs.
func interleaved(_ row: Int, headSize: Int) -> Int {
    let (head, inHead) = (row / headSize, row % headSize)
    return head * headSize + (inHead < headSize / 2 ? 2 * inHead : 2 * (inHead - headSize / 2) + 1)
}

@Suite struct ConversionTests {
    static let models = [
        "llama/gguf/F32", "llama/gguf/F16", "llama/gguf/BF16", "llama/gguf/Q4_0", "llama/gguf/Q4_1", "llama/gguf/Q5_0", "llama/gguf/Q5_1",
        "llama/gguf/Q8_0", "mistral/gguf/F32",
        "smollm2/gguf/BF16", "qwen2/gguf/F32", "qwen2/gguf/F16", "qwen3/gguf/F32", "qwen3/gguf/Q8_0", "gemma3/gguf/F32", "gemma3/gguf/Q8_0",
    ]

    @Test(arguments: models) func everyNumberOfTheResultEqualsTheSources(_ name: String) throws {
        let converted = try Converted(name)
        #expect(converted.conversion.report.isExact)
        let source = converted.source
        let result = try converted.run()
        var checked = 0
        for tensor in converted.conversion.report.tensors {
            let given = try #require(source.records[TensorName(tensor.source)])
            let made = try #require(result.records[TensorName(tensor.target)], "\(tensor.target)")
            #expect(made.shape == given.shape)
            #expect(made.format.name == tensor.targetFormat)
            let isRotated =
                converted.layout.interleavesQueryKeyRows && (tensor.source.contains("attn_q.") || tensor.source.contains("attn_k."))
            let one: Float = converted.layout.addsOneToNorms && tensor.source.contains("norm") ? 1 : 0
            let headSize =
                try source.metadata.findInt(.keyLength) ?? source.metadata.requireInt(.embeddingLength)
                / source.metadata.requireInt(.headCount)
            for row in 0..<given.rows {
                let stored = isRotated && given.rows > 1 ? interleaved(row, headSize: headSize) : row
                let expected = values(given, stored, source)
                let found = values(made, row, result).map { $0 + one }
                #expect(found == expected, "\(tensor.target), row \(row)")
                if found != expected { break }
            }
            checked += 1
        }
        #expect(checked == result.records.count)
        #expect(source.records.count - checked <= 1)  // the divisors of a rotation
    }

    @Test(arguments: models) func theTokenizerComesAlong(_ name: String) throws {
        let converted = try Converted(name)
        let given = try #require(converted.source.tokenizer)
        let made = try #require(converted.run().tokenizer)
        #expect(made.pieces == given.pieces)
        #expect(made.preTokenizer == given.preTokenizer)
        #expect(made.chatTemplate == given.chatTemplate)
        #expect(made.addsBOS == given.addsBOS)
        #expect(made.bos == given.bos)
        #expect(made.eos == given.eos)
        #expect(Set(made.endOfGeneration) == Set(given.endOfGeneration))
        #expect(made.addsSpacePrefix == given.addsSpacePrefix)
        #expect(made.ignoresMerges == given.ignoresMerges)
        #expect(made.composesUnicode == given.composesUnicode)
        if given.algorithm == .byteLevelPairs { #expect(made.merges == given.merges) }
        #expect(Set(made.addedTokens.map(\.id)) == Set(given.addedTokens.map(\.id)))
    }

    /// The Hugging Face form of the same tiny model states the facts that the converted one must state.
    @Test(arguments: ["llama/gguf/Q4_0", "smollm2/gguf/BF16", "qwen2/gguf/F32", "qwen3/gguf/Q8_0", "gemma3/gguf/Q8_0"])
    func theConfigurationSaysWhatTheOriginalSays(_ name: String) throws {
        let converted = try Converted(name)
        let result = try converted.run()
        let original = try ModelSources.open("\(Corpus.testdata)/tiny/\(name.prefix { $0 != "/" })/hf")
        #expect(result.metadata.architecture == original.metadata.architecture)
        for key: MetadataKey in [
            .blockCount, .contextLength, .embeddingLength, .feedForwardLength, .vocabularySize, .headCount, .headCountKV, .rmsEpsilon,
            .ropeBase,
            .ropeBaseSliding, .ropeScalingFactor, .ropeLowFrequencyFactor, .ropeHighFrequencyFactor, .ropeOriginalContext,
            .slidingWindowPattern,
        ] {
            #expect(try result.metadata.findFloat(key) == original.metadata.findFloat(key), "\(key.huggingFace)")
        }
        // GGUF does not carry it; the heads' size is what its readers take.
        #expect(try result.metadata.findInt(.queryPreAttentionScalar) == (name.hasPrefix("gemma3") ? 32 : nil))
        for key: MetadataKey in [.activation] { #expect(try result.metadata.findText(key) == original.metadata.findText(key)) }
        #expect(try result.metadata.findBool(.tiesEmbeddings) == original.metadata.findBool(.tiesEmbeddings))
    }

    @Test(arguments: ["Q4_K", "Q5_K", "Q6_K"]) func formatsThatDoNotMoveExactlyAreRefusedByName(_ kind: String) throws {
        let error = #expect(throws: ModelError.self) { try Converted("llama/gguf/\(kind)") }
        #expect(error?.kind == .unsupported)
        #expect(error?.problem.contains(kind) == true)
        #expect(error?.hint != nil)
    }

    @Test func aFormatThatTheTargetDoesNotHaveIsRefused() throws {
        var options = ConversionOptions(target: .mlx)
        options.quantization = .ggml("q4_k_m")
        let error = #expect(throws: ModelError.self) { try Converted(path: "\(Corpus.testdata)/tiny/llama/hf", options) }
        #expect(error?.kind == .unsupported)
    }

    @Test func anExistingDestinationIsLeftAlone() throws {
        let converted = try Converted("qwen3/gguf/F32")
        #expect(mkdir(converted.folder, 0o755) == 0)
        let error = #expect(throws: ModelError.self) { try converted.conversion.run(to: converted.folder) }
        #expect(error?.problem == "exists already")
        #expect(names(in: converted.folder).isEmpty)
    }

    @Test func theFolderIsWholeAndNothingElseIsLeft() throws {
        let converted = try Converted("smollm2/gguf/BF16")
        var bytes: [Int] = []
        try converted.conversion.run(to: converted.folder + "/", progress: { bytes.append($0) })
        #expect(
            Set(names(in: converted.folder)) == [
                "config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json",
                "generation_config.json", "chat_template.jinja", "README.md",
            ])
        #expect(access(converted.folder + ".partial", F_OK) != 0)
        #expect(bytes == bytes.sorted())
        #expect(bytes.last == converted.conversion.report.targetBytes)
    }

    @Test func aConversionThatCannotBeWrittenLeavesNothing() throws {
        let converted = try Converted("qwen3/gguf/F32")
        #expect(throws: ModelError.self) { try converted.conversion.run(to: converted.folder + "/missing/model") }
        #expect(access(converted.folder, F_OK) != 0)
    }

    @Test func theReportCountsEachKindOfChange() throws {
        let report = try Converted("llama/gguf/Q4_1").conversion.report
        #expect(report.summary.contains("15 tensors Q4_1 → affine 4-bit group 32 (f16), exact"))
        #expect(report.summary.contains { $0.contains("llama3, factor 8.0, from 64 positions") })
        #expect(report.json["exact"] == .bool(true))
    }

    /// What the K types and 32-blocks are rounded by; both the errors and the file say so.
    @Test(arguments: ["q4_0", "q4_1", "q5_0", "q5_1"]) func columnsThatMatterAreKeptMoreExactly(_ type: String) throws {
        func converted(_ importance: (Int) -> Float) throws -> Converted {
            let path = "\(Corpus.testdata)/tiny/llama/hf"
            var options = ConversionOptions(target: .gguf)
            options.quantization = .ggml(type, pure: true)
            let records = try ModelSources.open(path).records
            let weights = records.mapValues { record in (0..<record.columns).map(importance) }
            options.calibration = Calibration(text: "text.txt", tokens: 77, importance: weights)
            return try Converted(path: path, options)
        }
        let even = try converted { _ in 1 }
        let uneven = try converted { $0 % 8 == 0 ? 1000 : 1 }
        for each in [even, uneven] {
            let result = try each.run()
            guard case .text(let report)? = result.metadata.values["lmx.conversion"] else {
                _ = Issue.record("no report")
                continue
            }
            #expect(report.contains(#""calibration":{"text":"text.txt","tokens":77}"#))
        }
        let report = try uneven.conversion.run(to: uneven.folder + "-again.gguf")
        defer { removeFolder(uneven.folder + "-again.gguf") }
        let plain = try even.conversion.run(to: even.folder + "-again.gguf")
        defer { removeFolder(even.folder + "-again.gguf") }
        for (one, other) in zip(report.tensors, plain.tensors) {
            guard let weighted = one.loss.errors?.relativeWeightedRMS, let before = other.loss.errors?.relativeRMS else { continue }
            #expect(weighted < before, "\(one.target)")
        }
        #expect(report.tensors.contains { $0.loss.errors?.relativeWeightedRMS != nil })
    }

    /// Widths that differ from the common one stand by name in the configuration: the embedding of SmolLM2's Q4_1 file is Q8_0.
    @Test(.enabled(if: realModel != nil, "the real model is not present"))
    func aFileOfTwoWidthsBecomesAnOverrideByName() throws {
        let converted = try Converted(path: #require(Self.realModel), ConversionOptions(target: .mlx))
        #expect(converted.conversion.report.isExact)
        let source = converted.source
        let result = try converted.run()
        #expect(result.records["model.embed_tokens.weight"]?.format.name == "affine 8-bit group 32 (f16)")
        #expect(result.records["model.layers.29.mlp.down_proj.weight"]?.format.name == "affine 4-bit group 32 (f16)")
        #expect(result.tokenizer?.merges == source.tokenizer?.merges)
    }

    static let realModel: String? = {
        guard let folder = Corpus.models else { return nil }
        let path = folder + "/SmolLM2-135M-Instruct.Q4_1.gguf"
        return access(path, R_OK) == 0 ? path : nil
    }()
}
