/// 256 three-bit codes in 16 groups of 16 with signed six-bit scales that are multiples of one half-precision number:
/// value = (d · (scale − 32)) · (code − 4).
///
///     | 0..32 third bits | 32..96 low two bits | 96..108 scales, 6 bits each | 108..110 d f16 |
///
/// Low bits: 32 bytes hold 128 values, 32 in each pair of bits, lowest first. Third bits: bit k of byte j belongs to
/// value 32 k + j. Scales: the low four bits of scale k are in byte k, of scale k + 8 in its high half (k < 8); the top two
/// of scale k are in byte 8 + k % 4 from bit 2 (k / 4) up.
public struct Q3_K: QuantFormat, Equatable {
    public init() {}
    public var name: String { "Q3_K" }
    public var ggufType: UInt32? { 11 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [110] }
    public var packing: Packing { .codes(bits: 3, group: 16, scale: .twoLevel, offset: false, zero: 4) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 256 {
            let at = block * 110, out = block * 256
            let d = unsafe row.codes.f16(at + 108)
            for group in 0..<16 {
                let step = unsafe d * Float(scale(row.codes, at + 96, group))
                for j in 0..<16 {
                    unsafe values[out + group * 16 + j] = step * Float(Int32(code(row.codes, at, group, j)) - 4)
                }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 110, out = block * 256
            unsafe parts.superScales[block] = row.codes.u16(at + 108)
            for group in 0..<16 {
                unsafe parts.scales[block * 16 + group] = UInt32(bitPattern: scale(row.codes, at + 96, group))
                for j in 0..<16 { unsafe parts.codes[out + group * 16 + j] = code(row.codes, at, group, j) }
            }
        }
    }

    @inline(__always)
    private func scale(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> Int32 {
        let low = unsafe bytes.byte(at + (group & 7)) >> (UInt8(group >> 3) * 4) & 15
        let top = unsafe bytes.byte(at + 8 + (group & 3)) >> (UInt8(group >> 2) * 2) & 3
        return Int32(low | top << 4) - 32
    }

    /// Value j of a group: eight groups to a half, two to a pair of bits.
    @inline(__always)
    private func code(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int, _ j: Int) -> UInt8 {
        let place = (group & 1) * 16 + j
        let low = unsafe bytes.byte(at + 32 + (group >> 3) * 32 + place) >> (UInt8(group >> 1 & 3) * 2) & 3
        return unsafe low | (bytes.byte(at + place) >> UInt8(group >> 1) & 1) << 2
    }
}
