/// One tensor as a file has it: name, shape, stored format, and where its bytes lie.
public struct StoredTensor: Sendable {
    /// One run of bytes in one of the source's files.
    public struct Plane: Sendable, Equatable {
        public var file: Int  // index into the source's storages
        public var range: Range<Int>  // checked against the file's size by the adapter
        public init(file: Int, range: Range<Int>) {
            self.file = file
            self.range = range
        }
    }

    public let name: TensorName
    /// Outermost first, in *values* (not in packed words): `[rows, columns]`; a vector has one dimension.
    public let shape: [Int]
    public let format: any QuantFormat
    /// GGUF and dense tensors have one plane; MLX affine has codes, scales, biases, in this order.
    public let planes: [Plane]

    public init(name: TensorName, shape: [Int], format: any QuantFormat, planes: [Plane]) {
        self.name = name
        self.shape = shape
        self.format = format
        self.planes = planes
    }

    /// Values in a row: the innermost dimension, along which all quantisation runs.
    public var columns: Int { shape.last ?? 1 }
    /// Rows: the product of the other dimensions. The adapter has checked that it can't overflow.
    public var rows: Int { shape.dropLast().reduce(1, *) }
    public var byteCount: Int { planes.reduce(0) { $0 + $1.range.count } }
    /// Bits of file per weight.
    public var bitsPerWeight: Double { 8 * Double(byteCount) / Double(Swift.max(rows * columns, 1)) }
}
