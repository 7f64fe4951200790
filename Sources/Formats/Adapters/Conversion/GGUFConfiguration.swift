internal import Weights

/// The keys of a GGUF file for a model that `config.json` describes.
struct GGUFConfiguration {
    private let source: any ModelSource
    private let metadata: Metadata
    private let architecture: ConversionArchitecture
    private let family: ConvertedFamily
    /// Tensors that follow from numbers of the configuration.
    private(set) var computed: [(name: String, values: [Float])] = []

    init(_ source: any ModelSource, _ architecture: ConversionArchitecture) throws(ModelError) {
        self.source = source
        metadata = source.metadata
        self.architecture = architecture
        family = try ConvertedFamily.named(metadata.architecture, place: source.path)
    }

    mutating func keys(of plan: ConversionPlan, name: String, _ notes: inout [String]) throws(ModelError) -> GGUFKeys {
        var keys = GGUFKeys()
        let root = architecture.ggufName
        keys.add("general.architecture", text: root)
        keys.add("general.type", text: "model")
        keys.add("general.name", text: name)
        let layers = plan.layers
        let hidden = try int(.embeddingLength, layers)
        let heads = try int(.headCount, layers)
        let headSize = try find(.keyLength, layers) ?? hidden / Swift.max(heads, 1)
        try keys.add("\(root).block_count", u32: layers)
        try keys.add("\(root).context_length", u32: int(.contextLength, layers))
        try keys.add("\(root).embedding_length", u32: hidden)
        try keys.add("\(root).feed_forward_length", u32: int(.feedForwardLength, layers))
        try keys.add("\(root).attention.head_count", u32: heads)
        try keys.add("\(root).attention.head_count_kv", u32: find(.headCountKV, layers) ?? heads)
        try keys.add("\(root).attention.key_length", u32: headSize)
        try keys.add("\(root).attention.value_length", u32: find(.valueLength, layers) ?? headSize)
        try keys.add("\(root).attention.layer_norm_rms_epsilon", f32: float(.rmsEpsilon))
        if let embedding = plan.moves.first(where: { $0.role.part == .tokenEmbedding }) {
            try keys.add("\(root).vocab_size", u32: embedding.record.rows)
        }
        try addRotation(to: &keys, root, headSize, &notes)
        try addWindow(to: &keys, root, layers, &notes)
        for key in [MetadataKey.attentionSoftcap, .finalSoftcap, .embeddingScale, .residualScale, .logitScale, .attentionScale] {
            guard let value = try metadata.findFloat(key), let spelling = key.gguf.first else { continue }
            keys.add(root + spelling.dropFirst(), f32: value)
        }
        // config.json may name another activation than its architecture has.
        if let activation = try metadata.findText(.activation), !activation.hasPrefix(String(family.activation.prefix(4))) {
            throw ModelError(.unsupported, at: metadata.place, "activation \(ModelError.quoted(activation)) cannot be said in GGUF")
        }
        return keys
    }

    private mutating func addRotation(
        to keys: inout GGUFKeys, _ root: String, _ headSize: Int, _ notes: inout [String]
    ) throws(ModelError) {
        let base = try metadata.findFloat(.ropeBase) ?? architecture.standard[.ropeBase] ?? 10_000
        let part = try metadata.findFloat(.partialRotaryFactor, in: 0...1) ?? 1
        try keys.add("\(root).rope.dimension_count", u32: Int(Double(headSize) * part))
        keys.add("\(root).rope.freq_base", f32: base)
        if let local = try metadata.findFloat(.ropeBaseSliding) { keys.add("\(root).rope.freq_base_swa", f32: local) }
        switch try metadata.findText(.ropeScalingType) {
        case nil, "none", "default":
            break
        case "linear":
            keys.add("\(root).rope.scaling.type", text: "linear")
            keys.add("\(root).rope.scaling.factor", f32: try metadata.requireFloat(.ropeScalingFactor))
        case "llama3":
            guard let name = architecture.layout.name(of: TensorRole(.ropeFrequencyDivisors), in: .gguf) else { break }
            let divisors = LlamaThreeScaling.divisors(
                base, headSize / 2, try metadata.requireFloat(.ropeScalingFactor, in: 1e-3...1e6),
                try metadata.requireFloat(.ropeLowFrequencyFactor), try metadata.requireFloat(.ropeHighFrequencyFactor),
                try metadata.requireFloat(.ropeOriginalContext))
            guard divisors.allSatisfy(\.isFinite) else {
                throw ModelError(.malformed, at: metadata.place, "rope_scaling of type llama3 gives divisors that are no numbers")
            }
            computed.append((name.description, divisors.map { Float($0) }))
            notes.append("the llama3 rule of the rotation becomes the divisors that follow from it, \(name)")
        case let type?:
            throw ModelError(.unsupported, at: metadata.place, "position scaling \(ModelError.quoted(type)) is not written to GGUF")
        }
    }

    private func addWindow(to keys: inout GGUFKeys, _ root: String, _ layers: Int, _ notes: inout [String]) throws(ModelError) {
        guard let window = try metadata.findInt(.slidingWindow, in: 0...(1 << 30)), window > 0,
            try metadata.findBool(.usesSlidingWindow) ?? true
        else { return }
        let expected = (1...layers).map { layer in family.windowPeriod.map { layer % $0 != 0 } ?? true }
        let listed = try metadata.slidingLayers(count: layers) ?? expected
        guard listed.contains(true) else { return }
        guard listed == expected, metadata.architecture != "qwen2", metadata.architecture != "qwen3" else {
            throw ModelError(
                .unsupported, at: metadata.place, "windows on these layers cannot be said in GGUF",
                hint: family.windowPeriod.map { "all but every \($0)th" } ?? "all or none")
        }
        try keys.add("\(root).attention.sliding_window", u32: window)
        if family.windowPeriod == nil {
            notes.append("the window of \(window) positions is written, but llama.cpp does not apply it to a \(root)")
        }
    }

    /// The same in all layers, or what the architecture takes for granted.
    private func find(_ key: MetadataKey, _ layers: Int) throws(ModelError) -> Int? {
        guard let values = try metadata.findInts(key, perLayer: layers, in: 0...Int.max), let first = values.first else {
            return architecture.standard[key].flatMap { Int(exactly: $0) }
        }
        guard values.allSatisfy({ $0 == first }) else {
            throw ModelError(.unsupported, at: metadata.place, "\(key.huggingFace[0]) differs between layers")
        }
        return first
    }

    private func int(_ key: MetadataKey, _ layers: Int) throws(ModelError) -> Int {
        guard let value = try find(key, layers) else { throw metadata.missing(key) }
        return value
    }

    private func float(_ key: MetadataKey) throws(ModelError) -> Double {
        guard let value = try metadata.findFloat(key) ?? architecture.standard[key] else { throw metadata.missing(key) }
        return value
    }
}
