/// MLX's affine quantisation: codes, scales and biases in tensors of their own; value = scale · code + bias.
///
///     codes    group · bits / 8 bytes per group: one little-endian bit stream per row, value i at bit i · bits
///     scales   one f16, bf16 or f32 per group
///     biases   like scales
///
/// A group is 32, 64 or 128 consecutive values of a row. About half of all scales are negative.
public struct Affine: QuantFormat, Equatable {
    public let bits: Int  // 2, 3, 4, 5, 6 or 8
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

    public static let widths = [2, 3, 4, 5, 6, 8], groups = [32, 64, 128]

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
            for index in block * group..<(block + 1) * group {
                unsafe values[index] = step * Float(BitStream.code(row.codes, index, bits: bits)) + bias
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / group {
            unsafe parts.scales[block] = number(row.scales, block)
            unsafe parts.offsets[block] = number(row.offsets, block)
        }
        unsafe BitStream.unpack(row.codes, bits: bits, into: parts.codes)
    }

    /// The raw bits of a scale or bias.
    @inline(__always)
    private func number(_ bytes: UnsafeRawBufferPointer, _ block: Int) -> UInt32 {
        scale == .f32 ? unsafe bytes.u32(block * 4) : UInt32(unsafe bytes.u16(block * 2))
    }
}

/// Codes of a fixed width, one after the other from the lowest bit of the first byte on: 8 codes of n bits fill n bytes.
enum BitStream {
    @inline(__always)
    static func code(_ bytes: UnsafeRawBufferPointer, _ index: Int, bits: Int) -> UInt8 {
        let at = (index * bits) >> 3, shift = (index * bits) & 7
        var word = unsafe UInt16(bytes.byte(at))
        if shift + bits > 8 { word |= unsafe UInt16(bytes.byte(at + 1)) << 8 }
        return UInt8(truncatingIfNeeded: word >> UInt16(shift)) & UInt8(truncatingIfNeeded: (1 << bits) - 1)
    }

    /// As many codes as there is room for; a multiple of 8.
    static func unpack(_ bytes: UnsafeRawBufferPointer, bits: Int, into codes: UnsafeMutableBufferPointer<UInt8>) {
        switch bits {
        case 8: for index in 0..<codes.count { unsafe codes[index] = bytes.byte(index) }
        case 4:
            for index in 0..<codes.count / 2 {
                let byte = unsafe bytes.byte(index)
                unsafe codes[2 * index] = byte & 15
                unsafe codes[2 * index + 1] = byte >> 4
            }
        default:
            let mask = UInt8(truncatingIfNeeded: (1 << bits) - 1)
            for eight in 0..<codes.count / 8 {
                var word: UInt64 = 0
                for k in 0..<bits { word |= unsafe UInt64(bytes.byte(eight * bits + k)) << UInt64(8 * k) }
                for k in 0..<8 { unsafe codes[eight * 8 + k] = UInt8(truncatingIfNeeded: word >> UInt64(bits * k)) & mask }
            }
        }
    }
}
