/// A stored format whose rows can be put together from codes and scales: the inverse of `unpack`.
public protocol PackableFormat: QuantFormat {
    /// Writes one row. What `unpack` gives, `pack` makes the same bytes of.
    func pack(_ parts: UnpackedRow, into row: MutableRowBytes)
}

/// A stored format that numbers which are not its own can be rounded to.
public protocol WritableFormat: PackableFormat {
    /// Chooses codes and scales for one row of numbers.
    /// - Parameters:
    ///   - importance: one weight per value for its squared error, or empty for all alike. Q8_0 and MLX's formats, whose rounding
    ///     is fixed by their reference, ignore it.
    ///   - parts: as for `unpack`.
    func round(_ values: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>, into parts: UnpackedRow)
}

/// Where one row is written, plane by plane; unused planes are empty.
@unsafe public struct MutableRowBytes {
    public var codes: UnsafeMutableRawBufferPointer  // or whole blocks
    public var scales: UnsafeMutableRawBufferPointer
    public var offsets: UnsafeMutableRawBufferPointer

    public init(
        codes: UnsafeMutableRawBufferPointer,
        scales: UnsafeMutableRawBufferPointer = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0),
        offsets: UnsafeMutableRawBufferPointer = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
    ) {
        unsafe self.codes = codes
        unsafe self.scales = scales
        unsafe self.offsets = offsets
    }
}

extension UnsafeMutableRawBufferPointer {
    @inline(__always)
    func put(_ value: UInt16, at offset: Int) { unsafe storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt16.self) }
    @inline(__always)
    func put(_ value: UInt32, at offset: Int) { unsafe storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self) }
    @inline(__always)
    func put(_ value: UInt8, at offset: Int) { unsafe storeBytes(of: value, toByteOffset: offset, as: UInt8.self) }
}

extension HalfPrecision {
    /// The nearest number of that type, ties to even, as its bits.
    public static func nearest(_ value: Float, as number: Packing.Number) -> UInt32 {
        switch number {
        case .f32: return value.bitPattern
        case .f16: return UInt32(Float16(value).bitPattern)
        case .bf16:
            if value.isNaN { return value.bitPattern >> 16 | 0x40 }
            return (value.bitPattern + 0x7FFF + (value.bitPattern >> 16 & 1)) >> 16
        }
    }

    /// Those bits of f16.
    @inline(__always)
    static func f16(_ value: Float) -> UInt16 { Float16(value).bitPattern }
}

/// Whole numbers from floats without a trap: not-a-number becomes the lower bound.
enum Code {
    /// The fraction is cut off.
    @inline(__always)
    static func truncated(_ value: Float, atMost top: Float) -> UInt8 { value >= 0 ? UInt8(value < top ? value : top) : 0 }

    /// The nearest whole number, ties to even, between bounds of magnitude below 2^22.
    @inline(__always)
    static func nearest(_ value: Float, from bottom: Float, to top: Float) -> Float {
        let bounded = value >= bottom ? (value < top ? value : top) : bottom
        return (bounded + 12_582_912) - 12_582_912  // 1.5 · 2^23: the sum keeps no fraction
    }
}
