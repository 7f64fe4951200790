/// 256 values in 16 groups of 16: value = ± d · (0.5 + scale) / 4 · magnitude, where magnitudes (8, 25, 43) come eight at a
/// time from a grid of 512 points.
///
///     | 0..2 d f16 | 2..66 u16 × 32: 9 bits of point, 7 bits of signs | 66..74 scales, 4 bits each, low half first |
///
/// Of eight signs seven are stored; the eighth makes their number even.
public struct IQ2_XS: GridFormat, Equatable {
    public init() {}
    public var name: String { "IQ2_XS" }
    public var ggufType: UInt32? { 17 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [74] }
    public var packing: Packing {
        .codes(bits: 3, group: 16, scale: .twoLevel, offset: false, zero: 43, codebook: Magnitudes.twoSigned, factor: 0.125)
    }

    var grid: [UInt16] { Grids.iq2xs }
    var magnitudes: [Float] { Magnitudes.two }
    var group: Int { 16 }
    func step(_ d: Float, _ scale: UInt8) -> Float { d * (0.5 + Float(scale)) * 0.25 }

    @inline(__always)
    func scale(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> UInt8 {
        unsafe bytes.byte(at + 66 + group / 2) >> (UInt8(group & 1) * 4) & 15
    }
    @inline(__always)
    func signs(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int) -> UInt8 {
        unsafe Signs.even(UInt32(bytes.u16(at + 2 + eight * 2) >> 9))
    }
    /// Which magnitude value j of eight has.
    @inline(__always)
    func point(_ grid: [UInt16], _ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int, _ j: Int) -> Int {
        unsafe Int(grid[Int(bytes.u16(at + 2 + eight * 2) & 511)] >> UInt16(2 * j) & 3)
    }
}
