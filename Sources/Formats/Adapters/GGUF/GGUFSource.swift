public import Weights

/// A GGUF model: one file, or the shards of a split one, opened by the path of any of them.
public struct GGUFSource: ModelSource {
    public let path: String
    public let formatName: String
    public let metadata: Metadata
    public let records: [TensorName: StoredTensor]
    public let tokenizer: TokenizerSpec?
    public let storages: [Storage]

    public static func recognises(_ path: String) -> Bool { FileBytes.beginning(of: path, count: 4) == Array("GGUF".utf8) }

    public init(opening path: String) throws(ModelError) {
        self.path = path
        var header = try GGUFHeader(try Storage(mapping: path), place: path)
        var headers = [header]
        if let count = try header.int("split.count"), count > 1 {
            let shards = try GGUFShards(path, count: count, place: path)
            headers = []
            for (index, shard) in shards.paths.enumerated() {
                let next = shard == path ? header : try GGUFHeader(try shards.map(shard), place: shard)
                try shards.check(next, index: index)
                headers.append(next)
            }
            try shards.checkTotal(headers)
            header = headers[0]
        }

        var records: [TensorName: StoredTensor] = [:]
        for (file, part) in headers.enumerated() {
            for tensor in part.tensors {
                let record = StoredTensor(
                    name: tensor.name, shape: tensor.shape, format: tensor.format,
                    planes: [.init(file: file, range: part.range(of: tensor))])
                guard records.updateValue(record, forKey: tensor.name) == nil else {
                    throw ModelError(
                        .malformed, at: part.place, "the tensor \(ModelError.quoted(tensor.name.bytes)) is in another shard too")
                }
            }
        }
        formatName = "GGUF v\(header.version)"
        metadata = try header.metadata()
        tokenizer = try GGUFTokenizer(header).spec()
        if let pieces = tokenizer?.pieces.count, let rows = records["token_embd.weight"]?.rows, pieces > rows {
            throw ModelError(
                .mismatched, at: "\(header.place): token_embd.weight", "has \(rows) rows, the vocabulary has \(pieces) pieces")
        }
        storages = headers.map(\.storage)
        self.records = try TensorScales.folded(records, storages, place: header.place)
    }
}

/// The files of a split GGUF model: `prefix-00001-of-00003.gguf` and so on.
struct GGUFShards {
    let paths: [String]
    private let count: Int

    /// - Parameter path: of any shard.
    init(_ path: String, count: Int, place: String) throws(ModelError) {
        let name = Array(path.utf8), suffix = Array(".gguf".utf8), middle = Array("-of-".utf8)
        let tail = 1 + 5 + middle.count + 5 + suffix.count  // "-00001-of-00003.gguf"
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard name.count > tail else { throw Self.misnamed(place, count) }
        let end = Array(name.suffix(tail))
        guard end[0] == UInt8(ascii: "-"), end[1..<6].allSatisfy(digits.contains), Array(end[6..<10]) == middle,
            end[10..<15].allSatisfy(digits.contains), Array(end[15...]) == suffix,
            Int(String(decoding: end[10..<15], as: UTF8.self)) == count
        else { throw Self.misnamed(place, count) }
        guard count <= Limits.ggufShards else { throw ModelError(.outOfRange, at: place, "states \(count) shards") }

        let prefix = String(decoding: name.dropLast(tail), as: UTF8.self)
        func padded(_ number: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: Swift.max(0, 5 - digits.count)) + digits
        }
        self.count = count
        paths = (1...count).map { "\(prefix)-\(padded($0))-of-\(padded(count)).gguf" }
    }

    private static func misnamed(_ place: String, _ count: Int) -> ModelError {
        ModelError(
            .mismatched, at: place, "is one of \(count) shards, but is not named like one",
            hint: "NAME-00001-of-0000\(count).gguf and so on, as the model's publisher names them")
    }

    func map(_ shard: String) throws(ModelError) -> Storage {
        guard FileBytes.exists(shard) else {
            throw ModelError(.missing, at: shard, "is missing", hint: "the model has \(count) shards, all in one folder")
        }
        return try Storage(mapping: shard)
    }

    func check(_ header: GGUFHeader, index: Int) throws(ModelError) {
        let number = try header.int("split.no"), stated = try header.int("split.count")
        guard number == index, stated == count else {
            throw ModelError(
                .mismatched, at: header.place, "is named as shard \(index + 1) of \(count)",
                hint: "its split.no is \(number.map(String.init) ?? "absent"), its split.count \(stated.map(String.init) ?? "absent")")
        }
    }

    func checkTotal(_ headers: [GGUFHeader]) throws(ModelError) {
        let total = headers.reduce(0) { $0 + $1.tensors.count }
        for header in headers {
            if let stated = try header.int("split.tensors.count"), stated != total {
                throw ModelError(.mismatched, at: header.place, "states \(stated) tensors in all shards, they hold \(total)")
            }
        }
    }
}
