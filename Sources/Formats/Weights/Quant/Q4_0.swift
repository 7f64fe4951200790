/// 32 four-bit codes that share one half-precision scale: value = scale · (code − 8).
///
///     | 0..2 scale f16 | 2..18 codes: byte j holds value j low, value j + 16 high |
public struct Q4_0: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q4_0" }
    public var ggufType: UInt32? { 2 }
    public var valuesPerBlock: Int { 32 }
    public var bytesPerBlock: [Int] { [18] }
    public var packing: Packing { .codes(bits: 4, group: 32, scale: .flat(.f16), offset: false, zero: 8) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 32 {
            let at = block * 18, out = block * 32
            let scale = unsafe row.codes.f16(at)
            for j in 0..<16 {
                let byte = unsafe Int32(row.codes.byte(at + 2 + j))
                unsafe values[out + j] = scale * Float(byte & 15 - 8)
                unsafe values[out + j + 16] = scale * Float(byte >> 4 - 8)
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
