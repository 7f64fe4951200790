package import CKernels
package import Weights

/// A model before it is loaded: every tensor found, its shape checked, its place in memory laid out.
struct ModelPlan {
    let architecture: Architecture
    let hyperparameters: Hyperparameters
    let tensors: [TensorPlan]
    /// From the file, where it writes them out.
    let ropeDivisors: [Float]?
    /// All tensors in executed form.
    let bytes: Int

    func has(_ part: TensorRole.Part) -> Bool { tensors.contains { $0.role.part == part && $0.role.leaf == .weight } }
}

/// One tensor: what the file has, and what it will be in memory.
struct TensorPlan {
    enum Form {
        case panels(ck_form, panelBytes: Int)
        /// [rows, columns] floats, row by row: vectors, and everything in precise mode.
        case floats
    }

    let role: TensorRole
    let record: StoredTensor
    let rows: Int  // of the matrix; 1 for a vector
    let columns: Int
    /// Nil, or the size of heads whose rows (or values) the file keeps as interleaved pairs.
    let interleavedHead: Int?
    let addsOne: Bool
    let form: Form
    let offset: Int  // within all packed weights
    let bytes: Int

    /// Which stored row becomes executed row `row`: the halves of a head's rotation lie apart here, side by side in the file.
    func storedRow(_ row: Int) -> Int {
        guard let size = interleavedHead else { return row }
        let inHead = row % size
        return row - inHead + 2 * (inHead % (size / 2)) + inHead / (size / 2)
    }
}

/// Finds an architecture's tensors in a source and checks each shape, once.
enum Binder {
    /// - Parameter kernels: who reads scales, for forms that need fewer of them; without it every format has its own.
    static func plan(_ source: any ModelSource, precise: Bool, _ kernels: Kernels? = nil) throws(ModelError) -> ModelPlan {
        let architecture = try Architecture.named(in: source.metadata)
        var binding = Binding(source, architecture.layout.fitted(to: source), precise: precise, kernels)
        let embedding = try binding.record(TensorRole(.tokenEmbedding))
        let sizes = try Hyperparameters(source.metadata, architecture, vocabularySize: embedding.rows)

        try binding.matrix(.tokenEmbedding, rows: sizes.vocabularySize, columns: sizes.hidden)
        try binding.vector(TensorRole(.outputNorm), sizes.hidden)
        if binding.has(TensorRole(.output)) { try binding.matrix(.output, rows: sizes.vocabularySize, columns: sizes.hidden) }
        for layer in 0..<sizes.layers { try bind(layer, architecture, sizes, &binding) }
        try binding.refuseStrangers(layers: sizes.layers)

        var divisors: [Float]?
        if source.metadata.dialect == .gguf, binding.has(TensorRole(.ropeFrequencyDivisors)) {
            divisors = try binding.floats(TensorRole(.ropeFrequencyDivisors), sizes.rotated / 2)
        }
        return ModelPlan(
            architecture: architecture, hyperparameters: sizes, tensors: binding.tensors, ropeDivisors: divisors, bytes: binding.bytes)
    }

    private static func bind(
        _ layer: Int, _ architecture: Architecture, _ sizes: Hyperparameters, _ binding: inout Binding
    ) throws(ModelError) {
        let queries = sizes.heads * sizes.keySize
        let keys = sizes.keyValueHeads * sizes.keySize
        let interleaved = source(binding, interleaves: architecture) ? sizes.keySize : nil
        try binding.vector(TensorRole(.attentionNorm, layer: layer), sizes.hidden)
        try binding.matrix(.query, layer, rows: queries, columns: sizes.hidden, interleavedHead: interleaved)
        try binding.matrix(.key, layer, rows: keys, columns: sizes.hidden, interleavedHead: interleaved)
        try binding.matrix(.value, layer, rows: sizes.keyValueHeads * sizes.valueSize, columns: sizes.hidden)
        try binding.matrix(.attentionOutput, layer, rows: sizes.hidden, columns: sizes.heads * sizes.valueSize)
        if architecture.queryKeyNorm == .perHead {
            try binding.vector(TensorRole(.queryNorm, layer: layer), sizes.keySize)
            try binding.vector(TensorRole(.keyNorm, layer: layer), sizes.keySize)
        }
        try binding.vector(TensorRole(.feedForwardNorm, layer: layer), sizes.hidden)
        if architecture.norms == .around {
            try binding.vector(TensorRole(.attentionPostNorm, layer: layer), sizes.hidden)
            try binding.vector(TensorRole(.feedForwardPostNorm, layer: layer), sizes.hidden)
        }
        try binding.matrix(.gate, layer, rows: sizes.feedForward, columns: sizes.hidden)
        try binding.matrix(.up, layer, rows: sizes.feedForward, columns: sizes.hidden)
        try binding.matrix(.down, layer, rows: sizes.hidden, columns: sizes.feedForward)
    }

    private static func source(_ binding: Binding, interleaves architecture: Architecture) -> Bool {
        architecture.layout.interleavesQueryKeyRows && binding.source.metadata.dialect == .gguf
    }
}

/// A source while its tensors are being found.
private struct Binding {
    let source: any ModelSource
    let layout: CheckpointLayout
    let precise: Bool
    let kernels: Kernels?
    var tensors: [TensorPlan] = []
    var bytes = 0
    private var used: Set<TensorName> = []

    init(_ source: any ModelSource, _ layout: CheckpointLayout, precise: Bool, _ kernels: Kernels?) {
        self.source = source
        self.layout = layout
        self.precise = precise
        self.kernels = kernels
    }

    private var dialect: Metadata.Dialect { source.metadata.dialect }

    private func find(_ role: TensorRole) -> StoredTensor? { layout.name(of: role, in: dialect).flatMap { source.records[$0] } }
    func has(_ role: TensorRole) -> Bool { find(role) != nil }

    func record(_ role: TensorRole) throws(ModelError) -> StoredTensor {
        if let record = find(role) { return record }
        let name = layout.name(of: role, in: dialect)?.description ?? role.description
        throw ModelError(.missing, at: source.path, "has no tensor \(name)", hint: "the \(role)")
    }

    mutating func matrix(
        _ part: TensorRole.Part, _ layer: Int? = nil, rows: Int, columns: Int, interleavedHead: Int? = nil
    ) throws(ModelError) {
        let role = TensorRole(part, layer: layer)
        let record = try record(role)
        try check(record, [rows, columns])
        try take(role, record, rows: rows, columns: columns, interleavedHead: interleavedHead, form: form(of: record))
        // A bias is there where the file has one.
        let bias = TensorRole(part, layer: layer, .bias)
        if layer != nil, has(bias) { try vector(bias, rows, interleavedHead: interleavedHead) }
    }

    mutating func vector(_ role: TensorRole, _ width: Int, interleavedHead: Int? = nil) throws(ModelError) {
        let record = try record(role)
        try check(record, [width])
        try take(role, record, rows: 1, columns: width, interleavedHead: interleavedHead, form: .floats)
    }

    /// A small vector that is read at once.
    mutating func floats(_ role: TensorRole, _ width: Int) throws(ModelError) -> [Float] {
        let record = try record(role)
        try check(record, [width])
        used.insert(record.name)
        let values = [Float](unsafeUninitializedCapacity: width) { buffer, count in
            record.format.decode(source.bytes(of: record, row: 0), into: UnsafeMutableBufferPointer(rebasing: buffer[..<width]))
            count = width
        }
        guard values.allSatisfy({ $0.isFinite && $0 > 0 }) else {
            throw ModelError(.outOfRange, at: place(record), "a divisor is not a positive number")
        }
        return values
    }

    private func check(_ record: StoredTensor, _ shape: [Int]) throws(ModelError) {
        guard record.shape == shape else {
            func spelled(_ shape: [Int]) -> String { shape.map(String.init).joined(separator: " × ") }
            throw ModelError(
                .mismatched, at: place(record), "shape is \(spelled(record.shape)), this model needs \(spelled(shape))",
                hint: "rows × columns")
        }
    }

    private func place(_ record: StoredTensor) -> String { "\(source.path): \(record.name)" }

    private func form(of record: StoredTensor) throws(ModelError) -> TensorPlan.Form {
        if precise { return .floats }
        guard var form = ck_form(record.format.packing), ck_panel_bytes(&form, Int64(record.columns)) > 0 else {
            throw ModelError(.unsupported, at: place(record), "no kernel runs \(record.format.name) in rows of \(record.columns)")
        }
        if let kernels { form = ScaleSurvey.form(form, of: record, in: source, kernels) }
        return .panels(form, panelBytes: Int(clamping: ck_panel_bytes(&form, Int64(record.columns))))
    }

    private mutating func take(
        _ role: TensorRole, _ record: StoredTensor, rows: Int, columns: Int, interleavedHead: Int?, form: TensorPlan.Form
    ) throws(ModelError) {
        let (unit, count) =
            switch form {
            case .panels(_, let panelBytes): (panelBytes, (rows + Int(CK_PANEL_ROWS) - 1) / Int(CK_PANEL_ROWS))
            case .floats: (4 * columns, rows)
            }
        let (size, overflow) = unit.multipliedReportingOverflow(by: count)
        let (end, tooFar) = bytes.addingReportingOverflow(size)
        guard !overflow, !tooFar, end < Int.max - 64 else { throw ModelError(.outOfRange, at: place(record), "is too large") }
        tensors.append(
            TensorPlan(
                role: role, record: record, rows: rows, columns: columns, interleavedHead: interleavedHead,
                addsOne: layout.addsOneToNorms && dialect == .huggingFace && role.isNorm, form: form, offset: bytes, bytes: size))
        bytes = (end + 63) / 64 * 64
        used.insert(record.name)
    }

    /// A tensor inside the blocks that nothing here uses would silently change what the model says.
    func refuseStrangers(layers: Int) throws(ModelError) {
        guard let name = layout.name(of: TensorRole(.attentionNorm, layer: 0), in: dialect)?.bytes,
            let digit = name.firstIndex(of: UInt8(ascii: "0"))
        else { return }
        let block = name[..<digit]
        for record in source.records.values where record.name.bytes.starts(with: block) && !used.contains(record.name) {
            // Old checkpoints carry the rotation's frequencies, which follow from the configuration.
            if record.name.description.hasSuffix("rotary_emb.inv_freq") { continue }
            throw ModelError(
                .unsupported, at: place(record), "is a tensor that this architecture has no place for",
                hint: "\(source.metadata.architecture) with \(layers) layers")
        }
    }
}

extension TensorRole {
    fileprivate var isNorm: Bool {
        switch part {
        case .outputNorm, .attentionNorm, .queryNorm, .keyNorm, .attentionPostNorm, .feedForwardNorm, .feedForwardPostNorm: true
        default: false
        }
    }
}

extension ck_form {
    /// Nil for a packing whose numbers do not fit.
    package init?(_ packing: Packing) {
        self.init()
        switch packing {
        case .dense(let number):
            switch number {
            case .f32: values = UInt8(CK_F32.rawValue)
            case .f16: values = UInt8(CK_F16.rawValue)
            case .bf16: values = UInt8(CK_BF16.rawValue)
            }
        case .codes(let bits, let group, let scale, let offset, let zero, let codebook, let factor):
            guard let bits = UInt8(exactly: bits), let group = UInt16(exactly: group), let zero = UInt8(exactly: zero),
                codebook.count <= 16, factor.isFinite, factor != 0
            else { return nil }
            values = UInt8(CK_CODES.rawValue)
            code_bits = bits
            self.group = group
            self.zero = zero
            self.factor = factor
            has_offset = offset
            has_codebook = !codebook.isEmpty
            scales =
                switch scale {
                case .flat(.f16): UInt8(CK_SCALE_F16.rawValue)
                case .flat(.bf16): UInt8(CK_SCALE_BF16.rawValue)
                case .flat(.f32): UInt8(CK_SCALE_F32.rawValue)
                case .twoLevel: UInt8(CK_SCALE_TWO_LEVEL.rawValue)
                case .e8m0: UInt8(CK_SCALE_E8M0.rawValue)
                case .e4m3: UInt8(CK_SCALE_E4M3.rawValue)
                }
            withUnsafeMutableBytes(of: &self.codebook) { $0.copyBytes(from: codebook) }
        }
    }
}
