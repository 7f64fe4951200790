internal import Weights

/// Every tensor of a source with its name, form and row order in the result to be.
struct ConversionPlan {
    private(set) var moves: [TensorMove] = []
    /// The type that a checkpoint computes in: that of the scales where something is quantised, else that of the embedding.
    private(set) var model = Packing.Number.f16
    var notes: [String] = []
    let layers: Int

    private let source: any ModelSource
    private let architecture: ConversionArchitecture
    private let options: ConversionOptions
    private let heads: [Int]
    private let sharedHeads: [Int]
    private let isTied: Bool

    private var layout: CheckpointLayout { architecture.layout }
    private var from: Metadata.Dialect { source.metadata.dialect }
    private var to: Metadata.Dialect { options.target.dialect }

    init(_ source: any ModelSource, _ architecture: ConversionArchitecture, _ options: ConversionOptions) throws(ModelError) {
        self.source = source
        self.architecture = architecture
        self.options = options
        let count = try source.metadata.requireInt(.blockCount, in: Limits.layers)
        func standard(_ key: MetadataKey) -> [Int]? {
            architecture.standard[key].flatMap { Int(exactly: $0) }.map { Array(repeating: $0, count: count) }
        }
        guard let heads = try source.metadata.findInts(.headCount, perLayer: count, in: Limits.heads) ?? standard(.headCount) else {
            throw source.metadata.missing(.headCount)
        }
        layers = count
        self.heads = heads
        sharedHeads = try source.metadata.findInts(.headCountKV, perLayer: count, in: Limits.heads) ?? standard(.headCountKV) ?? heads
        let output = architecture.layout.name(of: TensorRole(.output), in: source.metadata.dialect)
        let states = source.metadata.dialect == .huggingFace ? try source.metadata.findBool(.tiesEmbeddings) : nil
        isTied = states == true || output.map { source.records[$0] == nil } ?? true
        try bindAll()
        chooseModelType()
        for index in moves.indices where moves[index].isVector { chooseVectorType(index) }
        if options.target == .gguf { try foldQueryScale() }
        sort()
    }

    // MARK: names

    private mutating func bindAll() throws(ModelError) {
        var strangers = source.records
        for role in roles() {
            guard let name = layout.name(of: role, in: from), let record = strangers.removeValue(forKey: name) else { continue }
            if role.part == .ropeFrequencyDivisors, from != to { continue }  // config.json has the rule that they follow from
            if role.part == .output, isTied, role.leaf == .weight {
                notes.append("\(name) is left out: the embedding is the output, too")
                continue
            }
            try add(record, role)
        }
        if let stranger = strangers.values.min(by: { $0.name < $1.name }) {
            throw ModelError(
                .unsupported, at: place(stranger), "is a tensor that this architecture has no place for", hint: source.metadata.architecture
            )
        }
    }

    /// In the order of the forward pass.
    private func roles() -> [TensorRole] {
        let parts = layout.rows.map(\.part)
        let leaves = [TensorRole.Leaf.weight, .bias]
        let perLayer = parts.filter { layout.name(of: TensorRole($0), in: .gguf) == nil }
        let outside = parts.filter { !perLayer.contains($0) }
        return outside.flatMap { part in leaves.map { TensorRole(part, $0) } }
            + (0..<layers).flatMap { layer in perLayer.flatMap { part in leaves.map { TensorRole(part, layer: layer, $0) } } }
    }

    private mutating func add(_ record: StoredTensor, _ role: TensorRole) throws(ModelError) {
        guard let name = layout.name(of: role, in: to)?.description else { return }
        var move = TensorMove(record: record, role: role, name: name, format: record.format, way: .bytes)
        if from != to {
            if layout.interleavesQueryKeyRows, role.part == .query || role.part == .key { move.order = try order(record, role) }
            if layout.addsOneToNorms, role.isNorm { move.shift = from == .gguf ? -1 : 1 }
        }
        if record.shape.count > 1 { try chooseForm(&move) }
        moves.append(move)
    }

    private func order(_ record: StoredTensor, _ role: TensorRole) throws(ModelError) -> TensorMove.RowOrder {
        let heads = role.layer.map { role.part == .query ? self.heads[$0] : sharedHeads[$0] } ?? 1
        let rows = record.shape.count == 1 ? record.columns : record.rows
        guard heads > 0, rows % (2 * heads) == 0 else {
            throw ModelError(.mismatched, at: place(record), "\(rows) rows are not \(heads) heads of an even size")
        }
        return from == .gguf ? .toHalves(head: rows / heads) : .toPairs(head: rows / heads)
    }

    // MARK: matrices

    private func chooseForm(_ move: inout TensorMove) throws(ModelError) {
        if let quantization = options.quantization { return try round(&move, quantization) }
        let choice = FormChoice(move.record, source, options)
        switch choice.form() {
        case .found(let format, let way, let loss): (move.format, move.way, move.loss) = (format, way, loss)
        case .refused(let problem, let hint):
            guard let fallback = options.fallback else {
                throw ModelError(.unsupported, at: place(move.record), problem, hint: hint)
            }
            try round(&move, fallback)
        }
    }

    private func round(_ move: inout TensorMove, _ quantization: Quantization) throws(ModelError) {
        let columns = move.record.columns
        let wanted = quantization.format(for: move.role, layers: layers, columns: columns, isTied: isTied)
        // What has the right form already is not rounded again.
        if let wanted, wanted.name == move.record.format.name { return }
        let format: any QuantFormat
        if let wanted {
            format = wanted
        } else if move.record.format.isPlain {
            return  // stays as it is
        } else {
            format = Dense(.f16)
        }
        if let codes = (format as? any PackableFormat).flatMap({ CodeMove(from: move.record.format, to: $0) }),
            codes.isExact(ScaleFacts(move.record, codes.source, source), move.record.columns)
        {
            (move.format, move.way) = (format, .codes(codes))
            return
        }
        (move.format, move.way) = (format, .numbers)
        move.loss = FormChoice.holds(format, all: move.record.format) ? .exact : .requantised(nil)
        move.importance = options.calibration?.weights(of: move.record.name, columns: columns) ?? []
    }

    // MARK: vectors

    private mutating func chooseModelType() {
        for move in moves where !move.isVector {
            guard let number = CodeMove.Form(move.format.packing)?.number else { continue }
            if options.target == .mlx {
                model = number
                return
            }
        }
        if let plain = moves.first(where: { $0.role.part == .tokenEmbedding })?.format as? Dense { model = plain.number }
    }

    /// Norms and biases are F32 in GGUF. In a checkpoint they take the model's own type where that holds their numbers exactly,
    /// as MLX needs one type throughout to compute in it; where not they stay F32.
    private mutating func chooseVectorType(_ index: Int) {
        let move = moves[index]
        if from == to { return }
        let values = move.vector(from: source)
        if move.shift != 0 {
            let given = move.record.decoded(row: 0, from: source)
            let worst = values.indices.reduce(0.0) { worst, place in
                let wanted = Double(given[move.order.source(of: place)]), found = Double(values[place]) - Double(move.shift)
                return Swift.max(worst, wanted == 0 ? 0 : abs(found - wanted) / abs(wanted))
            }
            if worst > 0 { moves[index].loss = .rounded(maximumRelativeError: worst) }
        }
        let fits = values.allSatisfy { HalfPrecision.float(HalfPrecision.nearest($0, as: model), as: model) == $0 }
        moves[index].format = Dense(options.target != .gguf && fits ? model : .f32)
        moves[index].way = .numbers
    }

    /// GGUF does not carry what Gemma's queries are scaled by; its readers take the size of a head. The norm of the queries,
    /// which precedes that scale, can carry the difference.
    private mutating func foldQueryScale() throws(ModelError) {
        guard from == .huggingFace, let stated = try source.metadata.findFloat(.queryPreAttentionScalar, in: 1e-3...1e6),
            let query = moves.first(where: { $0.role.part == .query && $0.role.leaf == .weight }), let heads = heads.first
        else { return }
        let headSize = query.record.rows / Swift.max(heads, 1)
        let implied = layers == 62 ? Double(query.record.columns) / Double(heads) : Double(headSize)
        guard stated != implied else { return }
        guard moves.contains(where: { $0.role.part == .queryNorm }) else {
            throw ModelError(.unsupported, at: source.path, "scales queries by \(stated)^-½, GGUF's readers by \(implied)^-½")
        }
        let factor = Float((implied / stated).squareRoot())
        for index in moves.indices where moves[index].role.part == .queryNorm {
            moves[index].factor = factor
            // A power of two moves the exponent alone.
            if factor.significand != 1 { moves[index].loss = .rounded(maximumRelativeError: 0x1p-24) }
        }
        notes.append("query_pre_attn_scalar \(stated) is carried by the query norms, times \(factor): GGUF has no place for it")
    }

    private mutating func sort() {
        guard options.target != .gguf else { return }
        // Four-byte words first, so that every tensor is aligned to its own type.
        func isWide(_ move: TensorMove) -> Bool { !move.format.isPlain || move.format.name == "F32" }
        moves = moves.filter(isWide) + moves.filter { !isWide($0) }
    }

    private func place(_ record: StoredTensor) -> String { "\(source.path): \(record.name)" }
}

extension TensorRole {
    var isNorm: Bool {
        switch part {
        case .outputNorm, .attentionNorm, .queryNorm, .keyNorm, .attentionPostNorm, .feedForwardNorm, .feedForwardPostNorm: leaf == .weight
        default: false
        }
    }
}
