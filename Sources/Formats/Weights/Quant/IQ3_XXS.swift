/// 256 values in 8 groups of 32: value = ± d · (0.5 + scale) / 2 · magnitude, where eight magnitudes from 4 to 62 come four
/// at a time from a grid of 256 points.
///
///     | 0..2 d f16 | 2..66 points | 66..98 u32 × 8, one per group: 4 × 7 bits of signs, 4 bits of scale |
///
/// Of eight signs seven are stored; the eighth makes their number even.
public struct IQ3_XXS: GridFormat, Equatable {
    public init() {}
    public var name: String { "IQ3_XXS" }
    public var ggufType: UInt32? { 18 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [98] }
    public var packing: Packing {
        .codes(bits: 4, group: 32, scale: .twoLevel, offset: false, zero: 62, codebook: Magnitudes.threeEvenSigned, factor: 0.25)
    }

    var grid: [UInt16] { Grids.iq3xxs }
    var magnitudes: [Float] { Magnitudes.threeEven }
    var group: Int { 32 }
    func step(_ d: Float, _ scale: UInt8) -> Float { d * (0.5 + Float(scale)) * 0.5 }

    @inline(__always)
    func scale(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> UInt8 {
        unsafe bytes.byte(at + 66 + group * 4 + 3) >> 4
    }
    @inline(__always)
    func signs(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int) -> UInt8 {
        unsafe Signs.even(bytes.u32(at + 66 + eight / 4 * 4) >> (7 * UInt32(eight & 3)))
    }
    /// Which magnitude value j of eight has.
    @inline(__always)
    func point(_ grid: [UInt16], _ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int, _ j: Int) -> Int {
        unsafe Int(grid[Int(bytes.byte(at + 2 + eight * 2 + j / 4))] >> UInt16(3 * (j & 3)) & 7)
    }
}
