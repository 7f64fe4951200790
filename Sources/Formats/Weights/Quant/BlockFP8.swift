/// Eight-bit floats with a scale per rectangle of the matrix: value = scale · E4M3[code].
///
///     codes    [rows, columns] bytes: sign, four bits of exponent with bias 7, three of fraction
///     scales   [rows / block, columns / block] f32 or bf16, rounded up: `weight_scale_inv`
///
/// The codes that OCP's specification calls NaN (127 and 255) stand for ± 480; nobody writes them.
public struct BlockFP8: QuantFormat, Equatable {
    public let blockRows: Int, blockColumns: Int
    public let scale: Packing.Number

    public init(blockRows: Int = 128, blockColumns: Int = 128, scale: Packing.Number = .f32) {
        self.blockRows = max(1, blockRows)
        self.blockColumns = max(1, blockColumns)
        self.scale = scale
    }

    public static let all: [any QuantFormat] = [BlockFP8()]

    public var name: String { "FP8 block \(blockRows) × \(blockColumns) (\(scale.rawValue))" }
    public var ggufType: UInt32? { nil }
    public var valuesPerBlock: Int { 1 }
    public var bytesPerBlock: [Int] { [1, 0] }  // scales: a fraction of a byte
    public var packing: Packing { .dense(.f32) }
    public var sharesBytes: Bool { true }

    public func planeBytes(rows: Int, columns: Int) -> [Int]? {
        guard rows >= 0, columns >= 0, let codes = CheckedSize.product([rows, columns]) else { return nil }
        return [codes, Self.blocks(rows, blockRows) * Self.blocks(columns, blockColumns) * scale.byteCount]
    }

    /// Blocks that cover a length.
    public static func blocks(_ length: Int, _ block: Int) -> Int { length / block + (length % block > 0 ? 1 : 0) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let columns = values.count
        let line = unsafe row.row / blockRows * Self.blocks(columns, blockColumns)
        for index in 0..<columns {
            let step = unsafe HalfPrecision.float(row.scales, line + index / blockColumns, as: scale)
            unsafe values[index] = step * HalfPrecision.float(e4m3: row.codes.byte(row.row * columns + index))
        }
    }
}
