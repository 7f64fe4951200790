/// 256 values in 8 groups of 32: value = ± d · (0.5 + scale) / 2 · magnitude, where eight magnitudes from 4 to 62 come four
/// at a time from a grid of 256 points.
///
///     | 0..2 d f16 | 2..66 points | 66..98 u32 × 8, one per group: 4 × 7 bits of signs, 4 bits of scale |
///
/// Of eight signs seven are stored; the eighth makes their number even.
public struct IQ3_XXS: QuantFormat, Equatable {
    public init() {}
    public var name: String { "IQ3_XXS" }
    public var ggufType: UInt32? { 18 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [98] }
    public var packing: Packing {
        .codes(bits: 4, group: 32, scale: .twoLevel, offset: false, zero: 62, codebook: Magnitudes.threeEvenSigned, factor: 0.25)
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let grid = Grids.iq3xxs
        for block in 0..<values.count / 256 {
            let at = block * 98
            let d = unsafe row.codes.f16(at)
            for eight in 0..<32 {
                let step = unsafe d * (0.5 + Float(scale(row.codes, at, eight / 4))) * 0.5
                let signs = unsafe signs(row.codes, at, eight)
                for j in 0..<8 {
                    let value = unsafe step * Magnitudes.threeEven[point(grid, row.codes, at, eight, j)]
                    unsafe values[block * 256 + eight * 8 + j] = signs >> UInt8(j) & 1 == 0 ? value : -value
                }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        let grid = Grids.iq3xxs
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 98
            unsafe parts.superScales[block] = row.codes.u16(at)
            for group in 0..<8 {
                unsafe parts.scales[block * 8 + group] = UInt32(2 * scale(row.codes, at, group) + 1)
            }
            for eight in 0..<32 {
                let signs = unsafe signs(row.codes, at, eight)
                for j in 0..<8 {
                    let magnitude = unsafe UInt8(point(grid, row.codes, at, eight, j))
                    unsafe parts.codes[block * 256 + eight * 8 + j] = signs >> UInt8(j) & 1 == 0 ? 8 + magnitude : 7 - magnitude
                }
            }
        }
    }

    @inline(__always)
    private func scale(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> UInt8 {
        unsafe bytes.byte(at + 66 + group * 4 + 3) >> 4
    }
    @inline(__always)
    private func signs(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int) -> UInt8 {
        unsafe Signs.even(bytes.u32(at + 66 + eight / 4 * 4) >> (7 * UInt32(eight & 3)))
    }
    /// Which magnitude value j of eight has.
    @inline(__always)
    private func point(_ grid: [UInt16], _ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int, _ j: Int) -> Int {
        unsafe Int(grid[Int(bytes.byte(at + 2 + eight * 2 + j / 4))] >> UInt16(3 * (j & 3)) & 7)
    }
}
