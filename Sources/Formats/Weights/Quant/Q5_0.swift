/// 32 five-bit codes that share one half-precision scale: value = scale · (code − 16).
///
///     | 0..2 scale f16 | 2..6 fifth bits u32, bit j of value j | 6..22 low bits: byte j holds value j low, value j + 16 high |
public struct Q5_0: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q5_0" }
    public var ggufType: UInt32? { 6 }
    public var valuesPerBlock: Int { 32 }
    public var bytesPerBlock: [Int] { [22] }
    public var packing: Packing { .codes(bits: 5, group: 32, scale: .flat(.f16), offset: false, zero: 16) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 32 {
            let at = block * 22, out = block * 32
            let scale = unsafe row.codes.f16(at), high = unsafe row.codes.u32(at + 2)
            for j in 0..<16 {
                let byte = unsafe UInt32(row.codes.byte(at + 6 + j))
                let low = byte & 15 | (high >> UInt32(j) & 1) << 4
                let upper = byte >> 4 | (high >> UInt32(j + 16) & 1) << 4
                unsafe values[out + j] = scale * Float(Int32(low) - 16)
                unsafe values[out + j + 16] = scale * Float(Int32(upper) - 16)
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 32 {
            let at = block * 22, out = block * 32
            unsafe parts.scales[block] = UInt32(row.codes.u16(at))
            let high = unsafe row.codes.u32(at + 2)
            for j in 0..<16 {
                let byte = unsafe row.codes.byte(at + 6 + j)
                unsafe parts.codes[out + j] = byte & 15 | UInt8(truncatingIfNeeded: high >> UInt32(j) & 1) << 4
                unsafe parts.codes[out + j + 16] = byte >> 4 | UInt8(truncatingIfNeeded: high >> UInt32(j + 16) & 1) << 4
            }
        }
    }
}
