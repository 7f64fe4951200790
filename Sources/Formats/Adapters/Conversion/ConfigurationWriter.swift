internal import Weights

/// `config.json` of a model that a GGUF file describes.
struct ConfigurationWriter {
    private let metadata: Metadata
    private let source: any ModelSource
    private let layout: CheckpointLayout
    private let family: ConvertedFamily
    private let modelType: String

    init(_ source: any ModelSource, _ architecture: ConversionArchitecture) throws(ModelError) {
        self.source = source
        layout = architecture.layout
        metadata = source.metadata
        // Mistral is a llama in GGUF. In config.json only a Mistral has a window.
        let hasWindow = try metadata.findInt(.slidingWindow, in: 0...Int.max) ?? 0 > 0
        modelType = architecture.modelType == "llama" && hasWindow ? "mistral" : architecture.modelType
        family = try ConvertedFamily.named(modelType, place: source.path)
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
        let isTied = !moves.contains { $0.role.part == .output }
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
            family.activation == "silu" ? "hidden_act" : "hidden_activation": .string(family.activation),
            "tie_word_embeddings": .bool(isTied),
            "torch_dtype": .string(Self.spelling(of: model)),
        ]
        if family.statesAttentionBias {
            config["attention_bias"] = .bool(moves.contains { $0.role.part == .query && $0.role.leaf == .bias })
        }
        if family.statesQueryScale {
            // The largest of the family alone scales by its width per head.
            config["query_pre_attn_scalar"] = .int(layers == 62 ? hidden / heads : headSize)
        }
        if family.hasOwnWindowBase { config["rope_local_base_freq"] = number(try metadata.findFloat(.ropeBaseSliding) ?? 10_000) }
        if let period = family.windowPeriod { config["sliding_window_pattern"] = .int(period) }
        if let window = try metadata.findInt(.slidingWindow, in: 0...Int.max), window > 0 {
            config["sliding_window"] = .int(window)
        } else if modelType == "llama" {
            config["sliding_window"] = nil
        }
        if let cap = try metadata.findFloat(.finalSoftcap) { config["final_logit_softcapping"] = number(cap) }
        if let tokenizer = source.tokenizer {
            if let bos = tokenizer.bos { config["bos_token_id"] = .int(bos) }
            if let padding = tokenizer.padding { config["pad_token_id"] = .int(padding) }
            config["eos_token_id"] = TokenizerWriter.ends(tokenizer)
        }
        if let quantization = Self.quantization(of: moves) {
            config["quantization"] = quantization
            config["quantization_config"] = quantization
        }
        return config
    }

    /// A configuration of the same dialect, with what the conversion changes.
    static func edited(
        _ given: JSONObject, _ modelType: String, of moves: [TensorMove], _ target: ConversionTarget, _ model: Packing.Number, place: String
    ) throws(ModelError) -> JSONObject {
        var config = given
        if case .object(let inner)? = given["text_config"] {  // the language part of a model that also sees
            let family = try ConvertedFamily.named(modelType, place: place)
            config = inner
            for key in ["eos_token_id", "bos_token_id", "pad_token_id", "torch_dtype", "tie_word_embeddings"] where config[key] == nil {
                config[key] = given[key]
            }
            config["architectures"] = .array([.string(family.className)])
        }
        config["quantization"] = quantization(of: moves)
        config["quantization_config"] = config["quantization"]
        if !moves.contains(where: { $0.role.part == .output }) { config["tie_word_embeddings"] = .bool(true) }
        if target == .huggingFace {
            let key = config["dtype"] != nil ? "dtype" : "torch_dtype"
            config[key] = .string(spelling(of: model))
        }
        return config
    }

    private static func spelling(of number: Packing.Number) -> String {
        switch number {
        case .f32: "float32"
        case .f16: "float16"
        case .bf16: "bfloat16"
        }
    }

    /// The most frequent width and group for all, what differs by name. Nil where nothing is quantised.
    private static func quantization(of moves: [TensorMove]) -> JSONValue? {
        var counts: [(settings: JSONObject, count: Int)] = []
        for move in moves {
            guard let settings = settings(of: move.format) else { continue }
            if let place = counts.firstIndex(where: { $0.settings == settings }) {
                counts[place].count += 1
            } else {
                counts.append((settings, 1))
            }
        }
        guard let common = counts.max(by: { $0.count < $1.count })?.settings else { return nil }
        var result = common
        for move in moves where !move.isVector {
            let own = settings(of: move.format)
            if own != common { result.members.append(.init(key: move.path, value: own.map(JSONValue.object) ?? .bool(false))) }
        }
        return .object(result)
    }

    private static func settings(of format: any QuantFormat) -> JSONObject? {
        let mode: String
        switch format {
        case is Affine: mode = "affine"
        case is MLXFloat4, is MLXFloat8: mode = format.name
        default: return nil
        }
        let bits = 8 * format.bytesPerBlock[0] / format.valuesPerBlock
        return ["group_size": .int(format.valuesPerBlock), "bits": .int(bits), "mode": .string(mode)]
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
