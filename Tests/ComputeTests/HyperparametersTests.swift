import Compute
import Glibc
import Testing
import Weights

@Suite struct HyperparametersTests {
    private func sizes(_ random: RandomModel, without key: String = "", _ change: [String: Metadata.Value]) throws(ModelError)
        -> Hyperparameters
    {
        var source = random.huggingFace()
        var values = source.metadata.values
        values.merge(change) { $1 }
        values[key] = nil
        source.metadata = Metadata(dialect: .huggingFace, place: "config.json", architecture: random.modelType, values: values)
        return try ModelSummary(source, options: ModelOptions(threads: 1)).hyperparameters
    }

    private func refusal(_ random: RandomModel, _ change: [String: Metadata.Value]) -> ModelError? {
        do throws(ModelError) {
            _ = try sizes(random, change)
            return nil
        } catch { return error }
    }

    private let llama = RandomModel.all[0], mistral = RandomModel.all[1], qwen2 = RandomModel.all[2], gemma3 = RandomModel.all[4]

    @Test(arguments: [
        ("num_hidden_layers", Metadata.Value.int(0)), ("num_hidden_layers", .int(4097)), ("hidden_size", .int(1 << 21)),
        ("num_attention_heads", .int(0)), ("num_attention_heads", .int(1 << 15)), ("head_dim", .int(0)), ("head_dim", .int(-64)),
        ("intermediate_size", .int(Int.max)), ("max_position_embeddings", .int(0)), ("rms_norm_eps", .float(-1)),
        ("rope_theta", .float(0)), ("num_key_value_heads", .int(Int.min)),
    ])
    func aNumberOutOfRangeIsRefused(_ key: String, _ value: Metadata.Value) {
        #expect(refusal(llama, [key: value])?.kind == .outOfRange, "\(key)")
    }

    @Test func numbersThatContradictEachOtherAreRefused() {
        #expect(refusal(llama, ["num_key_value_heads": .int(3)])?.kind == .mismatched)
        #expect(refusal(llama, ["head_dim": .int(31)])?.kind == .mismatched)
        #expect(refusal(llama, ["hidden_size": .int(128)])?.kind == .mismatched)
        #expect(refusal(llama, ["num_hidden_layers": .int(4)])?.kind == .missing)
        #expect(refusal(llama, ["num_hidden_layers": .int(2)])?.kind == .unsupported)
    }

    @Test func whatTheForwardPassDoesNotDoIsRefused() {
        #expect(refusal(llama, ["rope_scaling.rope_type": .text("yarn"), "rope_scaling.factor": .float(4)])?.kind == .unsupported)
        #expect(refusal(llama, ["hidden_act": .text("relu")])?.kind == .unsupported)
        #expect(refusal(llama, ["num_local_experts": .int(8)])?.kind == .unsupported)
        #expect(refusal(gemma3, ["layer_types": .texts(Array(repeating: "linear_attention", count: 7))])?.kind == .unsupported)
    }

    @Test func windowsFollowTheFileThenTheArchitecture() throws {
        #expect(try sizes(llama, [:]).hasWindow == [false, false, false])
        #expect(try sizes(mistral, [:]).hasWindow == [true, true, true])
        #expect(try sizes(mistral, [:]).window == 7)
        #expect(try sizes(mistral, without: "sliding_window", [:]).hasWindow == [false, false, false])
        #expect(try sizes(qwen2, [:]).hasWindow == [false, false, false])
        #expect(try sizes(qwen2, ["use_sliding_window": .bool(true), "max_window_layers": .int(1)]).hasWindow == [false, true, true])
        #expect(try sizes(gemma3, [:]).hasWindow == [true, true, false, true, true, false, true])
        #expect(
            try sizes(gemma3, without: "sliding_window_pattern", [:]).hasWindow == [true, true, true, true, true, false, true])
    }

    @Test func gemmaScalesItsEmbeddingsByARoundedRoot() throws {
        #expect(try sizes(gemma3, [:]).embeddingScale == 8)
        var wide = gemma3
        wide.hidden = 1152  // √1152 = 33.941…, in bf16 34
        #expect(try sizes(wide, [:]).embeddingScale == 34)
        #expect(try sizes(gemma3, ["query_pre_attn_scalar": .int(64)]).attentionScale == 0.125)
        #expect(try sizes(gemma3, [:]).windowRotation == .init(base: 10_000, scaling: .none))
        #expect(try sizes(gemma3, [:]).rotation == .init(base: 20_000, scaling: .linear(8)))
    }

    /// The divisors that a converter writes into GGUF follow from the four numbers in config.json.
    @Test func llama3RotationIsTheSameFromItsRuleAndFromItsDivisors() throws {
        var random = llama.wide(Q4_1())
        random.more["rope_scaling.rope_type"] = .text("llama3")
        random.more["rope_scaling.factor"] = .float(8)
        random.more["rope_scaling.low_freq_factor"] = .float(1)
        random.more["rope_scaling.high_freq_factor"] = .float(4)
        random.more["rope_scaling.original_max_position_embeddings"] = .int(64)
        var gguf = random.gguf()
        var divisors: [Float] = []
        for pair in 0..<32 {
            let wavelength = Float(2 * Double.pi) / (1 / Float(pow(20_000, Double(2 * pair) / 64)))
            let blend = (64 / wavelength - 1) / 3
            divisors.append(wavelength < 16 ? 1 : wavelength > 64 ? 8 : 1 / ((1 - blend) / 8 + blend))
        }
        gguf.add("rope_freqs.weight", [32], Dense(.f32), planes: [divisors.flatMap { $0.bitPattern.littleEndianBytes }])
        let tokens = someTokens(90, vocabulary: 80)
        let options = ModelOptions(threads: 1)
        let expected = try Model.load(random.huggingFace(), options: options).logits(tokens)
        #expect(try Model.load(gguf, options: options).logits(tokens) == expected)
        #expect(try Model.load(random.gguf(), options: options).logits(tokens) != expected)
    }
}
