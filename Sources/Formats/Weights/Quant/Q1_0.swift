/// 128 signs that share one half-precision scale: value = scale where the bit is 1, − scale where it is 0.
///
///     | 0..2 scale f16 | 2..18 bits, value j at bit j |
public struct Q1_0: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q1_0" }
    public var ggufType: UInt32? { 41 }
    public var valuesPerBlock: Int { 128 }
    public var bytesPerBlock: [Int] { [18] }
    public var packing: Packing {
        .codes(bits: 1, group: 128, scale: .flat(.f16), offset: false, zero: 1, codebook: [0, 2])
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 128 {
            let scale = unsafe row.codes.f16(block * 18)
            for j in 0..<128 { unsafe values[block * 128 + j] = bit(row.codes, block * 18, j) == 0 ? -scale : scale }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 128 {
            unsafe parts.scales[block] = UInt32(row.codes.u16(block * 18))
            for j in 0..<128 { unsafe parts.codes[block * 128 + j] = bit(row.codes, block * 18, j) }
        }
    }

    @inline(__always)
    private func bit(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ j: Int) -> UInt8 {
        unsafe bytes.byte(at + 2 + (j >> 3)) >> UInt8(j & 7) & 1
    }
}
