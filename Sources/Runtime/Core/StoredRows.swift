package import CKernels
package import Weights

extension ck_stored {
    /// What the kernels call a stored format whose rows they pack as a file has them; nil where rows are unpacked first.
    package init?(_ format: any QuantFormat) {
        switch format {
        case is Dense: self = CK_STORED_NUMBERS
        case is Q4_0: self = CK_STORED_Q4_0
        case is Q4_1: self = CK_STORED_Q4_1
        case is Q5_0: self = CK_STORED_Q5_0
        case is Q5_1: self = CK_STORED_Q5_1
        case is Q8_0: self = CK_STORED_Q8_0
        case is Q4_K: self = CK_STORED_Q4_K
        case is Q5_K: self = CK_STORED_Q5_K
        case is Q6_K: self = CK_STORED_Q6_K
        case is Affine: self = CK_STORED_AFFINE
        default: return nil
        }
    }
}

extension ck_stored_rows {
    /// Sixteen rows.
    /// - Parameters:
    ///   - next: a row after which as many bytes follow as sixteen rows have, to be fetched meanwhile.
    ///   - row: the bytes of row 0 ..< 16; where they lie outlives this.
    package init(_ format: any QuantFormat, next: RowBytes?, row: (Int) -> RowBytes) {
        self.init()
        group = Int32(clamping: format.valuesPerBlock)
        self.next = Self.start(next?.codes)
        withUnsafeMutableBytes(of: &codes) { codes in
            withUnsafeMutableBytes(of: &scales) { scales in
                withUnsafeMutableBytes(of: &offsets) { offsets in
                    for index in 0..<Int(CK_PANEL_ROWS) {
                        let bytes = row(index)
                        let place = index * MemoryLayout<UnsafePointer<UInt8>?>.stride
                        codes.storeBytes(of: Self.start(bytes.codes), toByteOffset: place, as: UnsafePointer<UInt8>?.self)
                        scales.storeBytes(of: Self.start(bytes.scales), toByteOffset: place, as: UnsafePointer<UInt8>?.self)
                        offsets.storeBytes(of: Self.start(bytes.offsets), toByteOffset: place, as: UnsafePointer<UInt8>?.self)
                    }
                }
            }
        }
    }

    private static func start(_ bytes: UnsafeRawBufferPointer?) -> UnsafePointer<UInt8>? {
        bytes?.baseAddress?.assumingMemoryBound(to: UInt8.self)
    }
}
