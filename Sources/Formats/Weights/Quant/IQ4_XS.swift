/// 256 four-bit codes of IQ4_NL's table in 8 groups of 32 whose signed six-bit scales are multiples of one half-precision
/// number: value = (d · (scale − 32)) · table[code].
///
///     | 0..2 d f16 | 2..4 top two bits of the scales, group 0 lowest | 4..8 low four bits, group 0 lowest | 8..136 codes |
///
/// Codes: 16 bytes per group, byte j holds value j low, value j + 16 high.
public struct IQ4_XS: QuantFormat, Equatable {
    public init() {}
    public var name: String { "IQ4_XS" }
    public var ggufType: UInt32? { 23 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [136] }
    public var packing: Packing {
        .codes(bits: 4, group: 32, scale: .twoLevel, offset: false, zero: 128, codebook: IQ4_NL.codebook)
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let table = IQ4_NL.table
        for block in 0..<values.count / 256 {
            let at = block * 136
            let d = unsafe row.codes.f16(at)
            for group in 0..<8 {
                let step = unsafe d * Float(scale(row.codes, at, group))
                let codes = at + 8 + group * 16, out = block * 256 + group * 32
                for j in 0..<16 {
                    let byte = unsafe Int(row.codes.byte(codes + j))
                    unsafe values[out + j] = step * Float(table[byte & 15])
                    unsafe values[out + j + 16] = step * Float(table[byte >> 4])
                }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 136
            unsafe parts.superScales[block] = row.codes.u16(at)
            for group in 0..<8 {
                unsafe parts.scales[block * 8 + group] = UInt32(bitPattern: scale(row.codes, at, group))
                let codes = at + 8 + group * 16, out = block * 256 + group * 32
                for j in 0..<16 {
                    let byte = unsafe row.codes.byte(codes + j)
                    unsafe parts.codes[out + j] = byte & 15
                    unsafe parts.codes[out + j + 16] = byte >> 4
                }
            }
        }
    }

    @inline(__always)
    private func scale(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> Int32 {
        let low = unsafe bytes.byte(at + 4 + group / 2) >> (UInt8(group & 1) * 4) & 15
        let top = unsafe bytes.u16(at + 2) >> (UInt16(group) * 2) & 3
        return Int32(low) + Int32(top) * 16 - 32
    }
}
