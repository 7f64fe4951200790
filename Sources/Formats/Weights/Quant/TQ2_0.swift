/// 256 two-bit codes that share one half-precision scale: value = scale · (code − 1).
///
///     | 0..64 codes | 64..66 scale f16 |
///
/// Codes: 32 bytes hold 128 values, 32 in each pair of bits, lowest first.
public struct TQ2_0: QuantFormat, Equatable {
    public init() {}
    public var name: String { "TQ2_0" }
    public var ggufType: UInt32? { 35 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [66] }
    public var packing: Packing {
        .codes(bits: 2, group: 256, scale: .flat(.f16), offset: false, zero: 1)
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 256 {
            let scale = unsafe row.codes.f16(block * 66 + 64)
            for j in 0..<256 { unsafe values[block * 256 + j] = scale * (Float(code(row.codes, block * 66, j)) - 1) }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 256 {
            unsafe parts.scales[block] = UInt32(row.codes.u16(block * 66 + 64))
            for j in 0..<256 { unsafe parts.codes[block * 256 + j] = code(row.codes, block * 66, j) }
        }
    }

    @inline(__always)
    private func code(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ j: Int) -> UInt8 {
        unsafe bytes.byte(at + (j >> 7) * 32 + (j & 31)) >> (UInt8(j >> 5 & 3) * 2) & 3
    }
}
