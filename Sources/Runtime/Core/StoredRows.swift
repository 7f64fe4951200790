package import CKernels
package import Weights

extension ck_stored {
    /// What the kernels call a stored format whose rows they pack as a file has them; nil where rows are unpacked first.
    package init?(_ format: any QuantFormat) {
        switch format {
        case is Dense: self = CK_STORED_NUMBERS
        case is Q4_0, is IQ4_NL: self = CK_STORED_Q4_0
        case is Q4_1: self = CK_STORED_Q4_1
        case is Q5_0: self = CK_STORED_Q5_0
        case is Q5_1: self = CK_STORED_Q5_1
        case is Q8_0: self = CK_STORED_Q8_0
        case is MXFP4: self = CK_STORED_MXFP4
        case is Q2_K: self = CK_STORED_Q2_K
        case is Q3_K: self = CK_STORED_Q3_K
        case is Q4_K: self = CK_STORED_Q4_K
        case is Q5_K: self = CK_STORED_Q5_K
        case is Q6_K: self = CK_STORED_Q6_K
        case is IQ4_XS: self = CK_STORED_IQ4_XS
        case is Affine: self = CK_STORED_AFFINE
        case let floats as MLXFloat4 where floats.mode == .mxfp4: self = CK_STORED_AFFINE
        default: return nil
        }
    }
}

/// Where the rows of a tensor lie whose rows are apart: one after the other, in up to three planes.
package struct StoredRows {
    /// A row begins every `stride` bytes.
    package struct Plane {
        let start: UnsafeRawPointer?
        let stride: Int

        package init(start: UnsafeRawPointer?, stride: Int) {
            self.start = start
            self.stride = stride
        }

        func row(_ index: Int) -> UnsafePointer<UInt8>? { start.map { ($0 + index * stride).assumingMemoryBound(to: UInt8.self) } }
    }

    let codes: Plane, scales: Plane, offsets: Plane
    private let group: Int32

    package init(_ format: any QuantFormat, codes: Plane, scales: Plane, offsets: Plane) {
        self.codes = codes
        self.scales = scales
        self.offsets = offsets
        group = Int32(clamping: format.valuesPerBlock)
    }

    /// Valid while the source is.
    init(_ record: StoredTensor, in source: any ModelSource) {
        precondition(!record.format.sharesBytes)
        let first = source.bytes(of: record, row: 0)
        _ = source.bytes(of: record, row: record.rows - 1)  // all rows lie within the file
        func plane(_ bytes: UnsafeRawBufferPointer) -> Plane { Plane(start: bytes.baseAddress, stride: bytes.count) }
        self.init(record.format, codes: plane(first.codes), scales: plane(first.scales), offsets: plane(first.offsets))
    }

    /// Sixteen rows.
    /// - Parameters:
    ///   - next: the first of sixteen that are fetched meanwhile, if there are so many.
    ///   - row: which one each of 0 ..< 16 is.
    package func panel(next: Int?, row: (Int) -> Int) -> ck_stored_rows {
        var rows = ck_stored_rows()
        rows.group = group
        rows.next = next.flatMap { codes.row($0) }
        withUnsafeMutableBytes(of: &rows.codes) { fill($0, codes, row) }
        withUnsafeMutableBytes(of: &rows.scales) { fill($0, scales, row) }
        withUnsafeMutableBytes(of: &rows.offsets) { fill($0, offsets, row) }
        return rows
    }

    /// An array of sixteen pointers, which C has as a tuple here.
    private func fill(_ places: UnsafeMutableRawBufferPointer, _ plane: Plane, _ row: (Int) -> Int) {
        guard plane.start != nil else { return }
        let places = places.bindMemory(to: UnsafePointer<UInt8>?.self)
        for index in places.indices { places[index] = plane.row(row(index)) }
    }
}
