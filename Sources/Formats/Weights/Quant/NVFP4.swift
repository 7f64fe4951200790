/// 64 four-bit floats in 4 groups of 16, each with a small float for its scale: value = tensorScale · scale · E2M1[code].
///
///     | 0..4 scales E4M3 | 4..36 codes: 8 bytes per group, byte j holds value j low, value j + 8 high |
///
/// E2M1: a sign bit, then 0, 0.5, 1, 1.5, 2, 3, 4, 6. A scale's sign bit counts for nothing, and the byte 0x7F stands for 0.
///
/// As codes they index twice their values, with half the scale.
public struct NVFP4: QuantFormat, Equatable {
    /// Second level: one f32 for the whole tensor, which the file keeps in a tensor of its own.
    public let tensorScale: Float
    public init(tensorScale: Float = 1) { self.tensorScale = tensorScale }

    public var name: String { "NVFP4" }
    public var ggufType: UInt32? { 40 }
    public var valuesPerBlock: Int { 64 }
    public var bytesPerBlock: [Int] { [36] }
    public var packing: Packing {
        .codes(bits: 4, group: 16, scale: .e4m3, offset: false, zero: 12, codebook: E2M1.codebook, factor: 0.5 * tensorScale)
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for group in 0..<values.count / 16 {
            let at = group / 4 * 36
            let half = unsafe 0.5 * tensorScale * HalfPrecision.float(e4m3: scale(row.codes.byte(at + group % 4)))
            for j in 0..<8 {
                let byte = unsafe row.codes.byte(at + 4 + group % 4 * 8 + j)
                unsafe values[group * 16 + j] = half * E2M1.twice(byte & 15)
                unsafe values[group * 16 + j + 8] = half * E2M1.twice(byte >> 4)
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for group in unsafe 0..<parts.codes.count / 16 {
            let at = group / 4 * 36
            unsafe parts.scales[group] = UInt32(scale(row.codes.byte(at + group % 4)))
            for j in 0..<8 {
                let byte = unsafe row.codes.byte(at + 4 + group % 4 * 8 + j)
                unsafe parts.codes[group * 16 + j] = byte & 15
                unsafe parts.codes[group * 16 + j + 8] = byte >> 4
            }
        }
    }

    /// The scale as a plain E4M3.
    @inline(__always)
    private func scale(_ byte: UInt8) -> UInt8 { byte == 0x7F ? 0 : byte & 0x7F }
}
