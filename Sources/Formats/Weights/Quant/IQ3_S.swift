/// 256 values in 8 groups of 32: value = ± d · (1 + 2 · scale) · magnitude, where eight odd magnitudes from 1 to 15 come
/// four at a time from a grid of 512 points.
///
///     | 0..2 d f16 | 2..66 points, low 8 bits | 66..74 points, top bit | 74..106 signs | 106..110 scales, 4 bits each |
///
/// Fields of less than a byte begin with the lowest bits.
public struct IQ3_S: GridFormat, Equatable {
    public init() {}
    public var name: String { "IQ3_S" }
    public var ggufType: UInt32? { 21 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [110] }
    public var packing: Packing {
        .codes(bits: 4, group: 32, scale: .twoLevel, offset: false, zero: 15, codebook: Magnitudes.threeOddSigned)
    }

    var grid: [UInt16] { Grids.iq3s }
    var magnitudes: [Float] { Magnitudes.threeOdd }
    var group: Int { 32 }
    func step(_ d: Float, _ scale: UInt8) -> Float { d * (1 + 2 * Float(scale)) }

    @inline(__always)
    func scale(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> UInt8 {
        unsafe bytes.byte(at + 106 + group / 2) >> (UInt8(group & 1) * 4) & 15
    }
    @inline(__always)
    func signs(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int) -> UInt8 { unsafe bytes.byte(at + 74 + eight) }
    /// Which magnitude value j of eight has.
    @inline(__always)
    func point(_ grid: [UInt16], _ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int, _ j: Int) -> Int {
        let four = eight * 2 + j / 4
        let top = unsafe bytes.byte(at + 66 + four / 8) >> UInt8(four & 7) & 1
        return unsafe Int(grid[Int(bytes.byte(at + 2 + four)) | Int(top) << 8] >> UInt16(3 * (j & 3)) & 7)
    }
}
