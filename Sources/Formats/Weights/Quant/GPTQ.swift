/// GPTQ's codes of 2, 4 or 8 bits, stored by columns: value = scale · (code − zero).
///
///     codes    [columns · bits / 32, rows] u32: 32 / bits columns to a word, the first lowest
///     scales   [columns / group, rows] f16, bf16 or f32
///     zeros    [columns / group, rows · bits / 32] u32: 32 / bits rows to a word, the first lowest; the first version of the
///              format stores zero − 1
///
/// Executed with a constant zero where all are 2^(bits − 1), else with the offset − zero · scale in f32, which holds it
/// exactly.
public struct GPTQ: QuantFormat, Equatable {
    public enum Zeros: Sendable, Equatable {
        case constant  // all 2^(bits − 1)
        case stored
        case storedLessOne
    }
    public let bits: Int  // 2, 4 or 8
    public let group: Int  // 32, 64 or 128
    public let zeros: Zeros
    public let scale: Packing.Number

    /// Nil where LMX does not read this width or group.
    public init?(bits: Int, group: Int, zeros: Zeros, scale: Packing.Number = .f16) {
        guard [2, 4, 8].contains(bits), Affine.groups.contains(group) else { return nil }
        self.bits = bits
        self.group = group
        self.zeros = zeros
        self.scale = scale
    }

    public static let all: [any QuantFormat] = [2, 4, 8].flatMap { bits in
        Affine.groups.flatMap { group in
            [Zeros.constant, .stored, .storedLessOne].compactMap { GPTQ(bits: bits, group: group, zeros: $0) }
        }
    }

    public var name: String {
        let kind = zeros == .constant ? "symmetric, " : zeros == .stored ? "version 2, " : ""
        return "GPTQ \(bits)-bit \(kind)group \(group) (\(scale.rawValue))"
    }
    public var ggufType: UInt32? { nil }
    public var valuesPerBlock: Int { group }
    public var bytesPerBlock: [Int] { [group * bits / 8, scale.byteCount, 0] }  // zeros: `bits` bits
    public var packing: Packing {
        zeros == .constant
            ? .codes(bits: bits, group: group, scale: .flat(scale), offset: false, zero: 1 << (bits - 1))
            : .codes(bits: bits, group: group, scale: .flat(.f32), offset: true, zero: 0)
    }
    public var sharesBytes: Bool { true }

    public func planeBytes(rows: Int, columns: Int) -> [Int]? {
        guard rows >= 0, columns >= 0, rows * bits % 32 == 0, columns % group == 0,
            let codes = CheckedSize.product([columns * bits / 8, rows]),
            let scales = CheckedSize.product([columns / group, rows, scale.byteCount])
        else { return nil }
        return [codes, scales, columns / group * rows * bits / 8]
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let rows = unsafe rows(row, columns: values.count)
        for block in 0..<values.count / group {
            let step = unsafe HalfPrecision.float(row.scales, block * rows + row.row, as: scale)
            let zero = unsafe zero(row, block, rows)
            for index in block * group..<(block + 1) * group {
                unsafe values[index] = step * (Float(code(row, index, rows)) - zero)
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        let columns = unsafe parts.codes.count, rows = unsafe rows(row, columns: columns)
        for block in 0..<columns / group {
            if zeros == .constant {
                let at = unsafe block * rows + row.row
                unsafe parts.scales[block] = scale == .f32 ? row.scales.u32(at * 4) : UInt32(row.scales.u16(at * 2))
            } else {
                let step = unsafe HalfPrecision.float(row.scales, block * rows + row.row, as: scale)
                unsafe parts.scales[block] = step.bitPattern
                unsafe parts.offsets[block] = (-zero(row, block, rows) * step).bitPattern
            }
        }
        for index in 0..<columns { unsafe parts.codes[index] = code(row, index, rows) }
    }

    private func rows(_ row: RowBytes, columns: Int) -> Int { columns == 0 ? 0 : unsafe row.codes.count / (columns * bits / 8) }

    @inline(__always)
    private func code(_ row: RowBytes, _ column: Int, _ rows: Int) -> UInt8 {
        let perWord = 32 / bits
        let word = unsafe row.codes.u32((column / perWord * rows + row.row) * 4)
        return UInt8(truncatingIfNeeded: word >> UInt32(column % perWord * bits)) & UInt8(truncatingIfNeeded: (1 << bits) - 1)
    }

    @inline(__always)
    private func zero(_ row: RowBytes, _ block: Int, _ rows: Int) -> Float {
        guard zeros != .constant else { return Float(1 << (bits - 1)) }
        let perWord = 32 / bits
        let word = unsafe row.offsets.u32(block * (rows / perWord * 4) + row.row / perWord * 4)
        let stored = unsafe word >> UInt32(row.row % perWord * bits) & UInt32((1 << bits) - 1)
        return Float(stored + (zeros == .storedLessOne ? 1 : 0))
    }
}
