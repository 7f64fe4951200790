internal import Weights

extension Hyperparameters {
    /// Reads the numbers of one model and checks each.
    /// - Throws: `missing`, `malformed`, `out_of_range`, `mismatched`, or `unsupported` for what the forward pass does not do.
    init(_ metadata: Metadata, _ architecture: Architecture, vocabularySize: Int) throws(ModelError) {
        let file = Reading(metadata: metadata, architecture: architecture)
        try file.refuseWhatIsNotRun()
        guard Limits.vocabulary.contains(vocabularySize) else {
            throw file.outOfRange("the embedding has \(vocabularySize) rows", Limits.vocabulary)
        }
        self.vocabularySize = vocabularySize
        layers = try file.int(.blockCount, in: Limits.layers)
        contextLength = try file.int(.contextLength, in: 1...(1 << 30))
        hidden = try file.int(.embeddingLength, in: Limits.width)
        feedForward = try file.int(.feedForwardLength, sameInAll: layers, in: Limits.width)
        heads = try file.int(.headCount, sameInAll: layers, in: Limits.heads)
        keyValueHeads = try file.int(.headCountKV, sameInAll: layers, in: Limits.heads, else: heads)
        let shared = hidden / heads
        keySize = try file.int(.keyLength, in: 2...4096, else: shared)
        valueSize = try file.int(.valueLength, in: 1...4096, else: keySize)
        normEpsilon = Float(try file.float(.rmsEpsilon, in: 0...1))
        guard heads % keyValueHeads == 0 else {
            throw file.mismatched("\(heads) query heads do not divide among \(keyValueHeads) key heads")
        }
        guard keySize % 2 == 0, keySize >= 2 else { throw file.mismatched("a head of \(keySize) values has no pairs to rotate") }

        rotated = try file.rotated(keySize)
        rotation = Rotation(base: try file.float(.ropeBase, in: 1e-3...1e15, else: 10_000), scaling: try file.scaling())
        switch architecture.ropeBases {
        case .one: windowRotation = nil
        case .ownForWindows(let standard):
            windowRotation = Rotation(base: try file.float(.ropeBaseSliding, in: 1e-3...1e15, else: standard), scaling: .none)
        }

        (window, hasWindow) = try file.windows(layers: layers)
        attentionScale = try file.attentionScale(keySize: keySize, hidden: hidden, heads: heads, layers: layers)
        embeddingScale = architecture.embeddingScale == .rootOfHidden ? Float(hidden).squareRoot().roundedToBF16 : 1
        attentionSoftcap = Float(try file.float(.attentionSoftcap, in: 0...1e6, else: 0))
        finalSoftcap = Float(try file.float(.finalSoftcap, in: 0...1e6, else: 0))
    }
}

/// Metadata in the light of one architecture.
private struct Reading {
    let metadata: Metadata
    let architecture: Architecture

    func outOfRange(_ what: String, _ range: ClosedRange<Int>) -> ModelError {
        ModelError(.outOfRange, at: metadata.place, what, hint: "\(range.lowerBound) to \(range.upperBound)")
    }
    func mismatched(_ what: String) -> ModelError { ModelError(.mismatched, at: metadata.place, what) }
    func unsupported(_ what: String, hint: String? = nil) -> ModelError {
        ModelError(.unsupported, at: metadata.place, what, hint: hint)
    }

    /// What the architecture takes for granted where a config.json is silent.
    private func standard(_ key: MetadataKey) -> Double? { metadata.dialect == .huggingFace ? architecture.standard[key] : nil }

    func int(_ key: MetadataKey, in range: ClosedRange<Int>, else fallback: Int? = nil) throws(ModelError) -> Int {
        if let value = try metadata.findInt(key, in: range) { return value }
        guard let value = standard(key).flatMap({ Int(exactly: $0) }) ?? fallback else { throw metadata.missing(key) }
        return value
    }

    func int(
        _ key: MetadataKey, sameInAll layers: Int, in range: ClosedRange<Int>, else fallback: Int? = nil
    ) throws(ModelError) -> Int {
        guard let values = try metadata.findInts(key, perLayer: layers, in: range), let first = values.first else {
            guard let value = standard(key).flatMap({ Int(exactly: $0) }) ?? fallback else { throw metadata.missing(key) }
            return value
        }
        guard values.allSatisfy({ $0 == first }) else {
            throw unsupported("\(key.spellings(in: metadata).first ?? "") differs between layers")
        }
        return first
    }

    func float(_ key: MetadataKey, in range: ClosedRange<Double>, else fallback: Double? = nil) throws(ModelError) -> Double {
        if let value = try metadata.findFloat(key, in: range) { return value }
        guard let value = standard(key) ?? fallback else { throw metadata.missing(key) }
        return value
    }

    func refuseWhatIsNotRun() throws(ModelError) {
        if let experts = try metadata.findInt(.expertCount), experts > 1 {
            throw unsupported("is a mixture of \(experts) experts", hint: "dense models only")
        }
        for key in [MetadataKey.embeddingScale, .residualScale, .logitScale, .attentionScale] {
            if let (spelling, value) = metadata.find(key) {
                throw unsupported("\(spelling) is \(value.summary)", hint: "no such scale is applied")
            }
        }
        if let activation = try metadata.findText(.activation) {
            let names = architecture.activation == .silu ? ["silu", "swish"] : ["gelu_pytorch_tanh", "gelu_tanh"]
            guard names.contains(activation) else {
                throw unsupported("activation \(ModelError.quoted(activation)) is not \(names[0])")
            }
        }
    }

    func rotated(_ keySize: Int) throws(ModelError) -> Int {
        var rotated = try int(.ropeDimensionCount, in: 2...keySize, else: keySize)
        if let factor = try metadata.findFloat(.partialRotaryFactor, in: 0...1) { rotated = Int(Double(keySize) * factor) }
        guard rotated >= 2, rotated % 2 == 0 else { throw mismatched("\(rotated) rotated values do not form pairs") }
        if rotated != keySize, metadata.dialect == .gguf, architecture.layout.interleavesQueryKeyRows {
            throw unsupported("only \(rotated) of \(keySize) values of a head are rotated")
        }
        return rotated
    }

    func scaling() throws(ModelError) -> Hyperparameters.Rotation.Scaling {
        func factor() throws(ModelError) -> Double { try float(.ropeScalingFactor, in: 1e-3...1e6) }
        let type = try metadata.findText(.ropeScalingType)
        switch type {
        case nil: return metadata.has(.ropeScalingFactor) ? .linear(try factor()) : .none
        case "none", "default": return .none
        case "linear": return .linear(try factor())
        case "llama3":
            let low = try float(.ropeLowFrequencyFactor, in: 1e-3...1e6)
            let high = try float(.ropeHighFrequencyFactor, in: 1e-3...1e6)
            guard low < high else { throw mismatched("low_freq_factor \(low) is not below high_freq_factor \(high)") }
            return .llama3(
                factor: try factor(), lowFrequency: low, highFrequency: high,
                originalContext: try float(.ropeOriginalContext, in: 1...1e9))
        case let type?: throw unsupported("position scaling \(ModelError.quoted(type)) is not supported", hint: "linear and llama3 are")
        }
    }

    /// The window in positions, and which layers have it.
    func windows(layers: Int) throws(ModelError) -> (Int, [Bool]) {
        for type in try metadata.findTexts(.layerTypes) ?? [] where type != "full_attention" && type != "sliding_attention" {
            throw unsupported("layer type \(ModelError.quoted(type)) is not supported")
        }
        let none = (0, Array(repeating: false, count: layers))
        let window = try metadata.findInt(.slidingWindow, in: 0...(1 << 30)) ?? 0
        guard window > 0, try metadata.findBool(.usesSlidingWindow) ?? true else { return none }
        if let listed = try metadata.slidingLayers(count: layers) { return (window, listed) }
        switch architecture.windows {
        case .everyLayer: return (window, Array(repeating: true, count: layers))
        case .allButEvery(let period): return (window, (1...layers).map { $0 % period != 0 })
        case .whereEnabled:
            guard try metadata.findBool(.usesSlidingWindow) == true else { return none }
            let first = try metadata.findInt(.maximumWindowLayers, in: 0...Limits.layers.upperBound) ?? 0
            return (window, (0..<layers).map { $0 >= first })
        }
    }

    func attentionScale(keySize: Int, hidden: Int, heads: Int, layers: Int) throws(ModelError) -> Float {
        switch architecture.attentionScale {
        case .keySize: return 1 / Float(keySize).squareRoot()
        case .queryScalar(let hiddenPerHead):
            let implied = layers == hiddenPerHead ? Double(hidden) / Double(heads) : Double(keySize)
            return 1 / Float(try float(.queryPreAttentionScalar, in: 1e-3...1e6, else: implied)).squareRoot()
        }
    }
}

extension Float {
    /// The nearest number with eight significant bits, ties to even.
    fileprivate var roundedToBF16: Float {
        let bits = bitPattern
        return Float(bitPattern: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) & 0xFFFF_0000)
    }
}
