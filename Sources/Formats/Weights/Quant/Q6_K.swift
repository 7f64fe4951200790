/// 256 six-bit codes in 16 groups of 16 with signed byte scales that are multiples of one half-precision number:
/// value = (d · scale) · (code − 32).
///
///     | 0..128 low four bits | 128..192 high two bits | 192..208 scales i8 × 16 | 208..210 d f16 |
///
/// Each half of 128 values takes 64 low bytes and 32 high bytes. Its value j (0 ≤ j < 32) of quarter q (0 ≤ q < 4) has
/// its low bits in byte j + 32·(q & 1), in the high half where q ≥ 2, and its high bits in byte j at bit 2q.
public struct Q6_K: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q6_K" }
    public var ggufType: UInt32? { 14 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [210] }
    public var packing: Packing { .codes(bits: 6, group: 16, scale: .twoLevel, offset: false, zero: 32) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 256 {
            let at = block * 210, out = block * 256
            let d = unsafe row.codes.f16(at + 208)
            for group in 0..<16 {
                let step = unsafe d * Float(row.codes.signed(at + 192 + group))
                for j in 0..<16 {
                    let code = unsafe Int32(code(row.codes, at, group, j))
                    unsafe values[out + group * 16 + j] = step * Float(code - 32)
                }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 210, out = block * 256
            unsafe parts.superScales[block] = row.codes.u16(at + 208)
            for group in 0..<16 {
                unsafe parts.scales[block * 16 + group] = UInt32(bitPattern: Int32(row.codes.signed(at + 192 + group)))
                for j in 0..<16 { unsafe parts.codes[out + group * 16 + j] = code(row.codes, at, group, j) }
            }
        }
    }

    /// Value j of a group; a quarter is two groups.
    @inline(__always)
    private func code(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int, _ j: Int) -> UInt8 {
        let half = group >> 3, quarter = group >> 1 & 3, place = (group & 1) * 16 + j
        let low = unsafe bytes.byte(at + half * 64 + (quarter & 1) * 32 + place) >> (UInt8(quarter >> 1) * 4) & 15
        return unsafe low | (bytes.byte(at + 128 + half * 32 + place) >> (UInt8(quarter) * 2) & 3) << 4
    }
}
