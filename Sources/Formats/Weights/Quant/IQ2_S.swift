/// 256 values in 16 groups of 16: value = ± d · (0.5 + scale) / 4 · magnitude, where magnitudes (8, 25, 43) come eight at a
/// time from a grid of 1024 points.
///
///     | 0..2 d f16 | 2..34 points, low 8 bits | 34..66 signs | 66..74 points, top 2 bits | 74..82 scales, 4 bits each |
///
/// Fields of less than a byte begin with the lowest bits.
public struct IQ2_S: QuantFormat, Equatable {
    public init() {}
    public var name: String { "IQ2_S" }
    public var ggufType: UInt32? { 22 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [82] }
    public var packing: Packing {
        .codes(bits: 3, group: 16, scale: .twoLevel, offset: false, zero: 43, codebook: Magnitudes.twoSigned, factor: 0.125)
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let grid = Grids.iq2s
        for block in 0..<values.count / 256 {
            let at = block * 82
            let d = unsafe row.codes.f16(at)
            for eight in 0..<32 {
                let step = unsafe d * (0.5 + Float(scale(row.codes, at, eight / 2))) * 0.25
                let signs = unsafe signs(row.codes, at, eight)
                for j in 0..<8 {
                    let value = unsafe step * Magnitudes.two[point(grid, row.codes, at, eight, j)]
                    unsafe values[block * 256 + eight * 8 + j] = signs >> UInt8(j) & 1 == 0 ? value : -value
                }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        let grid = Grids.iq2s
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 82
            unsafe parts.superScales[block] = row.codes.u16(at)
            for group in 0..<16 {
                unsafe parts.scales[block * 16 + group] = UInt32(2 * scale(row.codes, at, group) + 1)
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
        unsafe bytes.byte(at + 74 + group / 2) >> (UInt8(group & 1) * 4) & 15
    }
    @inline(__always)
    private func signs(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int) -> UInt8 { unsafe bytes.byte(at + 34 + eight) }
    /// Which magnitude value j of eight has.
    @inline(__always)
    private func point(_ grid: [UInt16], _ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int, _ j: Int) -> Int {
        let top = unsafe bytes.byte(at + 66 + eight / 4) >> (UInt8(eight & 3) * 2) & 3
        return unsafe Int(grid[Int(bytes.byte(at + 2 + eight)) | Int(top) << 8] >> UInt16(2 * j) & 3)
    }
}
