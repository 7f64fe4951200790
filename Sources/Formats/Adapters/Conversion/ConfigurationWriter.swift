internal import Weights

/// `config.json` of a model that a GGUF file describes.
struct ConfigurationWriter {
    private let metadata: Metadata
    private let source: any ModelSource
    private let layout: CheckpointLayout
    private let family: Family
    private let modelType: String

    /// What GGUF leaves unsaid about an architecture and `config.json` must say.
    private struct Family {
        var className: String
        var activation = "silu"
        /// Norms around, windows with a period and a rotation of their own.
        var isGemma3 = false
        var statesAttentionBias = true
    }

    private static let families: [String: Family] = [
        "llama": Family(className: "LlamaForCausalLM"),
        "qwen2": Family(className: "Qwen2ForCausalLM", statesAttentionBias: false),
        "qwen3": Family(className: "Qwen3ForCausalLM"),
        "gemma3_text": Family(className: "Gemma3ForCausalLM", activation: "gelu_pytorch_tanh", isGemma3: true),
    ]

    init(_ source: any ModelSource, _ layout: CheckpointLayout, _ modelType: String) throws(ModelError) {
        guard let family = Self.families[modelType] else {
            throw ModelError(
                .unsupported, at: source.path, "no configuration of \(ModelError.quoted(modelType)) can be written",
                hint: "known: " + Self.families.keys.sorted().joined(separator: ", "))
        }
        self.source = source
        self.layout = layout
        self.family = family
        self.modelType = modelType
        metadata = source.metadata
    }

    func configuration(of moves: [TensorMove], _ model: Packing.Number, _ notes: inout [String]) throws(ModelError) -> JSONObject {
        let layers = try metadata.requireInt(.blockCount, in: Limits.layers)
        let hidden = try metadata.requireInt(.embeddingLength, in: Limits.width)
        let heads = try one(.headCount, layers, Limits.heads)
        let headSize = try metadata.findInt(.keyLength, in: Limits.width) ?? hidden / heads
        let valueSize = try metadata.findInt(.valueLength, in: Limits.width) ?? headSize
        guard headSize == valueSize else {
            throw ModelError(
                .unsupported, at: source.path, "keys of \(headSize) and values of \(valueSize) have no spelling in config.json")
        }
        guard let embedding = moves.first(where: { $0.role.part == .tokenEmbedding }) else {
            throw ModelError(.missing, at: source.path, "has no token embedding")
        }
        var config: JSONObject = [
            "architectures": .array([.string(family.className)]),
            "model_type": .string(modelType),
            "hidden_size": .int(hidden),
            "intermediate_size": .int(try one(.feedForwardLength, layers, Limits.width)),
            "num_hidden_layers": .int(layers),
            "num_attention_heads": .int(heads),
            "num_key_value_heads": .int(metadata.has(.headCountKV) ? try one(.headCountKV, layers, Limits.heads) : heads),
            "head_dim": .int(headSize),
            "vocab_size": .int(embedding.record.rows),
            "max_position_embeddings": .int(try metadata.requireInt(.contextLength, in: 1...Int.max)),
            "rms_norm_eps": number(try metadata.requireFloat(.rmsEpsilon)),
            "rope_theta": number(try metadata.findFloat(.ropeBase) ?? 10_000),
            "rope_scaling": try ropeScaling(headSize, &notes),
            family.isGemma3 ? "hidden_activation" : "hidden_act": .string(family.activation),
            "tie_word_embeddings": .bool(!moves.contains { $0.role.part == .output }),
            "torch_dtype": .string(model == .f16 ? "float16" : model == .bf16 ? "bfloat16" : "float32"),
        ]
        if family.statesAttentionBias {
            config["attention_bias"] = .bool(moves.contains { $0.role.part == .query && $0.role.leaf == .bias })
        }
        if family.isGemma3 {
            // The largest of the family alone scales by its width per head.
            config["query_pre_attn_scalar"] = .int(layers == 62 ? hidden / heads : headSize)
            config["rope_local_base_freq"] = number(try metadata.findFloat(.ropeBaseSliding) ?? 10_000)
            config["sliding_window_pattern"] = .int(6)
        }
        if let window = try metadata.findInt(.slidingWindow, in: 1...Int.max) { config["sliding_window"] = .int(window) }
        if let cap = try metadata.findFloat(.finalSoftcap) { config["final_logit_softcapping"] = number(cap) }
        if let tokenizer = source.tokenizer {
            if let bos = tokenizer.bos { config["bos_token_id"] = .int(bos) }
            if let padding = tokenizer.padding { config["pad_token_id"] = .int(padding) }
            config["eos_token_id"] = TokenizerWriter.ends(tokenizer)
        }
        if let quantization = quantization(of: moves) {
            config["quantization"] = quantization
            config["quantization_config"] = quantization
        }
        return config
    }

    /// The most frequent width and group for all, what differs by name.
    private func quantization(of moves: [TensorMove]) -> JSONValue? {
        var counts: [(affine: Affine, count: Int)] = []
        for move in moves {
            guard case .affine(let affine, _, _) = move.form else { continue }
            if let place = counts.firstIndex(where: { $0.affine == affine }) {
                counts[place].count += 1
            } else {
                counts.append((affine, 1))
            }
        }
        guard let common = counts.max(by: { $0.count < $1.count })?.affine else { return nil }
        func spelled(_ affine: Affine) -> JSONObject {
            ["group_size": .int(affine.group), "bits": .int(affine.bits), "mode": .string("affine")]
        }
        var settings = spelled(common)
        for move in moves where move.record.shape.count > 1 {
            switch move.form {
            case .affine(let affine, _, _) where affine != common:
                settings.members.append(.init(key: move.path, value: .object(spelled(affine))))
            case .dense: settings.members.append(.init(key: move.path, value: .bool(false)))
            default: break
            }
        }
        return .object(settings)
    }

    private func ropeScaling(_ headSize: Int, _ notes: inout [String]) throws(ModelError) -> JSONValue {
        let type = try metadata.findText(.ropeScalingType) ?? "none"
        let factor = try metadata.findFloat(.ropeScalingFactor)
        switch (type, factor) {
        case ("linear", let factor?): return .object(["rope_type": .string("linear"), "factor": number(factor)])
        case ("none", _), ("linear", nil): break
        default: throw ModelError(.unsupported, at: source.path, "RoPE scaling \(ModelError.quoted(type)) is not written to config.json")
        }
        guard let name = layout.name(of: TensorRole(.ropeFrequencyDivisors), in: .gguf), let record = source.records[name] else {
            return .null
        }
        guard record.shape == [headSize / 2] else {
            throw ModelError(
                .mismatched, at: "\(source.path): \(name)", "has \(record.columns) divisors, heads of \(headSize) need \(headSize / 2)")
        }
        let rule = try LlamaThreeScaling(
            divisors: record.decoded(row: 0, from: source), base: metadata.findFloat(.ropeBase) ?? 10_000, place: "\(source.path): \(name)")
        notes.append("\(name) becomes the rule that it follows from: llama3, factor \(rule.factor), from \(rule.originalContext) positions")
        return .object([
            "rope_type": .string("llama3"), "factor": number(rule.factor), "low_freq_factor": .float(LlamaThreeScaling.low),
            "high_freq_factor": .float(LlamaThreeScaling.high), "original_max_position_embeddings": .int(rule.originalContext),
        ])
    }

    /// A hyperparameter that config.json has once for all layers.
    private func one(_ key: MetadataKey, _ layers: Int, _ range: ClosedRange<Int>) throws(ModelError) -> Int {
        let values = try metadata.requireInts(key, perLayer: layers, in: range)
        guard let first = values.first, values.allSatisfy({ $0 == first }) else {
            throw ModelError(.unsupported, at: source.path, "\(key.huggingFace[0]) differs between layers, which config.json cannot say")
        }
        return first
    }

    /// GGUF's numbers are f32: the shortest decimal that reads back as the same.
    private func number(_ value: Double) -> JSONValue { .float(Double(String(Float(value))) ?? value) }
}
