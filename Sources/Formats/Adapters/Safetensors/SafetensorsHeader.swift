internal import Weights

/// The header of one safetensors file, with every number checked against the file.
///
///     | header length n u64 | JSON object, n bytes | tensor data, no holes |
///
/// MLX neither pads the header nor aligns tensors: data may begin at any byte.
struct SafetensorsHeader {
    struct Tensor {
        var name: TensorName
        var type: String  // as the file spells it
        var shape: [Int]
        var range: Range<Int>  // in the file
    }

    private(set) var tensors: [Tensor] = []
    /// `format` of `__metadata__`: `pt`, `mlx` …
    private(set) var writtenFor: String?

    /// Whether the first bytes of a file can be a safetensors header.
    static func recognises(_ bytes: [UInt8]) -> Bool {
        guard bytes.count >= 10, bytes[8] == UInt8(ascii: "{") else { return false }
        return bytes[4..<8].allSatisfy { $0 == 0 }  // no header has 2^32 bytes
    }

    init(_ storage: Storage, place: String) throws(ModelError) {
        var reader = ByteReader(storage, place: place)
        let length = try reader.u64("the length of the header")
        guard length <= UInt64(Limits.safetensorsHeaderBytes) else {
            throw ModelError(
                .outOfRange, at: place, "states a header of \(length) bytes", hint: "at most \(Limits.safetensorsHeaderBytes)")
        }
        let header = try reader.skip(Int(length), "the header")
        guard !header.isEmpty, reader.bytes(header.lowerBound..<header.lowerBound + 1) == [UInt8(ascii: "{")] else {
            throw ModelError(.malformed, at: place, "has a header that does not begin with {")
        }
        var scanner = JSONScanner(storage, range: header)
        do {
            try read(&scanner, place: place, data: reader.offset..<reader.end)
        } catch let error as ModelError {
            throw error
        } catch let error as JSONError {
            throw error.error(in: place)
        } catch {
            throw ModelError(.malformed, at: place, "\(error)")
        }
        try checkCover(place: place, data: reader.offset..<reader.end)
    }

    private mutating func read(_ scanner: inout JSONScanner, place: String, data: Range<Int>) throws {
        try scanner.beginObject()
        while try scanner.nextKey() {
            if scanner.keyIs("__metadata__") {
                try readMetadata(&scanner)
            } else {
                let name = TensorName(scanner.keyBytes)
                guard name.bytes.count <= Limits.tensorNameBytes else {
                    throw ModelError(
                        .outOfRange, at: place, "the tensor name \(ModelError.quoted(name.bytes)) is \(name.bytes.count) bytes long",
                        hint: "at most \(Limits.tensorNameBytes)")
                }
                tensors.append(try tensor(&scanner, name, place: "\(place): \(ModelError.quoted(name.bytes))", data: data))
            }
        }
        try scanner.finish()
    }

    private mutating func readMetadata(_ scanner: inout JSONScanner) throws {
        try scanner.beginObject()
        while try scanner.nextKey() {
            if scanner.keyIs("format") { writtenFor = try scanner.readString() } else { _ = try scanner.readString() }
        }
    }

    private func tensor(
        _ scanner: inout JSONScanner, _ name: TensorName, place: String, data: Range<Int>
    ) throws -> Tensor {
        var type: String?, shape: [Int]?, offsets: [Int] = []
        try scanner.beginObject()
        while try scanner.nextKey() {
            if scanner.keyIs("dtype") {
                type = try scanner.readString()
            } else if scanner.keyIs("shape") {
                shape = try numbers(&scanner, atMost: Limits.rank, place)
            } else if scanner.keyIs("data_offsets") {
                offsets = try numbers(&scanner, atMost: 2, place)
            } else {
                try scanner.skip()
            }
        }
        guard let type, let shape, offsets.count == 2 else {
            throw ModelError(.malformed, at: place, "lacks dtype, shape or two data_offsets")
        }
        guard let valueBytes = Self.byteCounts[type] else {
            throw ModelError(.unsupported, at: place, "has the unknown dtype \(ModelError.quoted(type))")
        }
        for dimension in shape where dimension > Limits.dimension {
            throw ModelError(.outOfRange, at: place, "has a dimension of \(dimension)", hint: "at most \(Limits.dimension)")
        }
        guard let count = CheckedSize.product(shape), count <= Limits.tensorValues else {
            throw ModelError(.outOfRange, at: place, "has more than \(Limits.tensorValues) values")
        }
        guard offsets[0] <= offsets[1] else {
            throw ModelError(.malformed, at: place, "ends at the offset \(offsets[1]), before it begins at \(offsets[0])")
        }
        guard offsets[1] <= data.count else {
            throw ModelError(
                .truncated, at: place, "ends at the offset \(offsets[1]), the file has \(data.count) bytes of tensor data",
                hint: "is the download complete?")
        }
        guard offsets[1] - offsets[0] == count * valueBytes else {  // at most 2^48 values of 8 bytes
            throw ModelError(
                .mismatched, at: place, "takes \(offsets[1] - offsets[0]) bytes, its shape and dtype need \(count * valueBytes)")
        }
        return Tensor(
            name: name, type: type, shape: shape, range: data.lowerBound + offsets[0]..<data.lowerBound + offsets[1])
    }

    private func numbers(_ scanner: inout JSONScanner, atMost limit: Int, _ place: String) throws -> [Int] {
        var numbers: [Int] = []
        try scanner.beginArray()
        while try scanner.nextElement() {
            let number = try scanner.readInt()
            guard number >= 0 else { throw ModelError(.outOfRange, at: place, "has a negative shape or offset, \(number)") }
            guard numbers.count < limit else {
                throw ModelError(.outOfRange, at: place, "has a list of more than \(limit) numbers")
            }
            numbers.append(number)
        }
        return numbers
    }

    /// The tensors cover the data section exactly: bytes outside of all of them could hide anything.
    private func checkCover(place: String, data: Range<Int>) throws(ModelError) {
        var end = data.lowerBound
        for tensor in tensors.sorted(by: { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }) {
            guard tensor.range.lowerBound == end else {
                let what = tensor.range.lowerBound > end ? "leaves a hole before it" : "overlaps another tensor"
                throw ModelError(
                    .malformed, at: "\(place): \(ModelError.quoted(tensor.name.bytes))",
                    "\(what): it begins at \(tensor.range.lowerBound - data.lowerBound), the ones before end at \(end - data.lowerBound)")
            }
            end = tensor.range.upperBound
        }
        guard end == data.upperBound else {
            throw ModelError(.malformed, at: place, "has \(data.upperBound - end) bytes after the last tensor")
        }
    }

    private static let byteCounts: [String: Int] = [
        "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1,
        "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
    ]
}
