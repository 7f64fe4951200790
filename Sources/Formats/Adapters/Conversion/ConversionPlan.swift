internal import Weights

/// Every tensor of a GGUF file with its name, form and row order in the MLX checkpoint to be.
struct ConversionPlan {
    private(set) var moves: [TensorMove] = []
    /// The type that the model computes in: that of the scales where something is quantised, else that of the embedding.
    private(set) var model = Packing.Number.f16
    var notes: [String] = []

    private let source: any ModelSource
    private let layout: CheckpointLayout

    init(_ source: any ModelSource, _ layout: CheckpointLayout) throws(ModelError) {
        self.source = source
        self.layout = layout
        let layers = try source.metadata.requireInt(.blockCount, in: Limits.layers)
        let heads = try source.metadata.requireInts(.headCount, perLayer: layers, in: Limits.heads)
        let sharedHeads = try source.metadata.findInts(.headCountKV, perLayer: layers, in: Limits.heads) ?? heads
        var strangers = source.records
        for role in roles(layers) {
            guard let name = layout.name(of: role, in: .gguf), let record = strangers.removeValue(forKey: name) else { continue }
            if role.part == .ropeFrequencyDivisors { continue }  // config.json has the rule that they follow from
            let count = role.layer.map { role.part == .query ? heads[$0] : sharedHeads[$0] } ?? 1
            try add(record, role, heads: count)
        }
        if let stranger = strangers.values.min(by: { $0.name < $1.name }) {
            throw ModelError(
                .unsupported, at: place(stranger), "is a tensor that this architecture has no place for", hint: source.metadata.architecture
            )
        }
        try chooseDenseTypes()
        // Four-byte words first, so that every tensor is aligned to its own type.
        moves = moves.filter { $0.entries[0].type.byteCount == 4 } + moves.filter { $0.entries[0].type.byteCount != 4 }
    }

    /// In the order of the forward pass.
    private func roles(_ layers: Int) -> [TensorRole] {
        let parts = layout.rows.map(\.part)
        let leaves = [TensorRole.Leaf.weight, .bias]
        let perLayer = parts.filter { layout.name(of: TensorRole($0), in: .gguf) == nil }
        let outside = parts.filter { !perLayer.contains($0) }
        return outside.flatMap { part in leaves.map { TensorRole(part, $0) } }
            + (0..<layers).flatMap { layer in perLayer.flatMap { part in leaves.map { TensorRole(part, layer: layer, $0) } } }
    }

    private mutating func add(_ record: StoredTensor, _ role: TensorRole, heads: Int) throws(ModelError) {
        guard let name = layout.name(of: role, in: .huggingFace)?.description, let dot = name.lastIndex(of: ".") else { return }
        var interleavedHead: Int?
        if layout.interleavesQueryKeyRows, role.part == .query || role.part == .key {
            let rows = record.shape.count == 1 ? record.columns : record.rows
            guard heads > 0, rows % (2 * heads) == 0 else {
                throw ModelError(.mismatched, at: place(record), "\(rows) rows are not \(heads) heads of an even size")
            }
            interleavedHead = rows / heads
        }
        moves.append(
            TensorMove(
                record: record, role: role, path: String(name[..<dot]), form: try form(of: record), interleavedHead: interleavedHead,
                subtractsOne: layout.addsOneToNorms && role.isNorm))
    }

    private func form(of record: StoredTensor) throws(ModelError) -> TensorMove.Form {
        switch record.format.packing {
        case .dense(let number):
            return .dense(number)
        case .codes(let bits, let group, .flat(let scale), let offset, let zero, let codebook, _):
            if codebook.isEmpty, [4, 8].contains(bits), record.shape.count > 1,
                let affine = Affine.make(bits: bits, group: group, scale: scale)
            {
                return .affine(affine, zero: zero, hasOffset: offset)
            }
        case .codes: break
        }
        throw ModelError(
            .unsupported, at: place(record), "\(record.format.name) does not move exactly into MLX's affine form",
            hint: "Q4_0, Q4_1, Q8_0, F16, BF16 and F32 do")
    }

    /// Norms and biases are F32 in GGUF. Where their numbers fit exactly they take the model's own type, as MLX needs one type
    /// throughout to compute in it; where not they stay F32.
    private mutating func chooseDenseTypes() throws(ModelError) {
        var scale: Packing.Number?
        for move in moves {
            if case .affine(let affine, _, _) = move.form { scale = affine.scale }
        }
        if let scale {
            model = scale
        } else if case .dense(let number)? = moves.first(where: { $0.role.part == .tokenEmbedding })?.form {
            model = number
        }
        var kept = 0
        for index in moves.indices where moves[index].record.shape.count == 1 {
            guard case .dense(let stored) = moves[index].form else { continue }
            let move = moves[index]
            let values = move.vector(from: source)
            if move.subtractsOne {
                let given = move.record.decoded(row: 0, from: source)
                let error = zip(values, given).reduce(0.0) { worst, pair in
                    Swift.max(worst, pair.1 == 0 ? 0 : abs(Double(pair.0 + 1) - Double(pair.1)) / abs(Double(pair.1)))
                }
                if error > 0 { moves[index].loss = .rounded(maximumRelativeError: error) }
            }
            let fits = values.allSatisfy { HalfPrecision.float(TensorMove.bits(of: $0, as: model), as: model) == $0 }
            moves[index].form = .dense(fits ? model : .f32)
            if !fits, stored == .f32, model != .f32 { kept += 1 }
        }
        if kept > 0 {
            notes.append("\(kept) vectors stay F32, as \(Dense(model).name) does not hold all their numbers: mlx computes in f32 with them")
        }
    }

    private func place(_ record: StoredTensor) -> String { "\(source.path): \(record.name)" }
}

extension TensorRole {
    fileprivate var isNorm: Bool {
        switch part {
        case .outputNorm, .attentionNorm, .queryNorm, .keyNorm, .attentionPostNorm, .feedForwardNorm, .feedForwardPostNorm: leaf == .weight
        default: false
        }
    }
}
