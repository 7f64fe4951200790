/// 256 ternary values in 8 groups of 32: value = d · (2 · scale + 1) · (trit ± 1/8), where trits (−1, 0, 1) come eight at a
/// time from a grid of 2048 points.
///
///     | 0..2 d f16 | 2..34 points, low 8 bits | 34..50 u16 × 8, one per group |
///
/// The word of a group: 4 × 3 top bits of its points, 3 bits of scale, and the sign of its eighth.
///
/// As codes: trit + 1, with scale and offset in eighths of d.
public struct IQ1_S: QuantFormat, Equatable {
    public init() {}
    public var name: String { "IQ1_S" }
    public var ggufType: UInt32? { 19 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [50] }
    public var packing: Packing {
        .codes(bits: 2, group: 32, scale: .twoLevel, offset: true, zero: 1, factor: 0.125)
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let grid = Grids.iq1
        for block in 0..<values.count / 256 {
            let at = block * 50
            let d = unsafe row.codes.f16(at)
            for group in 0..<8 {
                let word = unsafe row.codes.u16(at + 34 + group * 2)
                let step = d * Float(2 * (word >> 12 & 7) + 1), delta: Float = word >> 15 == 0 ? 0.125 : -0.125
                for j in 0..<32 {
                    let trit = Float(unsafe code(grid, row.codes, at, group, word, j)) - 1
                    unsafe values[block * 256 + group * 32 + j] = step * (trit + delta)
                }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        let grid = Grids.iq1
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 50
            unsafe parts.superScales[block] = row.codes.u16(at)
            unsafe parts.superOffsets[block] = row.codes.u16(at)
            for group in 0..<8 {
                let word = unsafe row.codes.u16(at + 34 + group * 2)
                let scale = Int32(2 * (word >> 12 & 7) + 1)
                unsafe parts.scales[block * 8 + group] = UInt32(8 * scale)
                unsafe parts.offsets[block * 8 + group] = UInt32(bitPattern: word >> 15 == 0 ? -scale : scale)
                for j in 0..<32 {
                    unsafe parts.codes[block * 256 + group * 32 + j] = UInt8(code(grid, row.codes, at, group, word, j))
                }
            }
        }
    }

    /// Trit + 1 of value j of a group.
    @inline(__always)
    private func code(
        _ grid: [UInt16], _ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int, _ word: UInt16, _ j: Int
    ) -> UInt16 {
        let point = unsafe UInt16(bytes.byte(at + 2 + group * 4 + j / 8)) | (word >> UInt16(j / 8 * 3) & 7) << 8
        return grid[Int(point)] >> UInt16(2 * (j & 7)) & 3
    }
}
