/// 256 ternary values in 16 groups of 16: value = d · (2 · scale + 1) · (trit ± 1/8), where trits (−1, 0, 1) come eight at a
/// time from a grid of 2048 points and share the sign of their eighth.
///
///     | 0..32 points, low 8 bits | 32..48 per point 4 bits: its top 3, the sign of the eighth | 48..56 u16 × 4 |
///
/// Each of the four words holds the scales of four groups, 3 bits each, lowest first, and four bits of d (f16), lowest
/// first.
///
/// As codes: value / (d · (2 · scale + 1)) in eighths is one of −9, −7, −1, 1, 7, 9.
public struct IQ1_M: QuantFormat, Equatable {
    public init() {}
    public var name: String { "IQ1_M" }
    public var ggufType: UInt32? { 29 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [56] }
    public var packing: Packing {
        .codes(bits: 3, group: 16, scale: .twoLevel, offset: false, zero: 9, codebook: Self.codebook, factor: 0.125)
    }

    /// 8 · (trit ± 1/8) + 9, by 2 · (trit + 1), plus 1 where the eighth is added.
    static let codebook: [UInt8] = [0, 2, 8, 10, 16, 18]

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let grid = Grids.iq1
        for block in 0..<values.count / 256 {
            let at = block * 56
            let d = unsafe HalfPrecision.float(f16: superScale(row.codes, at))
            for eight in 0..<32 {
                let step = unsafe d * Float(2 * scale(row.codes, at, eight / 2) + 1)
                let (point, isBelow) = unsafe point(row.codes, at, eight)
                let delta: Float = isBelow ? -0.125 : 0.125
                for j in 0..<8 {
                    let trit = Float(grid[point] >> UInt16(2 * j) & 3) - 1
                    unsafe values[block * 256 + eight * 8 + j] = step * (trit + delta)
                }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        let grid = Grids.iq1
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 56
            unsafe parts.superScales[block] = superScale(row.codes, at)
            for group in 0..<16 { unsafe parts.scales[block * 16 + group] = UInt32(2 * scale(row.codes, at, group) + 1) }
            for eight in 0..<32 {
                let (point, isBelow) = unsafe point(row.codes, at, eight)
                for j in 0..<8 {
                    let trit = UInt8(truncatingIfNeeded: grid[point] >> UInt16(2 * j) & 3)
                    unsafe parts.codes[block * 256 + eight * 8 + j] = 2 * trit + (isBelow ? 0 : 1)
                }
            }
        }
    }

    @inline(__always)
    private func superScale(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> UInt16 {
        (0..<4).reduce(UInt16(0)) { bits, k in unsafe bits | (bytes.u16(at + 48 + 2 * k) >> 12) << UInt16(4 * k) }
    }
    @inline(__always)
    private func scale(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> UInt16 {
        unsafe bytes.u16(at + 48 + group / 4 * 2) >> UInt16(group % 4 * 3) & 7
    }
    @inline(__always)
    private func point(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int) -> (index: Int, isBelow: Bool) {
        let top = unsafe bytes.byte(at + 32 + eight / 2) >> (UInt8(eight & 1) * 4)
        return unsafe (Int(bytes.byte(at + eight)) | Int(top & 7) << 8, top & 8 != 0)
    }
}
