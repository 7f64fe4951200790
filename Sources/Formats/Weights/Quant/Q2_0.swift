/// 64 two-bit codes that share one half-precision scale: value = scale · (code − 1).
///
///     | 0..2 scale f16 | 2..18 codes, value j at bit 2 j |
public struct Q2_0: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q2_0" }
    public var ggufType: UInt32? { 42 }
    public var valuesPerBlock: Int { 64 }
    public var bytesPerBlock: [Int] { [18] }
    public var packing: Packing {
        .codes(bits: 2, group: 64, scale: .flat(.f16), offset: false, zero: 1)
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 64 {
            let scale = unsafe row.codes.f16(block * 18)
            for j in 0..<64 { unsafe values[block * 64 + j] = scale * (Float(code(row.codes, block * 18, j)) - 1) }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 64 {
            unsafe parts.scales[block] = UInt32(row.codes.u16(block * 18))
            for j in 0..<64 { unsafe parts.codes[block * 64 + j] = code(row.codes, block * 18, j) }
        }
    }

    @inline(__always)
    private func code(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ j: Int) -> UInt8 {
        unsafe bytes.byte(at + 2 + (j >> 2)) >> (UInt8(j & 3) * 2) & 3
    }
}
