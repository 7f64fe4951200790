public import Weights

/// A model on its way from a GGUF file into an MLX checkpoint: planned and checked when made, written by ``run(to:progress:)``.
///
/// Codes are moved, never requantised: a stored format whose codes and scales MLX's affine form can hold exactly is taken, any
/// other is refused by name. Only rotated query and key rows change places, and norms lose the 1 that MLX adds when it runs.
public struct Conversion: Sendable {
    let source: any ModelSource
    let moves: [TensorMove]
    let configuration: JSONObject
    private let notes: [String]
    /// A shard of the result holds at most so many bytes of tensors, as with MLX's own writer.
    private static let shardBytes = 5 << 30

    /// - Parameters:
    ///   - source: an opened GGUF file.
    ///   - layout: how the two dialects lay out the tensors of its architecture.
    ///   - modelType: what `config.json` calls the architecture: `llama`, `gemma3_text`.
    /// - Throws: `unsupported` for what MLX's form cannot hold exactly, `missing` and `mismatched` for a source at odds with itself.
    public init(_ source: any ModelSource, layout: CheckpointLayout, modelType: String) throws(ModelError) {
        guard source.metadata.dialect == .gguf else {
            throw ModelError(.unsupported, at: source.path, "is \(source.formatName)", hint: "conversion to MLX reads GGUF")
        }
        self.source = source
        var plan = try ConversionPlan(source, layout)
        moves = plan.moves
        configuration = try ConfigurationWriter(source, layout, modelType).configuration(of: moves, plan.model, &plan.notes)
        notes = plan.notes
        if let tokenizer = source.tokenizer { _ = try TokenizerWriter(tokenizer, place: source.path).files() }
    }

    /// What ``run(to:progress:)`` will do, known before anything is written.
    public var report: ConversionReport {
        ConversionReport(
            tensors: moves.map { move in
                ConversionReport.Tensor(
                    source: move.record.name.description, target: move.name, sourceFormat: move.record.format.name,
                    targetFormat: move.formatName, sourceBytes: move.record.byteCount, targetBytes: move.byteCount, loss: move.loss)
            },
            notes: notes)
    }

    /// Writes the checkpoint, one tensor at a time. The folder appears under its name only when it is complete and on disk.
    /// - Parameter progress: told the finished fraction, 0 to 1, after each tensor.
    /// - Throws: `unreadable` when the destination exists or cannot be written to.
    @discardableResult
    public func run(to destination: String, progress: (Double) -> Void = { _ in }) throws(ModelError) -> ConversionReport {
        let folder = try OutputFolder(creating: destination)
        let shards = Self.shards(of: moves)
        let total = Double(Swift.max(moves.reduce(0) { $0 + $1.byteCount }, 1))
        var done = 0
        var places: [(name: String, file: String)] = []
        for (index, shard) in shards.enumerated() {
            let name =
                shards.count == 1
                ? "model.safetensors" : "model-\(Self.fiveDigits(index + 1))-of-\(Self.fiveDigits(shards.count)).safetensors"
            let entries = moves[shard].flatMap(\.entries)
            places += entries.map { ($0.name, name) }
            let writer = try SafetensorsWriter(folder.file(name), entries: entries)
            for move in moves[shard] {
                try move.write(from: source, to: writer)
                for plane in move.record.planes { source.storages[plane.file].release(plane.range) }
                done += move.byteCount
                progress(Double(done) / total)
            }
            try writer.finish()
        }
        try folder.write(index(places, done), to: "model.safetensors.index.json")
        try folder.write(Self.text(.object(configuration)), to: "config.json")
        if let tokenizer = source.tokenizer {
            for file in try TokenizerWriter(tokenizer, place: source.path).files() { try folder.write(file.bytes, to: file.name) }
        }
        try folder.commit()
        return report
    }

    private static func shards(of moves: [TensorMove]) -> [Range<Int>] {
        var shards: [Range<Int>] = []
        var start = 0
        var bytes = 0
        for (index, move) in moves.enumerated() {
            if bytes > 0, bytes + move.byteCount > shardBytes {
                shards.append(start..<index)
                (start, bytes) = (index, 0)
            }
            bytes += move.byteCount
        }
        return shards + [start..<moves.count]
    }

    private func index(_ places: [(name: String, file: String)], _ bytes: Int) -> [UInt8] {
        var map = JSONObject()
        map.members = places.sorted { $0.name < $1.name }.map { JSONObject.Member(key: $0.name, value: .string($0.file)) }
        let values = moves.reduce(0) { $0 + $1.record.rows * $1.record.columns }
        return Self.text(
            .object([
                "metadata": .object(["total_size": .int(bytes), "total_parameters": .int(values)]), "weight_map": .object(map),
            ]))
    }

    private static func text(_ value: JSONValue) -> [UInt8] {
        var bytes: [UInt8] = []
        value.write(to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    private static func fiveDigits(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: Swift.max(5 - digits.count, 0)) + digits
    }
}
