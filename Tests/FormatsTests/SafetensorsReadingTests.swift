import Formats
import TestSupport
import Testing
import Weights

@Suite struct SafetensorsReadingTests {
    private let zeros = [UInt8](repeating: 0, count: 4096)

    private func folder(_ file: [UInt8], config: String = #"{"model_type":"llama","num_hidden_layers":2}"#) -> TemporaryFolder {
        let folder = TemporaryFolder()
        folder.write(file, to: "model.safetensors")
        folder.write(config, to: "config.json")
        return folder
    }

    private func open(_ file: SafetensorsBuilder, config: String = #"{"model_type":"llama","num_hidden_layers":2}"#) throws -> any ModelSource {
        try ModelSources.open(folder(file.bytes(), config: config).path)
    }

    private func refusal(header: String, data: Int = 16) -> ModelError? {
        var file = SafetensorsBuilder()
        file.add("x", "U8", [data], [UInt8](repeating: 0, count: data))
        let folder = folder(file.bytes(header: header))
        let error = #expect(throws: ModelError.self, "\(header)") { try ModelSources.open(folder.path) }
        #expect(error?.place.contains("model.safetensors") != false)
        return error
    }

    private var plain: SafetensorsBuilder {
        var file = SafetensorsBuilder()
        file.add("norm", "F16", [1], [0, 0x3C])  // what follows lies at odd addresses
        file.add("flag", "BF16", [], [0x80, 0x3F])
        file.add("none", "F32", [0, 4], [])
        file.add("model.weight", "F32", [2, 2], [UInt8](repeating: 0, count: 16))
        return file
    }

    @Test func aPlainFolderOpens() throws {
        var file = plain
        file.metadata = #"{"format":"pt"}"#
        let source = try open(file)
        #expect(source.formatName == "Hugging Face safetensors" && source.metadata.architecture == "llama")
        #expect(source.tokenizer == nil && source.records.count == 4)
        #expect(source.records["model.weight"]?.shape == [2, 2])
        #expect(source.records["none"]?.byteCount == 0 && source.records["flag"]?.shape == [])
        GGUFReadingTests.readEverything(source)
    }

    @Test func itOpensByFolderByConfigurationAndByFile() throws {
        let folder = folder(plain.bytes())
        for path in ["", "/", "/config.json", "/model.safetensors"] {
            #expect(try ModelSources.open(folder.path + path).records.count == 4)
        }
        folder.write(SafetensorsBuilder().bytes(), to: "adapters.safetensors")
        #expect(try ModelSources.open(folder.path).records.count == 4)
        #expect(try ModelSources.open(folder.path + "/adapters.safetensors").records.count == 0)
    }

    @Test func aFileCutAnywhereIsRefused() throws {
        let bytes = plain.bytes(), folder = folder(bytes)
        for length in 0..<bytes.count {
            folder.write(bytes[..<length], to: "model.safetensors")
            let error = #expect(throws: ModelError.self) { try ModelSources.open(folder.path) }
            #expect([.truncated, .malformed].contains(error?.kind), "cut to \(length): \(String(describing: error))")
        }
        folder.write(bytes + [0], to: "model.safetensors")
        #expect((#expect(throws: ModelError.self) { try ModelSources.open(folder.path) })?.problem.contains("after the last tensor") == true)
    }

    @Test(arguments: [100_000_001, 1 << 32, UInt64(Int.max), UInt64(Int.max) + 1, .max, .max - 7])
    func aHeaderLengthBeyondLimitOrFileIsRefused(_ length: UInt64) {
        var file = ByteBuilder()
        file.u64(length)
        file.bytes += Array("{}".utf8)
        let folder = folder(file.bytes)
        #expect(throws: ModelError.self) { try ModelSources.open(folder.path) }
    }

    @Test func headersThatLieAreRefused() {
        func x(_ fields: String) -> String { "{\"x\":{\(fields)}}" }
        #expect(refusal(header: x(#""dtype":"F32","shape":[4],"data_offsets":[0,15]"#))?.kind == .mismatched)
        #expect(refusal(header: x(#""dtype":"F32","shape":[5],"data_offsets":[0,16]"#))?.kind == .mismatched)
        #expect(refusal(header: x(#""dtype":"F32","shape":[4],"data_offsets":[16,0]"#))?.kind == .malformed)
        #expect(refusal(header: x(#""dtype":"F32","shape":[4],"data_offsets":[0,17]"#))?.kind == .truncated)
        #expect(refusal(header: x(#""dtype":"F32","shape":[4],"data_offsets":[9223372036854775792,9223372036854775807]"#))?.kind == .truncated)
        #expect(refusal(header: x(#""dtype":"F32","shape":[4],"data_offsets":[-16,0]"#))?.kind == .outOfRange)
        #expect(refusal(header: x(#""dtype":"F32","shape":[4],"data_offsets":[0,16,32]"#))?.kind == .outOfRange)
        #expect(refusal(header: x(#""dtype":"F32","shape":[4],"data_offsets":[0]"#))?.kind == .malformed)
        #expect(refusal(header: x(#""dtype":"F32","shape":[4.0],"data_offsets":[0,16]"#))?.kind == .malformed)
        #expect(refusal(header: x(#""dtype":"F32","shape":[-4],"data_offsets":[0,16]"#))?.kind == .outOfRange)
        #expect(refusal(header: x(#""dtype":"F32","shape":[1e400],"data_offsets":[0,16]"#))?.kind == .malformed)
        #expect(refusal(header: x(#""dtype":"F32","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,16]"#))?.kind == .outOfRange)
        #expect(refusal(header: x(#""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]"#))?.kind == .outOfRange)
        #expect(refusal(header: x(#""dtype":"F32","shape":[1099511627777],"data_offsets":[0,16]"#))?.kind == .outOfRange)
        #expect(refusal(header: x(#""dtype":"Q9","shape":[4],"data_offsets":[0,16]"#))?.kind == .unsupported)
        #expect(refusal(header: x(#""dtype":"F32","shape":[4]"#))?.kind == .malformed)
        #expect(refusal(header: "{\"x\":3}")?.kind == .malformed)
        #expect(refusal(header: "[]")?.kind == .malformed)
        #expect(refusal(header: "")?.kind == .malformed)
        #expect(refusal(header: " {}")?.kind == .malformed)
        #expect(refusal(header: "{} {}")?.kind == .malformed)
        #expect(refusal(header: "{}")?.problem.contains("after the last tensor") == true)
        let x = #""x":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}"#
        #expect(refusal(header: "{\(x),\(x)}")?.kind == .malformed)
        #expect(refusal(header: "{\(x),\"\\u0078\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[16,16]}}")?.kind == .malformed)
        let long = String(repeating: "n", count: Limits.tensorNameBytes + 1)
        #expect(refusal(header: "{\"\(long)\":{\"dtype\":\"U8\",\"shape\":[16],\"data_offsets\":[0,16]}}")?.kind == .outOfRange)
        #expect(refusal(header: "{\"__metadata__\":{\"a\":1},\(x)}")?.kind == .malformed)
    }

    @Test func holesAndOverlapsAreRefused() {
        func two(_ a: (Int, Int), _ b: (Int, Int)) -> String {
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[\(a.1 - a.0)],\"data_offsets\":[\(a.0),\(a.1)]},"
                + "\"b\":{\"dtype\":\"U8\",\"shape\":[\(b.1 - b.0)],\"data_offsets\":[\(b.0),\(b.1)]}}"
        }
        #expect(refusal(header: two((0, 8), (9, 16)))?.problem.contains("hole") == true)
        #expect(refusal(header: two((0, 9), (8, 16)))?.problem.contains("overlaps") == true)
        #expect(refusal(header: two((0, 16), (0, 16)))?.problem.contains("overlaps") == true)
        #expect(refusal(header: two((1, 8), (8, 16)))?.problem.contains("hole") == true)
        #expect(refusal(header: two((0, 8), (8, 15)))?.problem.contains("after the last tensor") == true)
    }

    @Test func dtypesThatAreNotReadAreRefusedWithTheTensorsName() throws {
        for type in ["U64", "F8_E5M2", "U8", "F8_E4M3", "U32"] {
            var file = SafetensorsBuilder()
            file.add("odd.weight", type, [0], [])
            let error = #expect(throws: ModelError.self) { try open(file) }
            #expect(error?.kind == .unsupported && error?.place.hasSuffix("\"odd.weight\"") == true && error?.problem == "has dtype \(type)")
        }
    }

    @Test func oldBuffersAreDroppedAndPrefixesStripped() throws {
        var file = SafetensorsBuilder()
        file.add("language_model.model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [1], [0, 0, 0, 0])
        file.add("language_model.model.norm.weight", "F16", [1], [0, 0])
        file.add("model.language_model.embed_tokens.weight", "F16", [1], [0, 0])
        let source = try open(file)
        #expect(source.records.keys.sorted().map(\.description) == ["model.embed_tokens.weight", "model.norm.weight"])
        file.add("model.norm.weight", "F16", [1], [0, 0])
        #expect((#expect(throws: ModelError.self) { try open(file) })?.problem.contains("stands twice") == true)
    }

    @Test func shardsAreReadWhateverTheIndexSays() throws {
        let folder = TemporaryFolder()
        folder.write(#"{"model_type":"llama"}"#, to: "config.json")
        folder.write(#"{"weight_map":{"gone":"model-00009-of-00009.safetensors"}}"#, to: "model.safetensors.index.json")
        for number in 1...2 {
            var file = SafetensorsBuilder()
            file.add("t\(number)", "F32", [1], [0, 0, 0, 0])
            folder.write(file.bytes(), to: "model-0000\(number)-of-00002.safetensors")
        }
        let source = try ModelSources.open(folder.path)
        #expect(source.records.count == 2 && source.storages.count == 2)
        #expect(source.records["t2"]?.planes.first?.file == 1)
        folder.write(plain.bytes(), to: "model-00001-of-00003.safetensors")
        #expect(throws: Never.self) { try ModelSources.open(folder.path) }  // three files now, though of two models
        let lone = TemporaryFolder()
        lone.write(#"{"model_type":"llama"}"#, to: "config.json")
        lone.write(plain.bytes(), to: "model-00001-of-00003.safetensors")
        #expect((#expect(throws: ModelError.self) { try ModelSources.open(lone.path) })?.kind == .missing)
    }

    // MARK: MLX's quantisation

    /// A quantised layer of 2 × 128.
    private func quantised(_ path: String, bits: Int = 4, group: Int = 64, scale: String = "F16") -> SafetensorsBuilder {
        var file = SafetensorsBuilder()
        let groups = 128 / group, size = scale == "F32" ? 4 : 2
        file.add("\(path).weight", "U32", [2, 128 * bits / 32], Array(zeros[..<(2 * 128 * bits / 8)]))
        file.add("\(path).scales", scale, [2, groups], Array(zeros[..<(2 * groups * size)]))
        file.add("\(path).biases", scale, [2, groups], Array(zeros[..<(2 * groups * size)]))
        return file
    }

    private func config(_ quantization: String) -> String { #"{"model_type":"llama","quantization":\#(quantization)}"# }

    @Test(arguments: [2, 3, 4, 5, 6, 8], [32, 64, 128])
    func aQuantisedLayerIsOneRecordOfThreePlanes(_ bits: Int, _ group: Int) throws {
        for (type, scale) in [("F16", Packing.Number.f16), ("BF16", .bf16), ("F32", .f32)] {
            let source = try open(
                quantised("model.q", bits: bits, group: group, scale: type), config: config(#"{"group_size":\#(group),"bits":\#(bits)}"#))
            #expect(source.records.count == 1 && source.formatName == "MLX safetensors")
            let record = try #require(source.records["model.q.weight"])
            #expect(record.shape == [2, 128] && record.planes.count == 3)
            #expect(record.format as? Affine == Affine.make(bits: bits, group: group, scale: scale))
            GGUFReadingTests.readEverything(source)
        }
    }

    @Test func overridesAreKeyedByStrippedPaths() throws {
        let file = quantised("language_model.model.q", bits: 8)
        let source = try open(file, config: config(#"{"group_size":64,"bits":4,"language_model.model.q":{"group_size":64,"bits":8}}"#))
        #expect(source.records["model.q.weight"]?.format.name == "affine 8-bit group 64 (f16)")
        #expect(throws: Never.self) { try open(file, config: config(#"{"group_size":64,"bits":4,"model.q":{"bits":8}}"#)) }
        #expect(throws: Never.self) { try open(file, config: config(#"{"group_size":64,"bits":8,"model.q":true,"mode":"affine"}"#)) }
        // the default's other mode does not rub off on an override
        #expect(throws: Never.self) {
            try open(file, config: config(#"{"group_size":32,"bits":4,"mode":"mxfp4","model.q":{"group_size":64,"bits":8}}"#))
        }
        var kept = SafetensorsBuilder()
        kept.add("model.q.weight", "F16", [1, 2], [0, 0, 0, 0])
        #expect(try open(kept, config: config(#"{"group_size":64,"bits":4,"model.q":false}"#)).records["model.q.weight"]?.format.name == "F16")
        #expect(try open(kept, config: config(#"{"group_size":64,"bits":4}"#)).records["model.q.weight"]?.format.name == "F16")
    }

    @Test func aQuantisationThatContradictsItsTensorsIsRefused() {
        func refusal(_ file: SafetensorsBuilder, _ config: String) -> ModelError? {
            #expect(throws: ModelError.self) { try open(file, config: config) }
        }
        let file = quantised("q")
        #expect(refusal(file, #"{"model_type":"llama"}"#)?.kind == .missing)
        #expect(refusal(file, config(#"{"group_size":64,"bits":8}"#))?.kind == .mismatched)
        #expect(refusal(file, config(#"{"group_size":32,"bits":4}"#))?.kind == .mismatched)
        #expect(refusal(file, config(#"{"group_size":64,"bits":4,"q":false}"#))?.kind == .mismatched)
        #expect(refusal(file, config("{}"))?.kind == .missing)
        #expect(refusal(file, config(#"{"group_size":64,"bits":0}"#))?.kind == .outOfRange)
        #expect(refusal(file, config(#"{"group_size":9223372036854775807,"bits":4}"#))?.kind == .outOfRange)
        #expect(refusal(file, config(#"{"group_size":"64","bits":4}"#))?.kind == .malformed)
        #expect(refusal(file, config(#"{"group_size":64,"bits":4,"mode":"nvfp4"}"#))?.problem.contains("nvfp4") == true)
        #expect(refusal(file, config(#"{"group_size":64,"bits":4,"mode":"mxfp5"}"#))?.problem.contains("mxfp5") == true)
        #expect(refusal(quantised("q", group: 16), config(#"{"group_size":16,"bits":4}"#))?.problem.contains("groups of 16") == true)
        var noBiases = SafetensorsBuilder(), otherBiases = file, mxfp4 = file, flat = file
        noBiases.entries = Array(file.entries.prefix(2))
        #expect(refusal(noBiases, config(#"{"group_size":64,"bits":4}"#))?.problem.contains("no biases") == true)
        otherBiases.entries[2].type = "BF16"
        #expect(refusal(otherBiases, config(#"{"group_size":64,"bits":4}"#))?.kind == .mismatched)
        mxfp4.entries[1] = ("q.scales", "U8", [2, 2], [0, 0, 0, 0])
        #expect(refusal(mxfp4, config(#"{"group_size":64,"bits":4}"#))?.kind == .unsupported)
        flat.entries[0].shape = [32]
        flat.entries[1].shape = [4]
        flat.entries[2].shape = [4]
        #expect(refusal(flat, config(#"{"group_size":64,"bits":4}"#))?.kind == .mismatched)
    }

    /// Floats of four and eight bits have bytes for scales.
    @Test(arguments: [("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32)])
    func aLayerOfSmallFloatsIsOneRecordOfTwoPlanes(_ mode: String, _ bits: Int, _ group: Int) throws {
        var file = SafetensorsBuilder()
        file.add("model.q.weight", "U32", [2, 128 * bits / 32], Array(zeros[..<(2 * 128 * bits / 8)]))
        file.add("model.q.scales", "U8", [2, 128 / group], Array(zeros[..<(2 * 128 / group)]))
        let alone = config(#"{"group_size":\#(group),"bits":\#(bits),"mode":"\#(mode)"}"#)
        let excepted = config(#"{"group_size":64,"bits":4,"mode":"affine","model.q":{"mode":"\#(mode)"}}"#)
        for config in [alone, excepted] {
            let source = try open(file, config: config)
            let record = try #require(source.records["model.q.weight"])
            #expect(source.records.count == 1 && record.format.name == mode && record.shape == [2, 128] && record.planes.count == 2)
            GGUFReadingTests.readEverything(source)
        }
        #expect(throws: ModelError.self) { try open(file, config: config(#"{"group_size":64,"bits":\#(bits),"mode":"\#(mode)"}"#)) }
        file.entries[1].type = "I8"
        #expect(throws: ModelError.self) { try open(file, config: alone) }
    }

    // MARK: other programs' quantisations

    private func foreign(_ settings: String) -> String {
        #"{"model_type":"llama","quantization_config":{\#(settings)}}"#
    }

    private func columnwise(codes: [Int], scales: [Int], zeros shape: [Int], zero: UInt8 = 0) -> SafetensorsBuilder {
        var file = SafetensorsBuilder()
        file.add("model.q.qweight", "I32", codes, Array(zeros[..<(4 * codes.reduce(1, *))]))
        file.add("model.q.scales", "F16", scales, Array(zeros[..<(2 * scales.reduce(1, *))]))
        file.add("model.q.qzeros", "I32", shape, [UInt8](repeating: zero, count: 4 * shape.reduce(1, *)))
        file.add("model.q.bias", "F16", [8], Array(zeros[..<16]))
        return file
    }

    @Test func codesByColumnsBecomeRows() throws {
        let awq = columnwise(codes: [128, 1], scales: [2, 8], zeros: [2, 1])
        var source = try open(awq, config: foreign(#""quant_method":"awq","bits":4,"group_size":64,"version":"gemm","zero_point":true"#))
        var record = try #require(source.records["model.q.weight"])
        #expect(record.format as? AWQ == AWQ(group: 64) && record.shape == [8, 128] && source.records.count == 2)
        GGUFReadingTests.readEverything(source)

        var gptq = columnwise(codes: [16, 8], scales: [2, 8], zeros: [2, 1])
        gptq.add("model.q.g_idx", "I32", [128], (0..<128).flatMap { [UInt8($0 / 64), 0, 0, 0] })
        let settings = #""quant_method":"gptq","bits":4,"group_size":64,"desc_act":false"#
        source = try open(gptq, config: foreign(settings))
        record = try #require(source.records["model.q.weight"])
        #expect(record.format as? GPTQ == GPTQ(bits: 4, group: 64, zeros: .storedLessOne) && record.shape == [8, 128])
        #expect(source.records.count == 2)
        GGUFReadingTests.readEverything(source)
        source = try open(gptq, config: foreign(settings + #","checkpoint_format":"gptq_v2""#))
        #expect(source.records["model.q.weight"]?.format as? GPTQ == GPTQ(bits: 4, group: 64, zeros: .stored))
        let middle = columnwise(codes: [16, 8], scales: [2, 8], zeros: [2, 1], zero: 0x77)
        #expect(try open(middle, config: foreign(settings)).records["model.q.weight"]?.format as? GPTQ == GPTQ(bits: 4, group: 64, zeros: .constant))
    }

    @Test func floatsInBlocksAreOneRecord() throws {
        var file = SafetensorsBuilder()
        file.add("model.q.weight", "F8_E4M3", [3, 130], Array(zeros[..<390]))
        file.add("model.q.weight_scale_inv", "F32", [1, 2], Array(zeros[..<8]))
        let source = try open(file, config: foreign(#""quant_method":"fp8","weight_block_size":[128,128]"#))
        let record = try #require(source.records["model.q.weight"])
        #expect(record.format as? BlockFP8 == BlockFP8() && record.shape == [3, 130] && source.records.count == 1)
        GGUFReadingTests.readEverything(source)
        #expect(throws: ModelError.self) { try open(file, config: foreign(#""quant_method":"fp8","weight_block_size":[128,64]"#)) }
        #expect(throws: ModelError.self) { try open(file, config: foreign(#""quant_method":"fp8","weight_block_size":[0,128]"#)) }
    }

    @Test func columnsThatContradictTheirSettingsAreRefused() {
        func refusal(_ file: SafetensorsBuilder, _ settings: String) -> ModelError? {
            #expect(throws: ModelError.self) { try open(file, config: foreign(settings)) }
        }
        let awq = columnwise(codes: [128, 1], scales: [2, 8], zeros: [2, 1])
        #expect(refusal(awq, #""quant_method":"awq","group_size":32"#)?.kind == .mismatched)
        #expect(refusal(awq, #""quant_method":"awq","group_size":-1"#)?.kind == .unsupported)
        #expect(refusal(awq, #""quant_method":"awq","group_size":64,"bits":3"#)?.kind == .unsupported)
        #expect(refusal(awq, #""quant_method":"awq","group_size":64,"version":"gemv""#)?.problem.contains("gemv") == true)
        #expect(refusal(awq, #""quant_method":"awq","group_size":"64""#)?.kind == .malformed)
        #expect(refusal(awq, #""quant_method":"gptq","group_size":64"#)?.kind == .mismatched)
        #expect(refusal(awq, #""quant_method":"gptq","checkpoint_format":"marlin""#)?.problem.contains("marlin") == true)
        var shuffled = columnwise(codes: [16, 8], scales: [2, 8], zeros: [2, 1])
        shuffled.add("model.q.g_idx", "I32", [128], (0..<128).flatMap { [UInt8(1 - $0 / 64), 0, 0, 0] })
        #expect(refusal(shuffled, #""quant_method":"gptq","group_size":64"#)?.hint?.contains("desc_act") == true)
        var alone = awq
        alone.entries.remove(at: 2)
        #expect(refusal(alone, #""quant_method":"awq","group_size":64"#)?.kind == .missing)
    }

    @Test(arguments: ["bitsandbytes", "compressed-tensors", "bitnet", "mxfp4"])
    func foreignQuantisationIsRefusedByName(_ method: String) {
        let error = #expect(throws: ModelError.self) {
            try open(plain, config: #"{"model_type":"llama","quantization_config":{"quant_method":"\#(method)","bits":4}}"#)
        }
        #expect(error?.kind == .unsupported && error?.problem.contains("\"\(method)\"") == true)
    }

    // MARK: config.json

    @Test func configurationIsFlattenedAndTheLanguagePartUnwrapped() throws {
        let source = try open(
            plain,
            config: #"""
                {"model_type":"gemma3","vocab_size":1,"rope_scaling":{"factor":8.0,"rope_type":"linear"},"sliding_window":null,
                 "layer_types":["a","b"],"eos_token_id":[1,2],"nested":[[1]],"mixed":[1,2.5],"vision_config":{"hidden_size":7},
                 "text_config":{"model_type":"gemma3_text","vocab_size":9,"hidden_size":3}}
                """#)
        let metadata = source.metadata
        #expect(metadata.architecture == "gemma3_text")
        #expect(metadata.values["vocab_size"] == .int(9) && metadata.values["hidden_size"] == .int(3))
        #expect(metadata.values["rope_scaling.factor"] == .float(8) && metadata.values["sliding_window"] == nil)
        #expect(metadata.values["layer_types"] == .texts(["a", "b"]) && metadata.values["mixed"] == .floats([1, 2.5]))
        #expect(metadata.values["nested"] == nil && metadata.values["vision_config.hidden_size"] == .int(7))
    }

    @Test(arguments: ["", "[]", "{", #"{"model_type":3}"#, "{}", #"{"model_type":"a","model_type":"b"}"#, "\u{FEFF}{}", "not json"])
    func aConfigurationThatIsNoneIsRefused(_ config: String) {
        #expect(throws: ModelError.self) { try open(plain, config: config) }
    }

    // MARK: chance

    @Test func mutatedFilesNeverTrap() throws {
        let seed: UInt64 = 77
        var random = SeededRandom(seed: seed)
        var file = quantised("model.q")
        file.add("model.norm", "F32", [2], [0, 0, 0, 0, 0, 0, 0, 0])
        let bytes = file.bytes(), folder = folder(bytes, config: config(#"{"group_size":64,"bits":4}"#))
        let header = 8 + file.header.utf8.count
        let words = ["0", "9", "-", "1e9", "18446744073709551615", "[", "]", "{", "}", "\"", ",", "\\u0000", "F32", "U32"].map { Array($0.utf8) }
        var opened = 0
        for _ in 0..<6000 {
            var mutant = bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let at = Int.random(in: 0..<min(header, mutant.count), using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: mutant[at] = UInt8.random(in: 0...255, using: &random)
                case 1: mutant.remove(at: at)
                case 2: mutant.insert(contentsOf: words.randomElement(using: &random) ?? [], at: at)
                default: mutant[at] = UInt8.random(in: 48...57, using: &random)
                }
            }
            folder.write(mutant, to: "model.safetensors")
            if let source = try? ModelSources.open(folder.path) {
                opened += 1
                GGUFReadingTests.readEverything(source)
            }
        }
        #expect(opened > 0, "seed \(seed)")
    }
}
