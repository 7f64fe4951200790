import Formats
import TestSupport
import Testing
import Weights

extension GGUFBuilder {
    /// A small whole model: two tensors, a vocabulary of five pieces.
    static var small: GGUFBuilder {
        var file = GGUFBuilder()
        file.values += [
            ("llama.block_count", .u32(1)), ("llama.rope.freq_base", .f32(1e5)), ("general.name", .text("small")),
            ("tokenizer.ggml.model", .text("gpt2")), ("tokenizer.ggml.pre", .text("smollm")),
            ("tokenizer.ggml.tokens", .texts(["<|endoftext|>", "a", "b", "ab", "<tool>"])),
            ("tokenizer.ggml.token_type", .ints([3, 1, 1, 1, 4])), ("tokenizer.ggml.merges", .texts(["a b"])),
            ("tokenizer.ggml.eos_token_id", .u32(0)), ("tokenizer.ggml.add_bos_token", .bool(0)),
        ]
        file.add("token_embd.weight", 4, 5)
        file.add("output_norm.weight", 4)
        return file
    }

    mutating func set(_ key: String, _ value: Value) {
        values.removeAll { $0.key == key }
        values.append((key, value))
    }
}

@Suite struct GGUFReadingTests {
    private func open(_ bytes: [UInt8]) throws -> any ModelSource {
        let folder = TemporaryFolder()
        return try ModelSources.open(folder.write(bytes, to: "model.gguf"))
    }

    /// The error of a file that must not open, and that names the file.
    private func refusal(_ build: (inout GGUFBuilder) -> Void) -> ModelError? {
        var file = GGUFBuilder.small
        build(&file)
        let error = #expect(throws: ModelError.self) { try open(file.bytes()) }
        #expect(error?.place.contains("model.gguf") != false)
        return error
    }

    @Test(arguments: [2, 3] as [UInt32])
    func aSmallModelOpens(_ version: UInt32) throws {
        var file = GGUFBuilder.small
        file.version = version
        let source = try open(file.bytes())
        #expect(source.formatName == "GGUF v\(version)")
        #expect(source.metadata.architecture == "llama")
        #expect(try source.metadata.requireInt(.blockCount) == 1)
        let embedding = try #require(source.records["token_embd.weight"])
        #expect(embedding.shape == [5, 4] && embedding.rows == 5 && embedding.columns == 4 && embedding.byteCount == 80)
        let spec = try #require(source.tokenizer)
        #expect(spec.algorithm == .byteLevelPairs && spec.preTokenizer == .smollm && spec.pieces.count == 5)
        #expect(spec.merges.map { Array($0) } == [Array("a b".utf8)])
        #expect(spec.eos == 0 && spec.endOfGeneration == [0] && !spec.addsBOS)
        #expect(spec.addedTokens.map(\.id) == [0, 4] && spec.addedTokens.map(\.special) == [true, false])
    }

    @Test func aFileCutAnywhereIsRefused() throws {
        let bytes = GGUFBuilder.small.bytes()
        let folder = TemporaryFolder()
        let data = bytes.count - 32 + 16  // the last tensor's 16 bytes, then padding
        for length in 0..<data {
            let path = folder.write(bytes[..<length], to: "cut.gguf")
            let error = #expect(throws: ModelError.self) { try ModelSources.open(path) }
            #expect([.truncated, .unrecognised].contains(error?.kind), "cut to \(length): \(String(describing: error))")
        }
        #expect(throws: Never.self) { try ModelSources.open(folder.write(bytes[..<data], to: "cut.gguf")) }
    }

    @Test func otherVersionsAreRefusedByName() {
        #expect(refusal { $0.version = 1 }?.problem == "is GGUF version 1")
        #expect(refusal { $0.version = 4 }?.problem == "is GGUF version 4")
        #expect(refusal { $0.version = 0x0300_0000 }?.problem.contains("big-endian") == true)
        #expect(refusal { $0.version = 0 }?.kind == .unsupported)
        #expect(refusal { $0.version = .max }?.kind == .unsupported)
    }

    @Test(arguments: [3, 65_537, 1 << 32, 1 << 60, UInt64(Int.max), .max - 1, .max])
    func countsThatTheFileCannotHoldAreRefused(_ count: UInt64) {
        #expect(refusal { $0.tensorCount = count } != nil)
        #expect(refusal { $0.keyCount = count == 3 ? 100 : count } != nil)
        var elements = ByteBuilder()
        elements.u32(8)
        elements.u64(count)
        #expect(refusal { $0.set("list", .raw(9, elements.bytes)) } != nil)
    }

    @Test(arguments: [1 << 20, 64 << 20 + 1, 1 << 40, UInt64(Int.max), UInt64(Int.max) + 1, .max])
    func lengthsThatTheFileCannotHoldAreRefused(_ length: UInt64) {
        var text = ByteBuilder()
        text.u64(length)
        #expect(refusal { $0.set("text", .raw(8, text.bytes)) } != nil)
        var list = ByteBuilder()
        list.u32(8)
        list.u64(1)
        list.u64(length)
        #expect(refusal { $0.set("list", .raw(9, list.bytes)) } != nil)
    }

    @Test func valueTypesAreKnownOnes() {
        #expect(refusal { $0.set("x", .raw(13, [0, 0, 0, 0])) }?.problem.contains("value type 13") == true)
        #expect(refusal { $0.set("x", .raw(.max, [])) } != nil)
        #expect(refusal { $0.set("x", .bool(2)) }?.problem.contains("bool") == true)
        var list = ByteBuilder()
        list.u32(99)
        list.u64(0)
        #expect(refusal { $0.set("x", .raw(9, list.bytes)) } != nil)
    }

    @Test func arraysNestOnlySoDeep() throws {
        func nested(_ depth: Int) -> [UInt8] {
            var bytes = ByteBuilder()
            for level in 1...depth {
                bytes.u32(level == depth ? 0 : 9)
                bytes.u64(1)
            }
            bytes.u8(7)
            return bytes.bytes
        }
        var file = GGUFBuilder.small
        file.set("nested", .raw(9, nested(Limits.ggufArrayNesting)))
        #expect(throws: Never.self) { try open(file.bytes()) }
        #expect(refusal { $0.set("nested", .raw(9, nested(Limits.ggufArrayNesting + 1))) }?.kind == .outOfRange)
        #expect(refusal { $0.set("nested", .raw(9, nested(100_000))) }?.kind == .outOfRange)
    }

    @Test func namesAreUniqueAndText() {
        #expect(refusal { $0.values.append(("general.name", .text("again"))) }?.problem.contains("stands twice") == true)
        #expect(refusal { $0.add("output_norm.weight", 4) }?.problem.contains("stands twice") == true)
        var bytes = ByteBuilder()
        bytes.string([0xFF, 0xFE])
        #expect(refusal { $0.set("text", .raw(8, bytes.bytes)) }?.kind == .malformed)
        #expect(refusal { $0.set(String(repeating: "k", count: Limits.ggufKeyBytes + 1), .u8(0)) }?.kind == .outOfRange)
        #expect(refusal { $0.add(String(repeating: "n", count: Limits.tensorNameBytes + 1), 4) }?.kind == .outOfRange)
        #expect(refusal { $0.values.removeFirst() }?.kind == .missing)  // general.architecture
    }

    @Test(arguments: [0, 1, 3, 4, 24, 33, 8192, 1 << 31, .max] as [UInt32])
    func alignmentIsAPowerOfTwoWithinItsLimits(_ alignment: UInt32) {
        #expect(refusal { $0.set("general.alignment", .u32(alignment)) }?.kind == .outOfRange)
    }

    @Test(arguments: [8, 16, 64, 4096])
    func everyAlignmentWithinTheLimitsIsRead(_ alignment: Int) throws {
        var file = GGUFBuilder.small
        file.alignment = alignment
        file.set("general.alignment", .u32(UInt32(alignment)))
        let source = try open(file.bytes())
        #expect(source.records["output_norm.weight"]?.planes[0].range.lowerBound.isMultiple(of: alignment) == true)
        #expect(refusal { $0.set("general.alignment", .text("32")) }?.kind == .malformed)
    }

    @Test func shapesStayWithinTheirLimits() {
        let zeros = [UInt8](repeating: 0, count: 64)
        func shape(_ dimensions: [UInt64], rank: UInt32? = nil, type: UInt32 = 0) -> ModelError? {
            refusal { $0.tensors.append(.init("odd", dimensions, type: type, data: zeros, rank: rank)) }
        }
        #expect(shape([], rank: 0)?.problem == "has 0 dimensions")
        #expect(shape([1, 1, 1, 1, 1])?.problem == "has 5 dimensions")
        #expect(shape([4], rank: .max)?.kind == .outOfRange)
        #expect(shape([0])?.kind == .outOfRange)
        #expect(shape([1 << 40 + 1])?.kind == .outOfRange)
        #expect(shape([.max])?.kind == .outOfRange)
        #expect(shape([1 << 40, 1 << 40])?.kind == .outOfRange)
        #expect(shape([1 << 24, 1 << 24, 1 << 24])?.kind == .outOfRange)
        #expect(shape([1 << 40, 1 << 8])?.kind == .truncated)
        #expect(shape([1 << 40])?.kind == .truncated)
        #expect(shape([33], type: 2)?.kind == .malformed)  // Q4_0 has blocks of 32
        #expect(shape([32, 1 << 40], type: 2)?.kind == .truncated)
    }

    @Test func typesThatAreNotReadAreRefusedWithTheTensorsName() {
        let error = refusal { $0.tensors.append(.init("blk.0.attn_q.weight", [256], type: 15, data: [])) }
        #expect(error?.kind == .unsupported && error?.place.hasSuffix("\"blk.0.attn_q.weight\"") == true)
        #expect(error?.problem.hasPrefix("has type Q8_K (15)") == true)
        #expect(refusal { $0.tensors.append(.init("x", [256], type: 137, data: [])) }?.problem.contains("IQ2_K (137) of ik_llama.cpp") == true)
    }

    @Test func offsetsLieInTheFile() {
        func offset(_ offset: UInt64) -> ModelError? {
            refusal { $0.tensors.append(.init("odd", [4], data: [UInt8](repeating: 0, count: 16), offset: offset)) }
        }
        #expect(offset(1)?.kind == .malformed)
        #expect(offset(1 << 20)?.kind == .truncated)
        #expect(offset(0)?.problem.contains("overlap") == true)
        #expect(offset(.max)?.kind == .outOfRange)
        #expect(offset(.max - 31)?.kind == .outOfRange)
        #expect(offset(UInt64(Int.max) - 31)?.kind == .truncated)
        #expect(offset(UInt64(Int.max) + 1)?.kind == .outOfRange)
    }

    /// One below, one above.
    @Test func limitsHaveEdges() throws {
        func with(_ change: (inout GGUFBuilder) -> Void) -> [UInt8] {
            var file = GGUFBuilder()
            change(&file)
            return file.bytes()
        }
        func keys(_ count: Int) -> [UInt8] { with { file in for number in 1..<count { file.values.append(("k\(number)", .u8(0))) } } }
        #expect(throws: Never.self) { try open(keys(Limits.ggufKeys)) }
        #expect((#expect(throws: ModelError.self) { try open(keys(Limits.ggufKeys + 1)) })?.kind == .outOfRange)

        func tensors(_ count: Int) -> [UInt8] { with { file in for number in 0..<count { file.add("t\(number)", 1) } } }
        #expect(try open(tensors(Limits.ggufTensors)).records.count == Limits.ggufTensors)
        #expect((#expect(throws: ModelError.self) { try open(tensors(Limits.ggufTensors + 1)) })?.kind == .outOfRange)

        func elements(_ count: Int) -> [UInt8] {
            with {
                var list = ByteBuilder()
                list.u32(0)
                list.u64(UInt64(count))
                $0.values.append(("list", .raw(9, list.bytes + [UInt8](repeating: 1, count: count))))
            }
        }
        #expect(throws: Never.self) { try open(elements(Limits.ggufArrayElements)) }
        #expect((#expect(throws: ModelError.self) { try open(elements(Limits.ggufArrayElements + 1)) })?.kind == .outOfRange)

        func text(_ count: Int) -> [UInt8] { with { $0.values.append(("text", .text(String(repeating: "x", count: count)))) } }
        #expect(throws: Never.self) { try open(text(Limits.ggufStringBytes)) }
        #expect((#expect(throws: ModelError.self) { try open(text(Limits.ggufStringBytes + 1)) })?.kind == .outOfRange)

        func name(_ count: Int) -> [UInt8] { with { $0.add(String(repeating: "n", count: count), 1) } }
        #expect(throws: Never.self) { try open(name(Limits.tensorNameBytes)) }
        #expect((#expect(throws: ModelError.self) { try open(name(Limits.tensorNameBytes + 1)) })?.kind == .outOfRange)

        func template(_ count: Int) throws -> any ModelSource {
            var file = GGUFBuilder.small
            file.set("tokenizer.chat_template", .text(String(repeating: "x", count: count)))
            return try open(file.bytes())
        }
        #expect(try template(Limits.templateBytes).tokenizer?.chatTemplate?.count == Limits.templateBytes)
        #expect(throws: ModelError.self) { try template(Limits.templateBytes + 1) }
    }

    // MARK: split files

    private func shards(_ change: (Int, inout GGUFBuilder) -> Void = { _, _ in }) -> TemporaryFolder {
        let folder = TemporaryFolder()
        for number in 0..<3 {
            var file = number == 0 ? GGUFBuilder.small : GGUFBuilder()
            if number > 0 {
                file.values = []
                file.add("blk.\(number).weight", 8)
            }
            file.set("split.no", .u16(UInt16(number)))
            file.set("split.count", .u16(3))
            file.set("split.tensors.count", .i32(4))
            change(number, &file)
            if !file.tensors.isEmpty { folder.write(file.bytes(), to: "big-0000\(number + 1)-of-00003.gguf") }
        }
        return folder
    }

    @Test(arguments: 1...3)
    func aSplitModelOpensByAnyOfItsShards(_ shard: Int) throws {
        let folder = shards()
        #expect(try ModelSources.open(folder.path).records.count == 4)
        let source = try ModelSources.open(folder.path + "/big-0000\(shard)-of-00003.gguf")
        #expect(source.records.count == 4 && source.storages.count == 3)
        #expect(source.records["blk.2.weight"]?.planes[0].file == 2)
        #expect(source.metadata.architecture == "llama" && source.tokenizer != nil)
    }

    @Test func aSplitModelThatDoesNotFitTogetherIsRefused() {
        func refusal(_ change: @escaping (Int, inout GGUFBuilder) -> Void) -> ModelError? {
            let folder = shards(change)
            return #expect(throws: ModelError.self) { try ModelSources.open(folder.path + "/big-00001-of-00003.gguf") }
        }
        #expect(refusal { if $0 == 1 { $1.tensors = [] } }?.kind == .missing)
        #expect(refusal { if $0 == 1 { $1.set("split.no", .u16(2)) } }?.kind == .mismatched)
        #expect(refusal { if $0 == 2 { $1.set("split.count", .u16(4)) } }?.kind == .mismatched)
        #expect(refusal { if $0 == 2 { $1.set("split.tensors.count", .i32(5)) } }?.kind == .mismatched)
        #expect(refusal { if $0 == 2 { $1.add("blk.1.weight", 8) } } != nil)
        let folder = shards()
        let renamed = folder.write(Corpus.bytes(of: folder.path + "/big-00001-of-00003.gguf") ?? [], to: "renamed.gguf")
        #expect((#expect(throws: ModelError.self) { try ModelSources.open(renamed) })?.kind == .mismatched)
    }

    // MARK: the tokenizer

    @Test func aTokenizerThatContradictsItselfIsRefused() {
        func with(_ key: String, _ value: GGUFBuilder.Value) -> ModelError? { refusal { $0.set("tokenizer.ggml.\(key)", value) } }
        #expect(with("model", .text("bert"))?.problem.contains("\"bert\"") == true)
        #expect(with("pre", .text("default"))?.problem.contains("\"default\"") == true)
        #expect(refusal { $0.values.removeAll { $0.key == "tokenizer.ggml.pre" } }?.kind == .missing)
        #expect(refusal { $0.values.removeAll { $0.key == "tokenizer.ggml.merges" } }?.kind == .missing)
        #expect(refusal { $0.values.removeAll { $0.key == "tokenizer.ggml.tokens" } }?.kind == .missing)
        #expect(with("tokens", .texts([]))?.kind == .outOfRange)
        #expect(with("tokens", .text("a"))?.kind == .malformed)
        #expect(with("token_type", .ints([3, 1]))?.kind == .mismatched)
        #expect(with("token_type", .ints([3, 1, 1, 1, 7]))?.kind == .malformed)
        #expect(with("token_type", .ints([3, 1, 1, 1, -1]))?.kind == .malformed)
        #expect(with("eos_token_id", .u32(5))?.kind == .outOfRange)
        #expect(with("eos_token_id", .i32(-2))?.kind == .outOfRange)
        #expect(with("eos_token_id", .text("0"))?.kind == .malformed)
        #expect(with("model", .text("llama"))?.problem.contains("scores") == true)
        #expect(refusal { $0.set("tokenizer.chat_template", .text(String(repeating: "x", count: Limits.templateBytes + 1))) }?.kind == .outOfRange)
        // more pieces than the embedding has rows
        #expect(with("tokens", .texts(["a", "b", "c", "d", "e", "f"])) != nil)
    }

    @Test func aScoredVocabularyIsRead() throws {
        var file = GGUFBuilder.small
        file.set("tokenizer.ggml.model", .text("llama"))
        file.set("tokenizer.ggml.tokens", .texts(["<unk>", "<s>", "</s>", "<0x41>", "▁▁"]))
        file.set("tokenizer.ggml.token_type", .ints([2, 3, 3, 6, 4]))
        file.set("tokenizer.ggml.scores", .floats([0, 0, 0, 0, -1]))
        file.values.removeAll { ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_bos_token"].contains($0.key) }
        file.set("tokenizer.chat_template", .text("{{ default }}"))
        file.set("tokenizer.chat_templates", .texts(["tool_use"]))
        file.set("tokenizer.chat_template.tool_use", .text("{{ tools }}"))
        let spec = try #require(try open(file.bytes()).tokenizer)
        #expect(spec.algorithm == .scoredPairs && spec.addsSpacePrefix && spec.addsBOS)
        #expect(spec.bos == 1 && spec.eos == 2 && spec.unknown == 0 && spec.endOfGeneration == [2])
        #expect(spec.kinds == [.unknown, .control, .control, .byte, .userDefined])
        #expect(spec.addedTokens.last?.content == Array("  ".utf8))
        #expect(spec.chatTemplate == "{{ default }}" && spec.namedTemplates == ["tool_use": "{{ tools }}"])
        file.set("tokenizer.ggml.scores", .floats([0, 0, .nan, 0, -1]))
        #expect(throws: ModelError.self) { try open(file.bytes()) }
    }

    // MARK: chance

    @Test func mutatedFilesNeverTrap() throws {
        let seed: UInt64 = 42
        var random = SeededRandom(seed: seed)
        let bytes = GGUFBuilder.small.bytes(), folder = TemporaryFolder()
        let interesting: [UInt8] = [0, 1, 4, 8, 9, 0x7F, 0x80, 0xFF]
        var opened = 0
        for _ in 0..<6000 {
            var mutant = bytes
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let at = Int.random(in: 0..<mutant.count, using: &random)
                switch Int.random(in: 0..<5, using: &random) {
                case 0: mutant[at] = UInt8.random(in: 0...255, using: &random)
                case 1: mutant[at] = interesting.randomElement(using: &random) ?? 0
                case 2: for index in at..<min(at + 8, mutant.count) { mutant[index] = 0xFF }
                case 3: mutant.remove(at: at)
                default: mutant.insert(UInt8.random(in: 0...255, using: &random), at: at)
                }
            }
            let path = folder.write(mutant, to: "mutant.gguf")
            if let source = try? ModelSources.open(path) {
                opened += 1
                Self.readEverything(source)
            }
        }
        #expect(opened > 0, "seed \(seed)")
    }

    /// NVFP4's second level stands beside it, under either of two names; what is said about activations is not of use.
    @Test(arguments: ["blk.0.attn_q.scale", "blk.0.attn_q.weight.scale"])
    func aTensorScaleBecomesPartOfItsWeight(_ name: String) throws {
        var file = GGUFBuilder()
        let scale = Float(0.75).bitPattern
        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: scale >> UInt32(8 * $0)) }
        file.tensors.append(.init("blk.0.attn_q.weight", [64, 2], type: 40, data: [UInt8](repeating: 0x38, count: 72)))
        file.tensors.append(.init(name, [1], data: bytes))
        file.tensors.append(.init("blk.0.attn_q.input_scale", [1], data: bytes))
        let folder = TemporaryFolder()
        let source = try ModelSources.open(folder.write(file.bytes(), to: "m.gguf"))
        #expect(source.records.count == 1)
        let record = try #require(source.records["blk.0.attn_q.weight"])
        #expect(record.format as? NVFP4 == NVFP4(tensorScale: 0.75))
        Self.readEverything(source)

        for wrong in [[0, 0, 0x80, 0x7F], [0, 0, 0xC0, 0x7F]] as [[UInt8]] {  // infinity, not a number
            file.tensors[1].data = wrong
            let path = folder.write(file.bytes(), to: "m.gguf")
            #expect(throws: ModelError.self) { try ModelSources.open(path) }
        }
        file.tensors[1] = .init(name, [2], data: bytes + bytes)
        let path = folder.write(file.bytes(), to: "m.gguf")
        #expect(throws: ModelError.self) { try ModelSources.open(path) }
    }

    /// Touches every byte that a record claims.
    static func readEverything(_ source: any ModelSource) {
        for record in source.records.values {
            var values = [Float](repeating: 0, count: record.columns)
            for row in 0..<record.rows {
                values.withUnsafeMutableBufferPointer { record.format.decode(source.bytes(of: record, row: row), into: $0) }
            }
        }
    }
}
