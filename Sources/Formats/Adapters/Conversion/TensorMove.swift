internal import Weights

/// One tensor's way from a source into another form: its format there, and the order of its rows.
struct TensorMove {
    enum Way {
        /// The stored bytes as they are.
        case bytes
        /// The stored codes with their scales re-expressed.
        case codes(CodeMove)
        /// Numbers, rounded to the target's format.
        case numbers
    }

    /// Where the rows of a head come from: its rotation's pairs lie side by side in GGUF, in the two halves of a head elsewhere.
    enum RowOrder: Equatable {
        case same
        case toHalves(head: Int)
        case toPairs(head: Int)

        /// The source's row that becomes row `row`.
        func source(of row: Int) -> Int {
            switch self {
            case .same: return row
            case .toHalves(let head):
                let inHead = row % head
                return row - inHead + 2 * (inHead % (head / 2)) + inHead / (head / 2)
            case .toPairs(let head):
                let inHead = row % head
                return row - inHead + inHead % 2 * (head / 2) + inHead / 2
            }
        }
    }

    let record: StoredTensor
    let role: TensorRole
    /// Name in the target.
    let name: String
    var format: any QuantFormat
    var way: Way
    var order = RowOrder.same
    /// Added to every value: −1 or 1 for norms that one dialect stores with the 1 that the other's readers add.
    var shift: Float = 0
    /// Multiplies every value, after the shift.
    var factor: Float = 1
    /// How much an error in each column counts; empty for all alike.
    var importance: [Float] = []
    var loss = ConversionReport.Loss.exact

    /// Name without its leaf: `model.layers.0.self_attn.q_proj`.
    var path: String { name.lastIndex(of: ".").map { String(name[..<$0]) } ?? name }
    var isVector: Bool { record.shape.count == 1 }

    /// Bytes of one row in each plane.
    var planeRowBytes: [Int] { format.rowBytes(columns: record.columns) ?? [] }
    var byteCount: Int { planeRowBytes.reduce(0, +) * record.rows }

    var changes: [String] {
        var changes: [String] = []
        if order != .same { changes.append("rows reordered") }
        if shift < 0 { changes.append("norm − 1") }
        if shift > 0 { changes.append("norm + 1") }
        if factor != 1 { changes.append("times \(factor)") }
        return changes
    }

    /// A vector's values as the target has them, before they are rounded to its format.
    func vector(from source: any ModelSource) -> [Float] {
        let stored = record.decoded(row: 0, from: source)
        return stored.indices.map { (stored[order.source(of: $0)] + shift) * factor }
    }
}

/// Writes rows of one move; each thread has its own.
struct RowWriter {
    private let move: TensorMove
    private let source: any ModelSource
    private var given: UnpackedBuffers?
    private var made: UnpackedBuffers?
    private(set) var errors = ErrorSums()

    init(_ move: TensorMove, from source: any ModelSource) {
        self.move = move
        self.source = source
        let columns = move.record.columns
        if case .codes(let codes) = move.way { given = UnpackedBuffers(codes.source, columns: columns) }
        if case .bytes = move.way { return }
        made = CodeMove.Form(move.format.packing).map { UnpackedBuffers($0, columns: columns) }
    }

    mutating func write(row: Int, into bytes: MutableRowBytes) {
        switch move.way {
        case .bytes:
            let stored = unsafe source.bytes(of: move.record, row: move.order.source(of: row))
            unsafe bytes.codes.copyMemory(from: stored.codes)
            unsafe bytes.scales.copyMemory(from: stored.scales)
            unsafe bytes.offsets.copyMemory(from: stored.offsets)
        case .codes(let codes):
            guard var given = self.given.take(), var made = self.made.take() else { return }
            unsafe given.unpack(source.bytes(of: move.record, row: move.order.source(of: row)), move.record.format)
            codes.write(given, into: &made)
            unsafe made.pack(into: bytes, codes.format)
            (self.given, self.made) = (given, made)
        case .numbers: unsafe writeNumbers(row, bytes)
        }
    }

    private mutating func writeNumbers(_ row: Int, _ bytes: MutableRowBytes) {
        let move = move
        var values = move.isVector ? move.vector(from: source) : move.record.decoded(row: move.order.source(of: row), from: source)
        if let format = move.format as? any WritableFormat, var made = self.made.take() {
            unsafe values.withUnsafeBufferPointer { values in unsafe made.round(values, move.importance, format) }
            unsafe made.pack(into: bytes, format)
            self.made = made
        } else if let number = (move.format as? Dense)?.number {
            for (index, value) in values.enumerated() {
                let bits = HalfPrecision.nearest(value, as: number)
                if number == .f32 {
                    unsafe bytes.codes.storeBytes(of: bits.littleEndian, toByteOffset: 4 * index, as: UInt32.self)
                } else {
                    unsafe bytes.codes.storeBytes(
                        of: UInt16(truncatingIfNeeded: bits).littleEndian, toByteOffset: 2 * index, as: UInt16.self)
                }
            }
        }
        // What a reader of the result will see.
        let wanted = values
        unsafe values.withUnsafeMutableBufferPointer { found in
            unsafe move.format.decode(
                RowBytes(
                    codes: UnsafeRawBufferPointer(bytes.codes), scales: UnsafeRawBufferPointer(bytes.scales),
                    offsets: UnsafeRawBufferPointer(bytes.offsets)), into: found)
        }
        errors.add(wanted, values, move.importance)
    }
}

/// Sums over the differences between what was wanted and what was written.
struct ErrorSums {
    private var squares = 0.0
    private var sourceSquares = 0.0
    private var weighted = 0.0
    private var sourceWeighted = 0.0
    private var maximum = 0.0
    private var count = 0

    mutating func add(_ wanted: [Float], _ found: [Float], _ importance: [Float]) {
        var squares: Float = 0
        var sourceSquares: Float = 0
        var largest: Float = 0
        for (left, right) in zip(wanted, found) {
            let difference = left - right
            squares += difference * difference
            sourceSquares += left * left
            if abs(difference) > largest { largest = abs(difference) }
        }
        self.squares += Double(squares)
        self.sourceSquares += Double(sourceSquares)
        maximum = Swift.max(maximum, Double(largest))
        count += wanted.count
        guard importance.count == wanted.count else { return }
        for (index, weight) in importance.enumerated() {
            let difference = wanted[index] - found[index]
            weighted += Double(weight * difference * difference)
            sourceWeighted += Double(weight * wanted[index] * wanted[index])
        }
    }

    mutating func add(_ other: ErrorSums) {
        squares += other.squares
        sourceSquares += other.sourceSquares
        weighted += other.weighted
        sourceWeighted += other.sourceWeighted
        maximum = Swift.max(maximum, other.maximum)
        count += other.count
    }

    var loss: ConversionReport.Loss {
        guard maximum > 0 || squares > 0, count > 0 else { return .exact }
        let mean = 1 / Double(count)
        return .requantised(
            .init(
                rms: (squares * mean).squareRoot(), sourceRMS: (sourceSquares * mean).squareRoot(), maximum: maximum,
                relativeWeightedRMS: sourceWeighted > 0 ? (weighted / sourceWeighted).squareRoot() : nil))
    }
}

extension StoredTensor {
    /// One row as numbers.
    func decoded(row: Int, from source: any ModelSource) -> [Float] {
        unsafe [Float](unsafeUninitializedCapacity: columns) { buffer, count in
            unsafe format.decode(source.bytes(of: self, row: row), into: UnsafeMutableBufferPointer(rebasing: buffer[..<columns]))
            count = columns
        }
    }
}
