/// 256 values in 8 groups of 32: value = ± d · (0.5 + scale) / 4 · magnitude, where magnitudes (8, 25, 43) come eight at a
/// time from a grid of 256 points.
///
///     | 0..2 d f16 | 8 groups of 8 bytes: four points, then u32: 4 × 7 bits of signs, 4 bits of scale |
///
/// Of eight signs seven are stored; the eighth makes their number even.
public struct IQ2_XXS: GridFormat, Equatable {
    public init() {}
    public var name: String { "IQ2_XXS" }
    public var ggufType: UInt32? { 16 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [66] }
    public var packing: Packing {
        .codes(bits: 3, group: 32, scale: .twoLevel, offset: false, zero: 43, codebook: Magnitudes.twoSigned, factor: 0.125)
    }

    var grid: [UInt16] { Grids.iq2xxs }
    var magnitudes: [Float] { Magnitudes.two }
    var group: Int { 32 }
    func step(_ d: Float, _ scale: UInt8) -> Float { d * (0.5 + Float(scale)) * 0.25 }

    @inline(__always)
    func scale(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> UInt8 {
        unsafe bytes.byte(at + 2 + group * 8 + 7) >> 4
    }
    @inline(__always)
    func signs(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int) -> UInt8 {
        unsafe Signs.even(bytes.u32(at + 2 + eight / 4 * 8 + 4) >> (7 * UInt32(eight & 3)))
    }
    /// Which magnitude value j of eight has.
    @inline(__always)
    func point(_ grid: [UInt16], _ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int, _ j: Int) -> Int {
        unsafe Int(grid[Int(bytes.byte(at + 2 + eight / 4 * 8 + (eight & 3)))] >> UInt16(2 * j) & 3)
    }
}
