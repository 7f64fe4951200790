internal import CKernels
internal import Weights

/// The weights of a model in executed form: one block of memory and views into it. Immutable once packed.
final class PackedWeights {
    private let memory: AlignedMemory
    private let matrices: UnsafeMutablePointer<ck_matrix>  // one per tensor, used where its form is panels
    private let tensors: [TensorPlan]
    private let places: [TensorRole: Int]

    init(_ plan: ModelPlan) throws(ModelError) {
        memory = try AlignedMemory(bytes: plan.bytes, purpose: "weights")
        tensors = plan.tensors
        places = Dictionary(uniqueKeysWithValues: zip(plan.tensors.map(\.role), plan.tensors.indices))
        matrices = .allocate(capacity: plan.tensors.count)
        for (index, tensor) in plan.tensors.enumerated() {
            var matrix = ck_matrix()
            if case .panels(let form, let panelBytes) = tensor.form {
                matrix = ck_matrix(
                    form: form, rows: Int64(tensor.rows), columns: Int64(tensor.columns), panel_bytes: panelBytes,
                    panels: UnsafeRawPointer(memory.base + tensor.offset))
            }
            (matrices + index).initialize(to: matrix)
        }
    }

    deinit { matrices.deallocate() }

    /// The binder has seen to it that what a model needs is there.
    func matrix(_ part: TensorRole.Part, _ layer: Int? = nil) -> PackedMatrix {
        guard let index = places[TensorRole(part, layer: layer)] else { preconditionFailure("\(part) was not planned") }
        let tensor = tensors[index]
        let bias = find(TensorRole(part, layer: layer, .bias))
        return switch tensor.form {
        case .panels: PackedMatrix(form: .panels(matrices + index), rows: tensor.rows, columns: tensor.columns, bias: bias)
        case .floats: PackedMatrix(form: .exact(floats(tensor)), rows: tensor.rows, columns: tensor.columns, bias: bias)
        }
    }

    func vector(_ part: TensorRole.Part, _ layer: Int? = nil) -> UnsafePointer<Float> {
        guard let vector = find(part, layer) else { preconditionFailure("\(part) was not planned") }
        return vector
    }

    func find(_ part: TensorRole.Part, _ layer: Int?) -> UnsafePointer<Float>? { find(TensorRole(part, layer: layer)) }

    /// Where the tensors lie that are executed as plain floats.
    var exactTensors: [(name: TensorName, weights: UnsafePointer<Float>)] {
        tensors.compactMap { tensor in
            if case .floats = tensor.form { (tensor.record.name, UnsafePointer(floats(tensor))) } else { nil }
        }
    }

    private func find(_ role: TensorRole) -> UnsafePointer<Float>? { places[role].map { UnsafePointer(floats(tensors[$0])) } }

    fileprivate func floats(_ tensor: TensorPlan) -> UnsafeMutablePointer<Float> {
        (memory.base + tensor.offset).assumingMemoryBound(to: Float.self)
    }

    fileprivate func panel(_ index: Int, of tensor: TensorPlan, bytes: Int) -> UnsafeMutableRawPointer {
        memory.base + tensor.offset + index * bytes
    }
}

/// Stored tensors → executed form, in parallel over panels; rows of interleaved heads change places on the way.
enum Packer {
    /// Stored bytes between two reports and releases: what file and packed form may both occupy for a moment.
    private static let sliceBytes = 8 << 20
    private static let panelRows = Int(CK_PANEL_ROWS)

    static func pack(
        _ plan: ModelPlan, of source: any ModelSource, _ kernels: Kernels, progress: ((Double) throws(ModelError) -> Void)?
    ) throws(ModelError) -> PackedWeights {
        let weights = try PackedWeights(plan)
        let tensors = plan.tensors.sorted { $0.firstByte < $1.firstByte }  // as the file has them: a disk reads ahead
        let total = max(1, plan.tensors.reduce(0) { $0 + $1.record.byteCount })
        var done = 0
        for tensor in tensors {
            let panels = (tensor.rows + panelRows - 1) / panelRows
            let rowBytes = tensor.record.byteCount / max(tensor.record.rows, 1)
            // Rows that change places do so within their head, rows that share bytes need all of them: one slice.
            let isWhole = tensor.interleavedHead != nil || tensor.record.format.sharesBytes
            let slice = isWhole ? panels : max(1, sliceBytes / max(1, rowBytes * panelRows))
            for first in stride(from: 0, to: panels, by: slice) {
                let part = first..<min(panels, first + slice)
                kernels.run { member, members in
                    let share = part.part(member, of: members)
                    if share.isEmpty { return }
                    pack(panels: share, of: tensor, source, into: weights)
                    source.release(rows(of: share, in: tensor), of: tensor.record)
                }
                done += rows(of: part, in: tensor).count * rowBytes
                try progress?(min(1, Double(done) / Double(total)))
            }
            // What the kernel mapped around the slices.
            source.release(0..<tensor.record.rows, of: tensor.record)
        }
        try progress?(1)
        return weights
    }

    private static func rows(of panels: Range<Int>, in tensor: TensorPlan) -> Range<Int> {
        panels.lowerBound * panelRows..<min(tensor.rows, panels.upperBound * panelRows)
    }

    private static func pack(panels: Range<Int>, of tensor: TensorPlan, _ source: any ModelSource, into weights: PackedWeights) {
        switch tensor.form {
        case .floats:
            for row in rows(of: panels, in: tensor) {
                decode(row, of: tensor, source, into: weights.floats(tensor) + row * tensor.columns)
            }
        case .panels(let form, let panelBytes):
            let format = tensor.record.format
            let stored = ck_stored(format).map { (kind: $0, rows: StoredRows(tensor.record, in: source)) }
            var stage: RowStage?
            for panel in panels {
                let first = panel * panelRows
                let count = min(panelRows, tensor.rows - first)
                let target = weights.panel(panel, of: tensor, bytes: panelBytes)
                if let stored, count == panelRows {
                    let isLast = panel + 1 == panels.upperBound || first + 2 * panelRows > tensor.rows
                    let rows = stored.rows.panel(next: isLast ? nil : first + panelRows) { tensor.storedRow(first + $0) }
                    withUnsafePointer(to: form) { form in
                        withUnsafePointer(to: rows) { ck_pack_stored(stored.kind, form, Int64(tensor.columns), $0, target) }
                    }
                } else {
                    let rows = stage ?? RowStage(format, form, columns: tensor.columns)
                    stage = rows
                    for index in 0..<count {
                        rows.fill(index, from: source.bytes(of: tensor.record, row: tensor.storedRow(first + index)))
                    }
                    rows.pack(rows: count, into: target)
                }
            }
        }
    }

    /// One row, or one vector, as exact floats.
    private static func decode(_ row: Int, of tensor: TensorPlan, _ source: any ModelSource, into values: UnsafeMutablePointer<Float>) {
        let format = tensor.record.format
        let isVector = tensor.record.shape.count == 1
        let row = isVector ? 0 : tensor.storedRow(row)
        format.decode(source.bytes(of: tensor.record, row: row), into: UnsafeMutableBufferPointer(start: values, count: tensor.columns))
        if tensor.addsOne { for index in 0..<tensor.columns { values[index] += 1 } }
        if isVector, tensor.interleavedHead != nil {  // a bias moves with its matrix's rows
            let stored = Array(UnsafeBufferPointer(start: values, count: tensor.columns))
            for index in 0..<tensor.columns { values[index] = stored[tensor.storedRow(index)] }
        }
    }
}

extension TensorPlan {
    /// Where it begins among all files of a source.
    fileprivate var firstByte: (file: Int, offset: Int) {
        record.planes.first.map { ($0.file, $0.range.lowerBound) } ?? (0, 0)
    }
}
