/// 256 values in 16 groups of 16: value = ± d · (0.5 + scale) / 4 · magnitude, where magnitudes (8, 25, 43) come eight at a
/// time from a grid of 1024 points.
///
///     | 0..2 d f16 | 2..34 points, low 8 bits | 34..66 signs | 66..74 points, top 2 bits | 74..82 scales, 4 bits each |
///
/// Fields of less than a byte begin with the lowest bits.
public struct IQ2_S: GridFormat, Equatable {
    public init() {}
    public var name: String { "IQ2_S" }
    public var ggufType: UInt32? { 22 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [82] }
    public var packing: Packing {
        .codes(bits: 3, group: 16, scale: .twoLevel, offset: false, zero: 43, codebook: Magnitudes.twoSigned, factor: 0.125)
    }

    var grid: [UInt16] { Grids.iq2s }
    var magnitudes: [Float] { Magnitudes.two }
    var group: Int { 16 }
    func step(_ d: Float, _ scale: UInt8) -> Float { d * (0.5 + Float(scale)) * 0.25 }

    @inline(__always)
    func scale(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> UInt8 {
        unsafe bytes.byte(at + 74 + group / 2) >> (UInt8(group & 1) * 4) & 15
    }
    @inline(__always)
    func signs(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int) -> UInt8 { unsafe bytes.byte(at + 34 + eight) }
    /// Which magnitude value j of eight has.
    @inline(__always)
    func point(_ grid: [UInt16], _ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int, _ j: Int) -> Int {
        let top = unsafe bytes.byte(at + 66 + eight / 4) >> (UInt8(eight & 3) * 2) & 3
        return unsafe Int(grid[Int(bytes.byte(at + 2 + eight)) | Int(top) << 8] >> UInt16(2 * j) & 3)
    }
}
