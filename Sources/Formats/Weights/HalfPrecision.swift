/// Half-precision numbers as 32-bit ones, by their bits.
public enum HalfPrecision {
    /// IEEE binary16, exactly; a NaN keeps its payload.
    @inlinable
    public static func float(f16 bits: UInt16) -> Float {
        let sign = UInt32(bits & 0x8000) << 16
        let magnitude = UInt32(bits & 0x7FFF)
        if magnitude >= 0x7C00 {  // infinity and NaN
            return Float(bitPattern: sign | 0x7F80_0000 | (magnitude & 0x3FF) << 13)
        }
        if magnitude >= 0x0400 {  // normal: the exponent's bias grows from 15 to 127
            return Float(bitPattern: sign | (magnitude << 13) &+ 0x3800_0000)
        }
        // subnormal: a multiple of 2^-24
        return Float(bitPattern: sign | (Float(magnitude) * 0x1p-24).bitPattern)
    }

    /// The upper half of a binary32.
    @inlinable
    public static func float(bf16 bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

    /// A number as a packing's scale has it.
    @inlinable
    public static func float(_ bits: UInt32, as number: Packing.Number) -> Float {
        switch number {
        case .f32: Float(bitPattern: bits)
        case .f16: float(f16: UInt16(truncatingIfNeeded: bits))
        case .bf16: float(bf16: UInt16(truncatingIfNeeded: bits))
        }
    }

    /// Number `index` of an array.
    static func float(_ bytes: UnsafeRawBufferPointer, _ index: Int, as number: Packing.Number) -> Float {
        number == .f32 ? unsafe Float(bitPattern: bytes.u32(4 * index)) : unsafe float(UInt32(bytes.u16(2 * index)), as: number)
    }

    /// E4M3 without infinities and NaN: sign, four bits of exponent with bias 7, three of fraction; the largest is 480.
    ///
    /// The magnitude's bits are those of a binary16 that is 2^8 times smaller.
    @inlinable
    public static func float(e4m3 bits: UInt8) -> Float {
        let magnitude = float(f16: UInt16(bits & 0x7F) << 7) * 256
        return bits & 0x80 == 0 ? magnitude : -magnitude
    }

    /// 2^(bits − 128), half of what E8M0 says: finite for every byte.
    @inlinable
    public static func half(e8m0 bits: UInt8) -> Float {
        Float(bitPattern: bits < 2 ? 0x0020_0000 << UInt32(bits) : UInt32(bits - 1) << 23)
    }
}
