/// 256 four-bit codes in 8 groups of 32 whose six-bit scales and minima are multiples of two half-precision numbers:
/// value = (d · scale) · code − (dmin · minimum).
///
///     | 0..2 d f16 | 2..4 dmin f16 | 4..16 scales and minima, 6 bits each | 16..144 codes |
///
/// Codes: 32 bytes hold 64 values, the first 32 in their low halves, the next 32 in their high halves.
public struct Q4_K: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q4_K" }
    public var ggufType: UInt32? { 12 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [144] }
    public var packing: Packing { .codes(bits: 4, group: 32, scale: .twoLevel, offset: true, zero: 0) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 256 {
            let at = block * 144, out = block * 256
            let d = unsafe row.codes.f16(at), dmin = unsafe row.codes.f16(at + 2)
            for group in 0..<8 {
                let (scale, minimum) = unsafe SixBitPairs.pair(row.codes, at + 4, group)
                let step = d * Float(scale), low = dmin * Float(minimum)
                let codes = at + 16 + group / 2 * 32, shift = UInt8(group & 1) * 4
                for j in 0..<32 {
                    let code = unsafe row.codes.byte(codes + j) >> shift & 15
                    unsafe values[out + group * 32 + j] = step * Float(code) - low
                }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 144, out = block * 256
            unsafe parts.superScales[block] = row.codes.u16(at)
            unsafe parts.superOffsets[block] = row.codes.u16(at + 2)
            for group in 0..<8 {
                let (scale, minimum) = unsafe SixBitPairs.pair(row.codes, at + 4, group)
                unsafe parts.scales[block * 8 + group] = UInt32(scale)
                unsafe parts.offsets[block * 8 + group] = UInt32(minimum)
                let codes = at + 16 + group / 2 * 32, shift = UInt8(group & 1) * 4
                for j in 0..<32 { unsafe parts.codes[out + group * 32 + j] = row.codes.byte(codes + j) >> shift & 15 }
            }
        }
    }
}

/// Eight scales and eight minima of six bits in twelve bytes, as Q4_K and Q5_K have them.
///
///     bytes 0..4    bits 0..6 scale 0…3,   bits 6..8 the top of scale 4…7
///     bytes 4..8    bits 0..6 minimum 0…3, bits 6..8 the top of minimum 4…7
///     bytes 8..12   bits 0..4 the low of scale 4…7, bits 4..8 the low of minimum 4…7
enum SixBitPairs {
    @inline(__always)
    static func pair(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> (scale: UInt8, minimum: UInt8) {
        if group < 4 { return unsafe (bytes.byte(at + group) & 63, bytes.byte(at + group + 4) & 63) }
        let low = unsafe bytes.byte(at + group + 4)
        return unsafe (low & 15 | (bytes.byte(at + group - 4) >> 6) << 4, low >> 4 | (bytes.byte(at + group) >> 6) << 4)
    }
}
