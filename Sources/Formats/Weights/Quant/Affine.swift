/// MLX's affine quantisation: codes, scales and biases in tensors of their own; value = scale · code + bias.
///
///     codes    group · bits / 8 bytes per group: one little-endian bit stream per row, value i at bit i · bits
///     scales   one f16, bf16 or f32 per group
///     biases   like scales
///
/// A group is 32, 64 or 128 consecutive values of a row. About half of all scales are negative.
public struct Affine: QuantFormat, Equatable {
    public let bits: Int  // 4 or 8
    public let group: Int  // 32, 64 or 128
    public let scale: Packing.Number

    private init(bits: Int, group: Int, scale: Packing.Number) {
        self.bits = bits
        self.group = group
        self.scale = scale
    }

    /// Nil where LMX does not read this width or group.
    public static func make(bits: Int, group: Int, scale: Packing.Number) -> Affine? {
        widths.contains(bits) && groups.contains(group) ? Affine(bits: bits, group: group, scale: scale) : nil
    }

    public static let widths = [4, 8], groups = [32, 64, 128]

    public static let all: [any QuantFormat] = widths.flatMap { bits in
        groups.flatMap { group in
            [Packing.Number.f16, .bf16, .f32].map { Affine(bits: bits, group: group, scale: $0) as any QuantFormat }
        }
    }

    public var name: String { "affine \(bits)-bit group \(group) (\(scale.rawValue))" }
    public var ggufType: UInt32? { nil }
    public var valuesPerBlock: Int { group }
    public var bytesPerBlock: [Int] { [group * bits / 8, scale.byteCount, scale.byteCount] }
    public var packing: Packing { .codes(bits: bits, group: group, scale: .flat(scale), offset: true, zero: 0) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / group {
            let step = unsafe HalfPrecision.float(number(row.scales, block), as: scale)
            let bias = unsafe HalfPrecision.float(number(row.offsets, block), as: scale)
            let out = block * group
            if bits == 8 {
                for j in 0..<group { unsafe values[out + j] = step * Float(row.codes.byte(out + j)) + bias }
            } else {
                for j in 0..<group / 2 {
                    let byte = unsafe row.codes.byte(out / 2 + j)
                    unsafe values[out + 2 * j] = step * Float(byte & 15) + bias
                    unsafe values[out + 2 * j + 1] = step * Float(byte >> 4) + bias
                }
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / group {
            unsafe parts.scales[block] = number(row.scales, block)
            unsafe parts.offsets[block] = number(row.offsets, block)
        }
        if bits == 8 {
            for index in unsafe 0..<parts.codes.count { unsafe parts.codes[index] = row.codes.byte(index) }
        } else {
            for index in unsafe 0..<parts.codes.count / 2 {
                let byte = unsafe row.codes.byte(index)
                unsafe parts.codes[2 * index] = byte & 15
                unsafe parts.codes[2 * index + 1] = byte >> 4
            }
        }
    }

    /// The raw bits of a scale or bias.
    @inline(__always)
    private func number(_ bytes: UnsafeRawBufferPointer, _ block: Int) -> UInt32 {
        scale == .f32 ? unsafe bytes.u32(block * 4) : UInt32(unsafe bytes.u16(block * 2))
    }
}
