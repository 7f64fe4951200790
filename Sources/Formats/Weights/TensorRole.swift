/// What a tensor is in its model, whatever its file calls it.
public struct TensorRole: Hashable, Sendable, CustomStringConvertible {
    public enum Part: String, Sendable, CaseIterable {
        case tokenEmbedding, outputNorm, output, ropeFrequencyDivisors
        case attentionNorm, query, key, value, attentionOutput, queryNorm, keyNorm, attentionPostNorm
        case feedForwardNorm, gate, up, down, feedForwardPostNorm
    }
    public enum Leaf: String, Sendable { case weight, bias }

    public var part: Part
    public var layer: Int?
    public var leaf: Leaf

    public init(_ part: Part, layer: Int? = nil, _ leaf: Leaf = .weight) {
        self.part = part
        self.layer = layer
        self.leaf = leaf
    }

    public var description: String { (layer.map { "layer \($0) " } ?? "") + part.rawValue + " " + leaf.rawValue }
}

/// How the two dialects lay out the tensors of one architecture: names, and what a GGUF converter does to values.
///
/// An architecture's file in `Compute` holds one; the binder reads tensors with it, the converter writes them with it.
public struct CheckpointLayout: Sendable, Equatable {
    public struct Row: Sendable, Equatable {
        public var part: TensorRole.Part
        public var gguf: String  // `blk.#.attn_q`: # is the layer
        public var huggingFace: String  // `model.layers.#.self_attn.q_proj`
        public init(_ part: TensorRole.Part, _ gguf: String, _ huggingFace: String) {
            self.part = part
            self.gguf = gguf
            self.huggingFace = huggingFace
        }
    }

    public var rows: [Row]
    /// GGUF stores query and key rows as interleaved pairs (per head, row 2i+j of the file is row j·d/2+i of the other dialect).
    public var interleavesQueryKeyRows: Bool
    /// GGUF stores norm weights as they are applied, with the 1 that the other dialect adds at run time.
    public var addsOneToNorms: Bool

    public init(rows: [Row], interleavesQueryKeyRows: Bool = false, addsOneToNorms: Bool = false) {
        self.rows = rows
        self.interleavesQueryKeyRows = interleavesQueryKeyRows
        self.addsOneToNorms = addsOneToNorms
    }

    /// The spelling of a role in a dialect, nil where this architecture has no such part.
    public func name(of role: TensorRole, in dialect: Metadata.Dialect) -> TensorName? {
        guard let row = rows.first(where: { $0.part == role.part }) else { return nil }
        var text = ""
        for character in dialect == .gguf ? row.gguf : row.huggingFace {
            if character == "#" {
                guard let layer = role.layer else { return nil }
                text += String(layer)
            } else {
                text.append(character)
            }
        }
        return TensorName(text + "." + role.leaf.rawValue)
    }
}
