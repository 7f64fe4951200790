/// AWQ's four-bit codes, stored by columns: value = scale · (code − zero).
///
///     codes    [columns, rows / 8] u32: eight rows to a word, row r of them at bit 4 · (0, 4, 1, 5, 2, 6, 3, 7)[r]
///     scales   [columns / group, rows] f16, bf16 or f32
///     zeros    [columns / group, rows / 8] u32, like codes
///
/// Executed with the offset − zero · scale in f32, which holds it exactly.
public struct AWQ: QuantFormat, Equatable {
    public let group: Int  // 32, 64 or 128
    public let scale: Packing.Number

    /// Nil where LMX does not read this group.
    public init?(group: Int, scale: Packing.Number = .f16) {
        guard Affine.groups.contains(group) else { return nil }
        self.group = group
        self.scale = scale
    }

    public static let all: [any QuantFormat] = Affine.groups.compactMap { AWQ(group: $0) }

    public var name: String { "AWQ group \(group) (\(scale.rawValue))" }
    public var ggufType: UInt32? { nil }
    public var valuesPerBlock: Int { group }
    public var bytesPerBlock: [Int] { [group / 2, scale.byteCount, 0] }  // zeros: half a byte
    public var packing: Packing { .codes(bits: 4, group: group, scale: .flat(.f32), offset: true, zero: 0) }
    public var sharesBytes: Bool { true }

    public func planeBytes(rows: Int, columns: Int) -> [Int]? {
        guard rows >= 0, columns >= 0, rows % 8 == 0, columns % group == 0, let codes = CheckedSize.product([columns, rows / 2]),
            let scales = CheckedSize.product([columns / group, rows, scale.byteCount])
        else { return nil }
        return [codes, scales, columns / group * rows / 2]
    }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let place = unsafe ColumnPlace(row, columns: values.count)
        for block in 0..<values.count / group {
            let step = unsafe place.scale(row.scales, block, scale), zero = unsafe Float(place.code(row.offsets, block))
            for index in block * group..<(block + 1) * group {
                unsafe values[index] = step * (Float(place.code(row.codes, index)) - zero)
            }
        }
    }

    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        let columns = unsafe parts.codes.count
        let place = unsafe ColumnPlace(row, columns: columns)
        for block in 0..<columns / group {
            let step = unsafe place.scale(row.scales, block, scale), zero = unsafe Float(place.code(row.offsets, block))
            unsafe parts.scales[block] = step.bitPattern
            unsafe parts.offsets[block] = (-zero * step).bitPattern
        }
        for index in 0..<columns { unsafe parts.codes[index] = place.code(row.codes, index) }
    }

    /// Where one row of the matrix lies in planes that run by columns.
    private struct ColumnPlace {
        let row: Int, rows: Int, shift: UInt32

        init(_ row: RowBytes, columns: Int) {
            unsafe self.row = row.row
            rows = columns == 0 ? 0 : unsafe row.codes.count / columns * 2
            let inWord = unsafe UInt32(row.row & 7)
            shift = 4 * ((inWord >> 1) + (inWord & 1) * 4)
        }

        @inline(__always)
        func code(_ bytes: UnsafeRawBufferPointer, _ line: Int) -> UInt8 {
            UInt8(truncatingIfNeeded: unsafe bytes.u32(line * rows / 2 + row / 8 * 4) >> shift & 15)
        }
        @inline(__always)
        func scale(_ bytes: UnsafeRawBufferPointer, _ line: Int, _ number: Packing.Number) -> Float {
            unsafe HalfPrecision.float(bytes, line * rows + row, as: number)
        }
    }
}
