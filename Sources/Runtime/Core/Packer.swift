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

    static func pack(
        _ plan: ModelPlan, of source: any ModelSource, threads: Int, progress: ((Double) -> Void)?
    ) throws(ModelError) -> PackedWeights {
        let weights = try PackedWeights(plan)
        let team = Team(threads: threads)
        let total = max(1, plan.tensors.reduce(0) { $0 + $1.record.byteCount })
        var done = 0
        for tensor in plan.tensors {
            let panelRows = Int(CK_PANEL_ROWS)
            let panels = (tensor.rows + panelRows - 1) / panelRows
            let rowBytes = tensor.record.byteCount / max(tensor.record.rows, 1)
            // Rows that change places do so within their head: such a tensor is one slice.
            let slice = tensor.interleavedHead == nil ? max(1, sliceBytes / max(1, rowBytes * panelRows)) : panels
            for first in stride(from: 0, to: panels, by: slice) {
                let last = min(panels, first + slice)
                team.kernels.run { member, members in
                    let count = last - first
                    let share = first + count * member / members..<first + count * (member + 1) / members
                    if !share.isEmpty { pack(panels: share, of: tensor, source, into: weights) }
                }
                let rows = first * panelRows..<min(tensor.rows, last * panelRows)
                release(rows, of: tensor.record, in: source)
                done += rows.count * rowBytes
                progress?(min(1, Double(done) / Double(total)))
            }
        }
        progress?(1)
        return weights
    }

    private static func pack(panels: Range<Int>, of tensor: TensorPlan, _ source: any ModelSource, into weights: PackedWeights) {
        let panelRows = Int(CK_PANEL_ROWS)
        switch tensor.form {
        case .floats:
            for row in panels.lowerBound * panelRows..<min(tensor.rows, panels.upperBound * panelRows) {
                decode(row, of: tensor, source, into: weights.floats(tensor) + row * tensor.columns)
            }
        case .panels(let form, let panelBytes):
            let stage = RowStage(form, columns: tensor.columns)
            for panel in panels {
                let first = panel * panelRows
                let count = min(panelRows, tensor.rows - first)
                for row in 0..<count {
                    stage.fill(row, from: source.bytes(of: tensor.record, row: tensor.storedRow(first + row)), tensor.record.format)
                }
                stage.pack(rows: count, into: weights.panel(panel, of: tensor, bytes: panelBytes))
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

    private static func release(_ rows: Range<Int>, of record: StoredTensor, in source: any ModelSource) {
        guard record.rows > 0 else { return }
        for plane in record.planes where source.storages.indices.contains(plane.file) {
            let length = plane.range.count / record.rows
            let start = plane.range.lowerBound + rows.lowerBound * length
            source.storages[plane.file].release(start..<start + rows.count * length)
        }
    }
}

/// Sixteen unpacked rows on their way into a panel.
private final class RowStage {
    private let form: ck_form
    private let columns: Int
    private let codes: UnsafeMutableBufferPointer<UInt8>  // [16, columns] codes, or the bytes of dense values
    private let scales: UnsafeMutableBufferPointer<UInt32>  // [16, columns / group]
    private let offsets: UnsafeMutableBufferPointer<UInt32>
    private let superScales: UnsafeMutableBufferPointer<UInt16>  // [16, columns / 256]
    private let superOffsets: UnsafeMutableBufferPointer<UInt16>
    private static let rows = Int(CK_PANEL_ROWS)

    init(_ form: ck_form, columns: Int) {
        self.form = form
        self.columns = columns
        let isCodes = form.values == CK_CODES.rawValue
        let isTwoLevel = isCodes && form.scales == CK_SCALE_TWO_LEVEL.rawValue
        let groups = isCodes ? columns / max(1, Int(form.group)) : 0
        let supers = isTwoLevel ? columns / 256 : 0
        let valueBytes = isCodes ? 1 : form.values == CK_F32.rawValue ? 4 : 2
        // Aligned for floats whatever they hold: dense values are read as numbers.
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.rows * columns * valueBytes, alignment: 64)
        codes = bytes.bindMemory(to: UInt8.self)
        scales = .allocate(capacity: Self.rows * groups)
        offsets = .allocate(capacity: form.has_offset ? Self.rows * groups : 0)
        superScales = .allocate(capacity: Self.rows * supers)
        superOffsets = .allocate(capacity: form.has_offset ? Self.rows * supers : 0)
    }

    deinit {
        codes.deallocate()
        scales.deallocate()
        offsets.deallocate()
        superScales.deallocate()
        superOffsets.deallocate()
    }

    func fill(_ row: Int, from bytes: RowBytes, _ format: any QuantFormat) {
        if form.values == CK_CODES.rawValue {
            format.unpack(
                bytes,
                into: UnpackedRow(
                    codes: part(codes, row), scales: part(scales, row), offsets: part(offsets, row),
                    superScales: part(superScales, row), superOffsets: part(superOffsets, row)))
        } else {
            format.unpack(bytes, into: UnsafeMutableRawBufferPointer(part(codes, row)))
        }
    }

    func pack(rows: Int, into panel: UnsafeMutableRawPointer) {
        let isCodes = form.values == CK_CODES.rawValue
        var source = ck_rows()
        source.codes = isCodes ? UnsafePointer(codes.baseAddress) : nil
        source.scales = scales.isEmpty ? nil : UnsafePointer(scales.baseAddress)
        source.offsets = offsets.isEmpty ? nil : UnsafePointer(offsets.baseAddress)
        source.super_scales = superScales.isEmpty ? nil : UnsafePointer(superScales.baseAddress)
        source.super_offsets = superOffsets.isEmpty ? nil : UnsafePointer(superOffsets.baseAddress)
        source.values = isCodes ? nil : UnsafeRawPointer(codes.baseAddress)
        withUnsafePointer(to: form) { form in
            withUnsafePointer(to: source) { ck_pack_panel(form, Int64(columns), Int32(rows), $0, panel) }
        }
    }

    private func part<Element>(_ buffer: UnsafeMutableBufferPointer<Element>, _ row: Int) -> UnsafeMutableBufferPointer<Element> {
        let width = buffer.count / Self.rows
        return UnsafeMutableBufferPointer(rebasing: buffer[row * width..<(row + 1) * width])
    }
}
