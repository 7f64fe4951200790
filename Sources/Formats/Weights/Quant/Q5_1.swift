/// 32 five-bit codes with a half-precision scale and offset: value = scale · code + offset.
///
///     | 0..2 scale f16 | 2..4 offset f16 | 4..8 fifth bits u32, bit j of value j | 8..24 low bits: byte j holds value j low, value j + 16 high |
public struct Q5_1: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q5_1" }
    public var ggufType: UInt32? { 7 }
    public var valuesPerBlock: Int { 32 }
    public var bytesPerBlock: [Int] { [24] }
    public var packing: Packing { .codes(bits: 5, group: 32, scale: .flat(.f16), offset: true, zero: 0) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 32 {
            let at = block * 24, out = block * 32
            let scale = unsafe row.codes.f16(at), offset = unsafe row.codes.f16(at + 2)
            let high = unsafe row.codes.u32(at + 4)
            for j in 0..<16 {
                let byte = unsafe UInt32(row.codes.byte(at + 8 + j))
                let low = byte & 15 | (high >> UInt32(j) & 1) << 4
                let upper = byte >> 4 | (high >> UInt32(j + 16) & 1) << 4
                unsafe values[out + j] = scale * Float(low) + offset
                unsafe values[out + j + 16] = scale * Float(upper) + offset
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 32 {
            let at = block * 24, out = block * 32
            unsafe parts.scales[block] = UInt32(row.codes.u16(at))
            unsafe parts.offsets[block] = UInt32(row.codes.u16(at + 2))
            let high = unsafe row.codes.u32(at + 4)
            for j in 0..<16 {
                let byte = unsafe row.codes.byte(at + 8 + j)
                unsafe parts.codes[out + j] = byte & 15 | UInt8(truncatingIfNeeded: high >> UInt32(j) & 1) << 4
                unsafe parts.codes[out + j + 16] = byte >> 4 | UInt8(truncatingIfNeeded: high >> UInt32(j + 16) & 1) << 4
            }
        }
    }
}
