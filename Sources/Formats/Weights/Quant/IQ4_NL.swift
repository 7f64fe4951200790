/// 32 four-bit codes that share one half-precision scale and index a table: value = scale · table[code].
///
///     | 0..2 scale f16 | 2..18 codes: byte j holds value j low, value j + 16 high |
///
/// The table's 16 steps are finer near zero, from −127 to 113.
public struct IQ4_NL: QuantFormat, Equatable {
    public init() {}
    public var name: String { "IQ4_NL" }
    public var ggufType: UInt32? { 20 }
    public var valuesPerBlock: Int { 32 }
    public var bytesPerBlock: [Int] { [18] }
    public var packing: Packing {
        .codes(bits: 4, group: 32, scale: .flat(.f16), offset: false, zero: 128, codebook: Self.codebook)
    }

    static let table: [Int8] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]
    static let codebook: [UInt8] = table.map { UInt8(Int($0) + 128) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let table = Self.table
        for block in 0..<values.count / 32 {
            let at = block * 18, out = block * 32
            let scale = unsafe row.codes.f16(at)
            for j in 0..<16 {
                let byte = unsafe Int(row.codes.byte(at + 2 + j))
                unsafe values[out + j] = scale * Float(table[byte & 15])
                unsafe values[out + j + 16] = scale * Float(table[byte >> 4])
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 32 {
            let at = block * 18, out = block * 32
            unsafe parts.scales[block] = UInt32(row.codes.u16(at))
            for j in 0..<16 {
                let byte = unsafe row.codes.byte(at + 2 + j)
                unsafe parts.codes[out + j] = byte & 15
                unsafe parts.codes[out + j + 16] = byte >> 4
            }
        }
    }
}
