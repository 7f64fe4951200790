/// 256 two-bit codes in 16 groups of 16 whose four-bit scales and minima are multiples of two half-precision numbers:
/// value = (d · scale) · code − (dmin · minimum).
///
///     | 0..16 scales low, minima high | 16..80 codes | 80..82 d f16 | 82..84 dmin f16 |
///
/// Codes: 32 bytes hold 128 values, 32 in each pair of bits, lowest first.
public struct Q2_K: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q2_K" }
    public var ggufType: UInt32? { 10 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [84] }
    public var packing: Packing { .codes(bits: 2, group: 16, scale: .twoLevel, offset: true, zero: 0) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 256 {
            let at = block * 84, out = block * 256
            let d = unsafe row.codes.f16(at + 80), dmin = unsafe row.codes.f16(at + 82)
            for group in 0..<16 {
                let pair = unsafe row.codes.byte(at + group)
                let step = d * Float(pair & 15), low = dmin * Float(pair >> 4)
                for j in 0..<16 { unsafe values[out + group * 16 + j] = step * Float(code(row.codes, at, group, j)) - low }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 84, out = block * 256
            unsafe parts.superScales[block] = row.codes.u16(at + 80)
            unsafe parts.superOffsets[block] = row.codes.u16(at + 82)
            for group in 0..<16 {
                let pair = unsafe row.codes.byte(at + group)
                unsafe parts.scales[block * 16 + group] = UInt32(pair & 15)
                unsafe parts.offsets[block * 16 + group] = UInt32(pair >> 4)
                for j in 0..<16 { unsafe parts.codes[out + group * 16 + j] = code(row.codes, at, group, j) }
            }
        }
    }

    /// Value j of a group: eight groups to a half, two to a pair of bits.
    @inline(__always)
    private func code(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int, _ j: Int) -> UInt8 {
        unsafe bytes.byte(at + 16 + (group >> 3) * 32 + (group & 1) * 16 + j) >> (UInt8(group >> 1 & 3) * 2) & 3
    }
}
