/// 256 ternary values that share one half-precision scale, five to a byte: value = scale · (digit − 1).
///
///     | 0..48 five digits each | 48..52 four digits each | 52..54 scale f16 |
///
/// A byte is its digits as a fraction in base 3, times 256, rounded up: digit n is the whole part of 3 · (3^n · byte mod 256) / 256.
/// Digit n of byte j belongs to value 32 n + j (j < 32), 160 + 16 n + (j − 32) (j < 48), 240 + 4 n + (j − 48).
public struct TQ1_0: QuantFormat, Equatable {
    public init() {}
    public var name: String { "TQ1_0" }
    public var ggufType: UInt32? { 34 }
    public var valuesPerBlock: Int { 256 }
    public var bytesPerBlock: [Int] { [54] }
    public var packing: Packing {
        .codes(bits: 2, group: 256, scale: .flat(.f16), offset: false, zero: 1)
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / 256 {
            let scale = unsafe row.codes.f16(block * 54 + 52)
            for j in 0..<256 { unsafe values[block * 256 + j] = scale * (Float(digit(row.codes, block * 54, j)) - 1) }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / 256 {
            unsafe parts.scales[block] = UInt32(row.codes.u16(block * 54 + 52))
            for j in 0..<256 { unsafe parts.codes[block * 256 + j] = digit(row.codes, block * 54, j) }
        }
    }

    @inline(__always)
    private func digit(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ j: Int) -> UInt8 {
        let (byte, n) =
            j < 160 ? (j & 31, j >> 5) : j < 240 ? (32 + ((j - 160) & 15), (j - 160) >> 4) : (48 + ((j - 240) & 3), (j - 240) >> 2)
        let shifted = unsafe bytes.byte(at + byte) &* Self.powers[n]
        return UInt8(truncatingIfNeeded: (UInt16(shifted) * 3) >> 8)
    }

    private static let powers: [UInt8] = [1, 3, 9, 27, 81]
}
