/// 256 five-bit codes in 8 groups of 32 whose six-bit scales and minima are multiples of two half-precision numbers:
/// value = (d · scale) · code − (dmin · minimum).
///
///     | 0..2 d f16 | 2..4 dmin f16 | 4..16 scales and minima, 6 bits each | 16..48 fifth bits | 48..176 low bits |
///
/// Low bits: 32 bytes hold 64 values, the first 32 in their low halves, the next 32 in their high halves.
/// Fifth bits: bit g of byte j belongs to value j of group g.
public struct Q5_K: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q5_K" }
    public var ggufType: UInt32? { 13 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [176] }
    public var packing: Packing { .codes(bits: 5, group: 32, scale: .twoLevel, offset: true, zero: 0) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 256 {
            let at = block * 176, out = block * 256
            let d = unsafe row.codes.f16(at), dmin = unsafe row.codes.f16(at + 2)
            for group in 0..<8 {
                let (scale, minimum) = unsafe SixBitPairs.pair(row.codes, at + 4, group)
                let step = d * Float(scale), low = dmin * Float(minimum)
                for j in 0..<32 {
                    unsafe values[out + group * 32 + j] = step * Float(code(row.codes, at, group, j)) - low
                }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 176, out = block * 256
            unsafe parts.superScales[block] = row.codes.u16(at)
            unsafe parts.superOffsets[block] = row.codes.u16(at + 2)
            for group in 0..<8 {
                let (scale, minimum) = unsafe SixBitPairs.pair(row.codes, at + 4, group)
                unsafe parts.scales[block * 8 + group] = UInt32(scale)
                unsafe parts.offsets[block * 8 + group] = UInt32(minimum)
                for j in 0..<32 { unsafe parts.codes[out + group * 32 + j] = code(row.codes, at, group, j) }
            }
        }
    }

    @inline(__always)
    private func code(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int, _ j: Int) -> UInt8 {
        let low = unsafe bytes.byte(at + 48 + group / 2 * 32 + j) >> (UInt8(group & 1) * 4) & 15
        return unsafe low | (bytes.byte(at + 16 + j) >> UInt8(group) & 1) << 4
    }
}
