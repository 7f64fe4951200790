/// MLX's four-bit floats: codes and one-byte scales in tensors of their own; value = tensorScale · scale · E2M1[code].
///
///     codes    group / 2 bytes per group: value i of the row in bits 4 i ..< 4 i + 4
///     scales   one byte per group: mxfp4 E8M0 in groups of 32, nvfp4 E4M3 in groups of 16
///
/// E2M1: a sign bit, then 0, 0.5, 1, 1.5, 2, 3, 4, 6. The bytes that OCP's specification calls NaN (E8M0 255, E4M3 127 and
/// 255) stand for the next numbers in line; nobody writes them.
///
/// As codes they index twice their values, with half the scale.
public struct MLXFloat4: QuantFormat, Equatable {
    public enum Mode: String, Sendable, CaseIterable { case mxfp4, nvfp4 }
    public let mode: Mode
    /// Second level: one f32 for the whole tensor.
    public let tensorScale: Float

    public init(_ mode: Mode, tensorScale: Float = 1) {
        self.mode = mode
        self.tensorScale = tensorScale
    }

    public static let all: [any QuantFormat] = Mode.allCases.map { MLXFloat4($0) }

    public var group: Int { mode == .mxfp4 ? 32 : 16 }
    public var name: String { mode.rawValue }
    public var ggufType: UInt32? { nil }
    public var valuesPerBlock: Int { group }
    public var bytesPerBlock: [Int] { [group / 2, 1] }
    public var packing: Packing {
        .codes(
            bits: 4, group: group, scale: mode == .mxfp4 ? .e8m0 : .e4m3, offset: false, zero: 12, codebook: E2M1.codebook,
            factor: 0.5 * tensorScale)
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        for block in 0..<values.count / group {
            let byte = unsafe row.scales.byte(block)
            let half =
                mode == .mxfp4 ? tensorScale * HalfPrecision.half(e8m0: byte) : 0.5 * tensorScale * HalfPrecision.float(e4m3: byte)
            for index in block * group..<(block + 1) * group {
                unsafe values[index] = half * E2M1.twice(BitStream.code(row.codes, index, bits: 4))
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        for block in unsafe 0..<parts.codes.count / group { unsafe parts.scales[block] = UInt32(row.scales.byte(block)) }
        unsafe BitStream.unpack(row.codes, bits: 4, into: parts.codes)
    }
}
