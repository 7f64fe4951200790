/// 256 values in 8 groups of 32: value = ± d · (0.5 + scale) / 4 · magnitude, where magnitudes (8, 25, 43) come eight at a
/// time from a grid of 256 points.
///
///     | 0..2 d f16 | 8 groups of 8 bytes: four points, then u32: 4 × 7 bits of signs, 4 bits of scale |
///
/// Of eight signs seven are stored; the eighth makes their number even.
public struct IQ2_XXS: QuantFormat, Equatable {
    public init() {}
    public var name: String { "IQ2_XXS" }
    public var ggufType: UInt32? { 16 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [66] }
    public var packing: Packing {
        .codes(bits: 3, group: 32, scale: .twoLevel, offset: false, zero: 43, codebook: Magnitudes.twoSigned, factor: 0.125)
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let grid = Grids.iq2xxs
        for block in 0..<values.count / 256 {
            let at = block * 66
            let d = unsafe row.codes.f16(at)
            for eight in 0..<32 {
                let step = unsafe d * (0.5 + Float(scale(row.codes, at, eight / 4))) * 0.25
                let signs = unsafe signs(row.codes, at, eight)
                for j in 0..<8 {
                    let value = unsafe step * Magnitudes.two[point(grid, row.codes, at, eight, j)]
                    unsafe values[block * 256 + eight * 8 + j] = signs >> UInt8(j) & 1 == 0 ? value : -value
                }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        let grid = Grids.iq2xxs
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 66
            unsafe parts.superScales[block] = row.codes.u16(at)
            for group in 0..<8 {
                unsafe parts.scales[block * 8 + group] = UInt32(2 * scale(row.codes, at, group) + 1)
            }
            for eight in 0..<32 {
                let signs = unsafe signs(row.codes, at, eight)
                for j in 0..<8 {
                    let magnitude = unsafe UInt8(point(grid, row.codes, at, eight, j))
                    unsafe parts.codes[block * 256 + eight * 8 + j] = signs >> UInt8(j) & 1 == 0 ? 3 + magnitude : 2 - magnitude
                }
            }
        }
    }

    @inline(__always)
    private func scale(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> UInt8 {
        unsafe bytes.byte(at + 2 + group * 8 + 7) >> 4
    }
    @inline(__always)
    private func signs(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int) -> UInt8 {
        unsafe Signs.even(bytes.u32(at + 2 + eight / 4 * 8 + 4) >> (7 * UInt32(eight & 3)))
    }
    /// Which magnitude value j of eight has.
    @inline(__always)
    private func point(_ grid: [UInt16], _ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int, _ j: Int) -> Int {
        unsafe Int(grid[Int(bytes.byte(at + 2 + eight / 4 * 8 + (eight & 3)))] >> UInt16(2 * j) & 3)
    }
}
