internal import Weights

/// The header of one GGUF file: what stands before the tensor data, with every number checked against the file.
///
///     | "GGUF" | version u32 | tensors u64 | keys u64 | keys and values | tensor records | padding | tensor data |
///
/// Arrays stay in the file as ranges until somebody asks for their elements.
struct GGUFHeader {
    struct List {
        var type: GGUFType
        var count: Int
        var range: Range<Int>  // of its elements in the file
    }

    enum Value {
        case single(Metadata.Value)
        case array(List)
    }

    struct Tensor {
        var name: TensorName
        var shape: [Int]  // outermost first, the reverse of the file's order
        var format: any QuantFormat
        var offset: Int  // from the start of the tensor data
        var byteCount: Int
    }

    let version: UInt32
    let alignment: Int
    let dataOffset: Int
    private(set) var values: [String: Value] = [:]
    private(set) var tensors: [Tensor] = []
    let storage: Storage
    let place: String

    init(_ storage: Storage, place: String) throws(ModelError) {
        self.storage = storage
        self.place = place
        var reader = ByteReader(storage, place: place)
        version = try Self.version(&reader)

        let tensorCount = try reader.count(of: "tensors", atMost: Limits.ggufTensors, bytesEach: 24)
        let keyCount = try reader.count(of: "keys", atMost: Limits.ggufKeys, bytesEach: 13)
        for _ in 0..<keyCount {
            let range = try reader.string("a key", atMost: Limits.ggufKeyBytes)
            let key = try reader.text(range, "a key")
            let value = try Self.value(&reader, key)
            guard values.updateValue(value, forKey: key) == nil else {
                throw ModelError(.malformed, at: place, "the key \(ModelError.quoted(key)) stands twice")
            }
        }
        alignment = try Self.alignment(values["general.alignment"], place)

        var names = Set<TensorName>()
        for _ in 0..<tensorCount {
            let tensor = try Self.tensor(&reader, alignment: alignment)
            guard names.insert(tensor.name).inserted else {
                throw ModelError(.malformed, at: place, "the tensor \(ModelError.quoted(tensor.name.bytes)) stands twice")
            }
            tensors.append(tensor)
        }
        // A file without tensors (a vocabulary) may end before the padding.
        let aligned = CheckedSize.aligned(reader.offset, to: alignment) ?? reader.offset
        dataOffset = tensors.isEmpty ? reader.offset : aligned
        try checkRanges(fileSize: reader.end)
    }

    /// Where a tensor lies in the file. Checked when the header was read.
    func range(of tensor: Tensor) -> Range<Int> {
        dataOffset + tensor.offset..<dataOffset + tensor.offset + tensor.byteCount
    }

    // MARK: parts

    private static func version(_ reader: inout ByteReader) throws(ModelError) -> UInt32 {
        let place = reader.place
        let magic = try reader.u32("the magic number")
        guard magic == 0x4655_4747 else { throw ModelError(.unrecognised, at: place, "does not begin with \"GGUF\"") }
        let version = try reader.u32("the version")
        switch version {
        case 2, 3: return version
        case 1:
            throw ModelError(
                .unsupported, at: place, "is GGUF version 1", hint: "versions 2 and 3 are read; convert the model anew")
        case _ where version.byteSwapped < 0x1_0000 && version.byteSwapped > 0:
            throw ModelError(
                .unsupported, at: place, "is a big-endian GGUF file (version \(version.byteSwapped))",
                hint: "convert the model to little-endian")
        default:
            throw ModelError(.unsupported, at: place, "is GGUF version \(version)", hint: "versions 2 and 3 are read")
        }
    }

    private static func alignment(_ value: Value?, _ place: String) throws(ModelError) -> Int {
        guard let value else { return 32 }
        guard case .single(.int(let alignment)) = value else {
            throw ModelError(.malformed, at: place, "general.alignment is not a whole number")
        }
        guard Limits.ggufAlignment.contains(alignment), alignment & (alignment - 1) == 0 else {
            throw ModelError(
                .outOfRange, at: place, "general.alignment is \(alignment)",
                hint: "a power of two from \(Limits.ggufAlignment.lowerBound) to \(Limits.ggufAlignment.upperBound)")
        }
        return alignment
    }

    private static func tensor(_ reader: inout ByteReader, alignment: Int) throws(ModelError) -> Tensor {
        let range = try reader.string("a tensor's name", atMost: Limits.tensorNameBytes)
        let name = TensorName(reader.bytes(range))
        let place = "\(reader.place): \(ModelError.quoted(name.bytes))"
        let rank = Int(try reader.u32("the rank of a tensor"))
        guard Limits.ggufRank.contains(rank) else {
            throw ModelError(.outOfRange, at: place, "has \(rank) dimensions", hint: "1 to \(Limits.ggufRank.upperBound)")
        }
        var shape: [Int] = []
        for _ in 0..<rank {
            let dimension = try reader.u64("the shape of a tensor")
            guard dimension >= 1, dimension <= UInt64(Limits.dimension) else {
                throw ModelError(.outOfRange, at: place, "has a dimension of \(dimension)", hint: "1 to \(Limits.dimension)")
            }
            shape.append(Int(dimension))
        }
        shape.reverse()
        guard let count = CheckedSize.product(shape), count <= Limits.tensorValues else {
            throw ModelError(.outOfRange, at: place, "has more than \(Limits.tensorValues) values")
        }

        let type = try reader.u32("the type of a tensor")
        guard let format = QuantFormats.gguf(type: type) else {
            let refusal = QuantFormats.refusal(ofGGUFType: type)
            throw ModelError(.unsupported, at: place, refusal.problem, hint: refusal.hint)
        }
        let columns = shape[rank - 1]
        guard columns % format.valuesPerBlock == 0, let rowBytes = format.rowBytes(columns: columns)?.first else {
            throw ModelError(
                .malformed, at: place,
                "has rows of \(columns) values, which is no multiple of the \(format.valuesPerBlock) of \(format.name)")
        }
        guard let byteCount = CheckedSize.product([count / columns, rowBytes]) else {
            throw ModelError(.outOfRange, at: place, "is too large")
        }
        let offset = try reader.u64("the offset of a tensor")
        guard offset <= UInt64(Int.max) else { throw ModelError(.outOfRange, at: place, "lies at the offset \(offset)") }
        guard Int(offset) % alignment == 0 else {
            throw ModelError(.malformed, at: place, "lies at the offset \(offset), no multiple of the alignment \(alignment)")
        }
        return Tensor(name: name, shape: shape, format: format, offset: Int(offset), byteCount: byteCount)
    }

    /// Every tensor inside the file, no two overlapping.
    private func checkRanges(fileSize: Int) throws(ModelError) {
        for tensor in tensors {
            guard let start = CheckedSize.sum(dataOffset, tensor.offset), let end = CheckedSize.sum(start, tensor.byteCount),
                end <= fileSize
            else {
                throw ModelError(
                    .truncated, at: "\(place): \(ModelError.quoted(tensor.name.bytes))",
                    "\(tensor.byteCount) bytes at \(dataOffset) + \(tensor.offset) do not lie within the file's \(fileSize)",
                    hint: "is the download complete?")
            }
        }
        var previous: Tensor?
        for tensor in tensors.sorted(by: { $0.offset < $1.offset }) {
            if let previous, previous.offset + previous.byteCount > tensor.offset {
                throw ModelError(
                    .malformed, at: place,
                    "the tensors \(ModelError.quoted(previous.name.bytes)) and \(ModelError.quoted(tensor.name.bytes)) overlap")
            }
            previous = tensor
        }
    }
}
