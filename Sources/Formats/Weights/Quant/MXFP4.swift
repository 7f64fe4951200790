/// 32 four-bit floats that share a power of two: value = 2^(e − 127) · E2M1[code].
///
///     | 0 e, an E8M0 byte | 1..17 codes: byte j holds value j low, value j + 16 high |
///
/// E2M1: a sign bit, then 0, 0.5, 1, 1.5, 2, 3, 4, 6.
///
/// As codes they index twice their values, with half the scale.
public struct MXFP4: QuantFormat, Equatable {
    public init() {}
    public var name: String { "MXFP4" }
    public var ggufType: UInt32? { 39 }
    public var valuesPerBlock: Int { 32 }
    public var bytesPerBlock: [Int] { [17] }
    public var packing: Packing {
        .codes(bits: 4, group: 32, scale: .e8m0, offset: false, zero: 12, codebook: E2M1.codebook, factor: 0.5)
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 32 {
            let at = block * 17, out = block * 32
            let half = unsafe HalfPrecision.half(e8m0: row.codes.byte(at))
            for j in 0..<16 {
                let byte = unsafe row.codes.byte(at + 1 + j)
                unsafe values[out + j] = half * E2M1.twice(byte & 15)
                unsafe values[out + j + 16] = half * E2M1.twice(byte >> 4)
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 32 {
            let at = block * 17, out = block * 32
            unsafe parts.scales[block] = UInt32(row.codes.byte(at))
            for j in 0..<16 {
                let byte = unsafe row.codes.byte(at + 1 + j)
                unsafe parts.codes[out + j] = byte & 15
                unsafe parts.codes[out + j + 16] = byte >> 4
            }
        }
    }
}
