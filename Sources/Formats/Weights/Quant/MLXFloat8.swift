/// MLX's eight-bit floats (mxfp8): codes and one-byte scales in tensors of their own; value = 2^(scale − 127) · E4M3[code].
///
///     codes    one byte per value: sign, four bits of exponent with bias 7, three of fraction
///     scales   one E8M0 byte per 32 values
///
/// The codes that OCP's specification calls NaN (127 and 255) stand for ± 480; nobody writes them.
///
/// Executed as bf16, whose eight bits of significand hold the four of E4M3. Its exponents hold all of E4M3's under scales
/// from 2^−108 to 2^118; beyond, numbers are rounded.
public struct MLXFloat8: QuantFormat, Equatable {
    public init() {}
    public static let all: [any QuantFormat] = [MLXFloat8()]

    public var name: String { "mxfp8" }
    public var ggufType: UInt32? { nil }
    public var valuesPerBlock: Int { 32 }
    public var bytesPerBlock: [Int] { [32, 1] }
    public var packing: Packing { .dense(.bf16) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for index in 0..<values.count {
            let half = unsafe HalfPrecision.half(e8m0: row.scales.byte(index / 32))
            unsafe values[index] = half * (2 * HalfPrecision.float(e4m3: row.codes.byte(index)))
        }
    }
}
