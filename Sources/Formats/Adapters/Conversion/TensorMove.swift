internal import Weights

/// One tensor's way from a GGUF file into an MLX checkpoint: its form there, and the order of its rows.
struct TensorMove {
    enum Form: Equatable {
        /// Codes as they are; the bias of a group is its offset, or −zero · scale.
        case affine(Affine, zero: Int, hasOffset: Bool)
        case dense(Packing.Number)
    }

    let record: StoredTensor
    let role: TensorRole
    /// Module path: `model.layers.0.self_attn.q_proj`.
    let path: String
    var form: Form
    /// Rows of one head where the source keeps them as interleaved pairs.
    let interleavedHead: Int?
    /// The source stores a norm's weight with the 1 that the target's readers add.
    let subtractsOne: Bool
    var loss = ConversionReport.Loss.exact

    var name: String { "\(path).\(role.leaf.rawValue)" }

    /// What the target's file says about it, in the order in which `write` writes.
    var entries: [SafetensorsWriter.Entry] {
        switch form {
        case .dense(let number):
            return [.init(name: name, type: .init(number), shape: record.shape)]
        case .affine(let affine, _, _):
            let outer = Array(record.shape.dropLast())
            let scales = outer + [record.columns / affine.group]
            return [
                .init(name: name, type: .u32, shape: outer + [record.columns / 32 * affine.bits]),
                .init(name: path + ".scales", type: .init(affine.scale), shape: scales),
                .init(name: path + ".biases", type: .init(affine.scale), shape: scales),
            ]
        }
    }

    var byteCount: Int { entries.reduce(0) { $0 + $1.byteCount } }

    var formatName: String {
        switch form {
        case .affine(let affine, _, _): affine.name
        case .dense(let number): Dense(number).name
        }
    }

    /// The source's row that becomes row `row`: there pairs that rotate together lie side by side, here in the two halves of a head.
    private func storedRow(_ row: Int) -> Int {
        guard let size = interleavedHead else { return row }
        let inHead = row % size
        return row - inHead + 2 * (inHead % (size / 2)) + inHead / (size / 2)
    }

    func write(from source: any ModelSource, to writer: SafetensorsWriter) throws(ModelError) {
        switch form {
        case .affine(let affine, let zero, let hasOffset):
            try writeCodes(affine, zero, hasOffset, source, writer)
        case .dense(let number):
            if record.shape.count == 1 {
                try writer.append(Self.encoded(vector(from: source), as: number))
            } else {
                for row in 0..<record.rows { try unsafe writer.append(source.bytes(of: record, row: storedRow(row)).codes) }
            }
        }
    }

    /// A vector's values as the target has them.
    func vector(from source: any ModelSource) -> [Float] {
        let stored = record.decoded(row: 0, from: source)
        return stored.indices.map { stored[storedRow($0)] - (subtractsOne ? 1 : 0) }
    }

    static func encoded(_ values: [Float], as number: Packing.Number) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(values.count * number.byteCount)
        for value in values { append(bits(of: value, as: number), number, to: &bytes) }
        return bytes
    }

    private func writeCodes(
        _ affine: Affine, _ zero: Int, _ hasOffset: Bool, _ source: any ModelSource, _ writer: SafetensorsWriter
    ) throws(ModelError) {
        let groups = record.columns / affine.group
        var codes = [UInt8](repeating: 0, count: record.columns)
        var scales = [UInt32](repeating: 0, count: groups)
        var offsets = scales
        var scaleBytes: [UInt8] = []
        var biasBytes: [UInt8] = []
        scaleBytes.reserveCapacity(record.rows * groups * affine.scale.byteCount)
        biasBytes.reserveCapacity(record.rows * groups * affine.scale.byteCount)
        for row in 0..<record.rows {
            unsafe record.format.unpack(from: source.bytes(of: record, row: storedRow(row)), &codes, &scales, &offsets)
            try writer.append(Self.stream(codes, bits: affine.bits))
            for group in 0..<groups {
                let bias = hasOffset ? offsets[group] : try bias(scales[group], zero, affine.scale)
                Self.append(scales[group], affine.scale, to: &scaleBytes)
                Self.append(bias, affine.scale, to: &biasBytes)
            }
        }
        try writer.append(scaleBytes)
        try writer.append(biasBytes)
    }

    /// −zero · scale, which is a number of the same type as long as it does not overflow: zero is a power of two.
    private func bias(_ scale: UInt32, _ zero: Int, _ number: Packing.Number) throws(ModelError) -> UInt32 {
        let exact = -Float(zero) * HalfPrecision.float(scale, as: number)
        let bits = Self.bits(of: exact, as: number)
        guard exact.isFinite, HalfPrecision.float(bits, as: number) == exact else {
            throw ModelError(
                .outOfRange, at: record.name.description,
                "a scale is \(HalfPrecision.float(scale, as: number)): \(zero) times that is no \(number.rawValue)",
                hint: "the largest is 65504")
        }
        return bits
    }

    /// The codes as one little-endian bit stream.
    private static func stream(_ codes: [UInt8], bits: Int) -> [UInt8] {
        if bits == 8 { return codes }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(codes.count * bits / 8)
        var pending: UInt32 = 0
        var count = 0
        for code in codes {
            pending |= UInt32(code) << UInt32(count)
            count += bits
            while count >= 8 {
                bytes.append(UInt8(truncatingIfNeeded: pending))
                pending >>= 8
                count -= 8
            }
        }
        return bytes
    }

    /// Nearest, ties to even.
    static func bits(of value: Float, as number: Packing.Number) -> UInt32 {
        switch number {
        case .f32: return value.bitPattern
        case .f16: return UInt32(Float16(value).bitPattern)
        case .bf16:
            if value.isNaN { return value.bitPattern >> 16 | 0x40 }
            return (value.bitPattern + 0x7FFF + (value.bitPattern >> 16 & 1)) >> 16
        }
    }

    private static func append(_ bits: UInt32, _ number: Packing.Number, to bytes: inout [UInt8]) {
        bytes.append(UInt8(truncatingIfNeeded: bits))
        bytes.append(UInt8(truncatingIfNeeded: bits >> 8))
        guard number == .f32 else { return }
        bytes.append(UInt8(truncatingIfNeeded: bits >> 16))
        bytes.append(UInt8(truncatingIfNeeded: bits >> 24))
    }
}

extension StoredTensor {
    /// One row as numbers.
    func decoded(row: Int, from source: any ModelSource) -> [Float] {
        unsafe [Float](unsafeUninitializedCapacity: columns) { buffer, count in
            unsafe format.decode(source.bytes(of: self, row: row), into: UnsafeMutableBufferPointer(rebasing: buffer[..<columns]))
            count = columns
        }
    }
}

extension QuantFormat {
    /// `unpack` of a format with flat scales into arrays.
    fileprivate func unpack(from row: RowBytes, _ codes: inout [UInt8], _ scales: inout [UInt32], _ offsets: inout [UInt32]) {
        unsafe codes.withUnsafeMutableBufferPointer { codes in
            unsafe scales.withUnsafeMutableBufferPointer { scales in
                unsafe offsets.withUnsafeMutableBufferPointer { offsets in
                    let none = unsafe UnsafeMutableBufferPointer<UInt16>(start: nil, count: 0)
                    unsafe unpack(
                        row, into: UnpackedRow(codes: codes, scales: scales, offsets: offsets, superScales: none, superOffsets: none))
                }
            }
        }
    }
}
