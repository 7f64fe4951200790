import Compute
import Testing
import Weights

/// A model source that lies in memory: random weights of any stored format, in either dialect.
struct MemorySource: ModelSource {
    var path = "memory"
    var formatName = "memory"
    var metadata: Metadata
    var records: [TensorName: StoredTensor] = [:]
    var tokenizer: TokenizerSpec? { nil }
    var storages: [Storage] = []

    static func recognises(_ path: String) -> Bool { false }
    init(opening path: String) throws(ModelError) { throw ModelError(.unrecognised, at: path, "lies in memory") }

    init(_ dialect: Metadata.Dialect, _ architecture: String, _ values: [String: Metadata.Value]) {
        metadata = Metadata(dialect: dialect, place: "memory", architecture: architecture, values: values)
    }

    mutating func add(_ name: TensorName, _ shape: [Int], _ format: any QuantFormat, planes: [[UInt8]]) {
        let places = planes.map { bytes in
            storages.append(Storage(copying: bytes))
            return StoredTensor.Plane(file: storages.count - 1, range: 0..<bytes.count)
        }
        records[name] = StoredTensor(name: name, shape: shape, format: format, planes: places)
    }

    func bytes(_ record: StoredTensor) -> [[UInt8]] { record.planes.map { Array(storages[$0.file].bytes[$0.range]) } }
}

/// A small random model of one architecture, from which both dialects are made.
struct RandomModel: CustomTestStringConvertible {
    var architecture: Architecture
    var modelType: String
    var hidden = 64, heads = 4, keyValueHeads = 2, headSize = 32, feedForward = 96, layers = 3, vocabulary = 80
    var biases = false, tied = false
    var more: [String: Metadata.Value] = [:]  // Hugging Face spellings
    var moreGGUF: [String: Metadata.Value] = [:]
    var format: any QuantFormat = Dense(.f32)

    var testDescription: String { modelType + " " + format.name }

    static let all: [RandomModel] = [
        RandomModel(architecture: .llama, modelType: "llama", tied: true),
        RandomModel(
            architecture: .llama, modelType: "mistral", more: ["sliding_window": .int(7)],
            moreGGUF: ["llama.attention.sliding_window": .int(7)]),
        RandomModel(
            architecture: .qwen2, modelType: "qwen2", headSize: 16, biases: true,
            more: ["sliding_window": .int(7), "use_sliding_window": .bool(false)]),
        RandomModel(architecture: .qwen3, modelType: "qwen3", keyValueHeads: 1, tied: true),
        RandomModel(
            architecture: .gemma3, modelType: "gemma3_text", layers: 7, tied: true,
            more: [
                "sliding_window": .int(7), "sliding_window_pattern": .int(3), "query_pre_attn_scalar": .int(32),
                "rope_scaling.rope_type": .text("linear"), "rope_scaling.factor": .float(8), "final_logit_softcapping": .float(3),
            ],
            moreGGUF: [
                "gemma3.attention.sliding_window": .int(7), "gemma3.attention.sliding_window_pattern": .int(3),
                "gemma3.rope.scaling.type": .text("linear"), "gemma3.rope.scaling.factor": .float(8),
                "gemma3.final_logit_softcapping": .float(3),
            ]),
    ]

    /// The same model wide enough for every stored format.
    func wide(_ format: any QuantFormat) -> RandomModel {
        var model = self
        model.hidden = 256
        model.feedForward = 256
        model.headSize = 64
        model.format = format
        if model.architecture.name == "gemma3" { model.more["query_pre_attn_scalar"] = .int(64) }
        return model
    }

    private var shapes: [(TensorRole, [Int])] {
        var shapes: [(TensorRole, [Int])] = [
            (TensorRole(.tokenEmbedding), [vocabulary, hidden]), (TensorRole(.outputNorm), [hidden]),
        ]
        if !tied { shapes.append((TensorRole(.output), [vocabulary, hidden])) }
        let queries = heads * headSize
        let keys = keyValueHeads * headSize
        for layer in 0..<layers {
            func add(_ part: TensorRole.Part, _ shape: Int..., leaf: TensorRole.Leaf = .weight) {
                shapes.append((TensorRole(part, layer: layer, leaf), shape))
            }
            add(.attentionNorm, hidden)
            add(.query, queries, hidden)
            add(.key, keys, hidden)
            add(.value, keys, hidden)
            add(.attentionOutput, hidden, queries)
            if biases {
                add(.query, queries, leaf: .bias)
                add(.key, keys, leaf: .bias)
                add(.value, keys, leaf: .bias)
            }
            if architecture.queryKeyNorm == .perHead {
                add(.queryNorm, headSize)
                add(.keyNorm, headSize)
            }
            add(.feedForwardNorm, hidden)
            if architecture.norms == .around {
                add(.attentionPostNorm, hidden)
                add(.feedForwardPostNorm, hidden)
            }
            add(.gate, feedForward, hidden)
            add(.up, feedForward, hidden)
            add(.down, hidden, feedForward)
        }
        return shapes
    }

    func huggingFace(seed: UInt64 = 1) -> MemorySource {
        var values: [String: Metadata.Value] = [
            "num_hidden_layers": .int(layers), "hidden_size": .int(hidden), "num_attention_heads": .int(heads),
            "num_key_value_heads": .int(keyValueHeads), "head_dim": .int(headSize), "intermediate_size": .int(feedForward),
            "max_position_embeddings": .int(512), "rms_norm_eps": .float(1e-5), "rope_theta": .float(20_000),
        ]
        values.merge(more) { $1 }
        var source = MemorySource(.huggingFace, modelType, values)
        var random = SplitMix(seed: seed)
        for (role, shape) in shapes {
            guard let name = architecture.layout.name(of: role, in: .huggingFace) else { continue }
            if shape.count == 1 {
                // Norm weights lie around 1, or around 0 where 1 is added at run time; biases around 0.
                let middle: Float = role.leaf == .bias || architecture.layout.addsOneToNorms ? 0 : 1
                let floats = (0..<shape[0]).map { _ in middle + random.float(in: -0.3...0.3) }
                source.add(name, shape, Dense(.f32), planes: [floats.flatMap { $0.bitPattern.littleEndianBytes }])
            } else {
                source.add(name, shape, format, planes: random.planes(of: format, rows: shape[0], columns: shape[1]))
            }
        }
        return source
    }

    /// The same weights as a GGUF converter writes them: query and key rows interleaved, 1 added to norms.
    func gguf(seed: UInt64 = 1) -> MemorySource {
        let other = huggingFace(seed: seed)
        let name = architecture.ggufNames[0]
        var values: [String: Metadata.Value] = [
            "block_count": .int(layers), "embedding_length": .int(hidden), "attention.head_count": .int(heads),
            "attention.head_count_kv": .int(keyValueHeads), "attention.key_length": .int(headSize),
            "attention.value_length": .int(headSize), "feed_forward_length": .int(feedForward), "context_length": .int(512),
            "attention.layer_norm_rms_epsilon": .float(1e-5), "rope.freq_base": .float(20_000),
        ]
        values = Dictionary(uniqueKeysWithValues: values.map { (name + "." + $0, $1) }).merging(moreGGUF) { $1 }
        var source = MemorySource(.gguf, name, values)
        for (role, shape) in shapes {
            guard let old = architecture.layout.name(of: role, in: .huggingFace), let record = other.records[old],
                let new = architecture.layout.name(of: role, in: .gguf)
            else { continue }
            var planes = other.bytes(record)
            if architecture.layout.interleavesQueryKeyRows, role.part == .query || role.part == .key {
                planes = planes.map { interleaved($0, rows: shape[0]) }
            }
            if architecture.layout.addsOneToNorms, shape.count == 1, role.leaf == .weight {
                planes = [
                    stride(from: 0, to: planes[0].count, by: 4).flatMap { at in
                        (Float(littleEndian: planes[0][at..<at + 4]) + 1).bitPattern.littleEndianBytes
                    }
                ]
            }
            source.add(new, shape, record.format, planes: planes)
        }
        return source
    }

    private func interleaved(_ bytes: [UInt8], rows: Int) -> [UInt8] {
        let length = bytes.count / rows
        return (0..<rows).flatMap { row in
            let head = row / headSize * headSize
            let inHead = row % headSize
            let old = head + inHead % 2 * (headSize / 2) + inHead / 2
            return bytes[old * length..<(old + 1) * length]
        }
    }
}

/// A seeded generator, the same on every machine.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func float(in range: ClosedRange<Float>) -> Float { Float.random(in: range, using: &self) }
}

extension FixedWidthInteger {
    var littleEndianBytes: [UInt8] { withUnsafeBytes(of: littleEndian) { Array($0) } }
}

extension Float {
    init(littleEndian bytes: ArraySlice<UInt8>) {
        self.init(bitPattern: bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) })
    }
}
