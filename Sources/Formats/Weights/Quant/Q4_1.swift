/// 32 four-bit codes with a half-precision scale and offset: value = scale · code + offset.
///
///     | 0..2 scale f16 | 2..4 offset f16 | 4..20 codes: byte j holds value j low, value j + 16 high |
public struct Q4_1: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q4_1" }
    public var ggufType: UInt32? { 3 }
    public var valuesPerBlock: Int { 32 }
    public var bytesPerBlock: [Int] { [20] }
    public var packing: Packing { .codes(bits: 4, group: 32, scale: .flat(.f16), offset: true, zero: 0) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 32 {
            let at = block * 20, out = block * 32
            let scale = unsafe row.codes.f16(at), offset = unsafe row.codes.f16(at + 2)
            for j in 0..<16 {
                let byte = unsafe row.codes.byte(at + 4 + j)
                unsafe values[out + j] = scale * Float(byte & 15) + offset
                unsafe values[out + j + 16] = scale * Float(byte >> 4) + offset
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 32 {
            let at = block * 20, out = block * 32
            unsafe parts.scales[block] = UInt32(row.codes.u16(at))
            unsafe parts.offsets[block] = UInt32(row.codes.u16(at + 2))
            for j in 0..<16 {
                let byte = unsafe row.codes.byte(at + 4 + j)
                unsafe parts.codes[out + j] = byte & 15
                unsafe parts.codes[out + j + 16] = byte >> 4
            }
        }
    }
}
