/// One stored quantisation: how a row of weights lies in a file, what it means, and which executed form holds it exactly.
///
/// A conformance is one small value type in one file of `Quant/`: a drawing of the block, `decode`, `unpack`.
/// GGUF keeps scales inside the block (one plane), MLX in tensors of their own (codes, scales, biases); both are one thing here.
public protocol QuantFormat: Sendable {
    /// The public spelling: `Q4_K`, `F16`, `affine 4-bit group 64 (f16)`.
    var name: String { get }
    /// ggml's type number, where it has one.
    var ggufType: UInt32? { get }
    /// Values that share one block; a row holds a whole number of blocks.
    var valuesPerBlock: Int { get }
    /// Bytes of one block in each plane, in the order of `StoredTensor.planes`.
    var bytesPerBlock: [Int] { get }
    /// The executed form that holds exactly the same real numbers.
    var packing: Packing { get }
    /// Whether rows have bytes in common, as in matrices stored by columns: `decode` and `unpack` then get whole planes and
    /// the row's number, not the bytes of one row.
    var sharesBytes: Bool { get }
    /// Bytes of each plane of a matrix; nil where it cannot have this shape.
    func planeBytes(rows: Int, columns: Int) -> [Int]?

    /// Decodes one row: the definition of the format, plain and obviously right.
    ///
    /// Arithmetic is IEEE f32 in the order of the format's definition, so that it agrees bit for bit with the reference.
    /// - Parameters:
    ///   - row: the row's bytes in each plane, `columns / valuesPerBlock × bytesPerBlock[plane]` long, at any alignment.
    ///   - values: `columns` floats.
    func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>)

    /// Splits one row of a quantised format into codes and scales for the packer. Dense formats never get this call.
    func unpack(_ row: RowBytes, into parts: UnpackedRow)

    /// Writes one row of a dense format as the numbers of its packing, little-endian. Quantised formats never get this call.
    func unpack(_ row: RowBytes, into numbers: UnsafeMutableRawBufferPointer)
}

/// The bytes of one row in each plane. Never longer than three planes; unused ones are empty.
@unsafe public struct RowBytes {
    public var codes: UnsafeRawBufferPointer  // or whole blocks, or dense values
    public var scales: UnsafeRawBufferPointer
    public var offsets: UnsafeRawBufferPointer
    /// Which row of the matrix; of use where rows share bytes.
    public var row: Int

    public init(
        codes: UnsafeRawBufferPointer,
        scales: UnsafeRawBufferPointer = unsafe UnsafeRawBufferPointer(start: nil, count: 0),
        offsets: UnsafeRawBufferPointer = unsafe UnsafeRawBufferPointer(start: nil, count: 0),
        row: Int = 0
    ) {
        unsafe self.codes = codes
        unsafe self.scales = scales
        unsafe self.offsets = offsets
        unsafe self.row = row
    }
}

/// Where `unpack` writes one row, in the terms of its ``Packing``:
///
///     weight = scale · (codebook[code] − zero) + offset
///
/// Two-level: scale = (factor · superScale) · scale, offset = −(factor · superOffset) · offset (ggml's K formats).
@unsafe public struct UnpackedRow {
    public var codes: UnsafeMutableBufferPointer<UInt8>  // columns, one code each
    /// columns / group. Flat: raw bits of f16, bf16 (low 16 bits), f32, or a byte (low 8 bits). Two-level: a signed byte,
    /// sign-extended to 32 bits.
    public var scales: UnsafeMutableBufferPointer<UInt32>
    public var offsets: UnsafeMutableBufferPointer<UInt32>  // like scales; empty without offset
    public var superScales: UnsafeMutableBufferPointer<UInt16>  // columns / 256, f16 bits; empty unless two-level
    public var superOffsets: UnsafeMutableBufferPointer<UInt16>

    public init(
        codes: UnsafeMutableBufferPointer<UInt8>, scales: UnsafeMutableBufferPointer<UInt32>,
        offsets: UnsafeMutableBufferPointer<UInt32>, superScales: UnsafeMutableBufferPointer<UInt16>,
        superOffsets: UnsafeMutableBufferPointer<UInt16>
    ) {
        unsafe self.codes = codes
        unsafe self.scales = scales
        unsafe self.offsets = offsets
        unsafe self.superScales = superScales
        unsafe self.superOffsets = superOffsets
    }
}

/// Which executed form holds a stored format exactly.
public enum Packing: Sendable, Equatable {
    /// Kept as numbers.
    case dense(Number)
    /// Codes with group scales. `factor` multiplies scales that are bytes or two-level, once for the whole matrix.
    case codes(bits: Int, group: Int, scale: Scale, offset: Bool, zero: Int, codebook: [UInt8] = [], factor: Float = 1)

    public enum Number: String, Sendable { case f32, f16, bf16 }

    public enum Scale: Sendable, Equatable {
        case flat(Number)
        /// A small integer per group times an f16 per 256 columns.
        case twoLevel
        /// One byte per group: 2^(byte − 127), the E8M0 of OCP's MX formats.
        case e8m0
        /// One byte per group: sign, four bits of exponent, three of fraction; without infinities and NaN.
        case e4m3
    }
}
