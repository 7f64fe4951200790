/// 32 signed bytes that share one half-precision scale: value = scale · byte.
///
///     | 0..2 scale f16 | 2..34 bytes i8 × 32 |
///
/// As codes they are unsigned: code = byte + 128.
public struct Q8_0: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q8_0" }
    public var ggufType: UInt32? { 8 }
    public var valuesPerBlock: Int { 32 }
    public var bytesPerBlock: [Int] { [34] }
    public var packing: Packing { .codes(bits: 8, group: 32, scale: .flat(.f16), offset: false, zero: 128) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 32 {
            let at = block * 34, out = block * 32
            let scale = unsafe row.codes.f16(at)
            for j in 0..<32 { unsafe values[out + j] = scale * Float(row.codes.signed(at + 2 + j)) }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 32 {
            let at = block * 34, out = block * 32
            unsafe parts.scales[block] = UInt32(row.codes.u16(at))
            for j in 0..<32 { unsafe parts.codes[out + j] = row.codes.byte(at + 2 + j) ^ 0x80 }
        }
    }
}
