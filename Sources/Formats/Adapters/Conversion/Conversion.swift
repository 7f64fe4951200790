public import Weights

/// A model on its way from one form into another: planned and checked when made, written by ``run(to:threads:stopped:progress:)``.
///
/// Codes are moved, not requantised, wherever the target can hold them; what does not move exactly is refused unless the options
/// allow more. Rotated query and key rows change places between the dialects, and Gemma's norms lose or gain the 1 that the
/// other dialect's readers add.
public struct Conversion: Sendable {
    let source: any ModelSource
    let options: ConversionOptions
    let plan: ConversionPlan
    private let contents: Contents
    private let notes: [String]
    /// A shard of a checkpoint holds at most so many bytes of tensors, as with MLX's own writer.
    private static let shardBytes = 5 << 30
    /// Of a single file while it is being written.
    private static let fileName = "model.gguf"

    /// What stands beside the tensors.
    private enum Contents: Sendable {
        case folder([(name: String, bytes: [UInt8])])
        case file(GGUFKeys, computed: [(name: String, values: [Float])])
    }

    /// - Parameters:
    ///   - source: an opened model of either dialect.
    ///   - architecture: how the two dialects name it and lay out its tensors.
    /// - Throws: `unsupported` for what the target cannot hold, `missing` and `mismatched` for a source at odds with itself.
    public init(
        _ source: any ModelSource, _ architecture: ConversionArchitecture, _ options: ConversionOptions
    ) throws(ModelError) {
        self.source = source
        self.options = options
        for quantization in [options.quantization, options.fallback].compactMap({ $0 }) where !quantization.suits(options.target) {
            throw ModelError(.unsupported, at: source.path, "\(quantization.name) has no place in \(options.target.rawValue)")
        }
        plan = try ConversionPlan(source, architecture, options)
        var notes = plan.notes
        contents =
            switch options.target {
            case .gguf: try Self.file(source, architecture, options, plan, &notes)
            case .mlx, .huggingFace: .folder(try Self.folder(source, architecture, options, plan, &notes))
            }
        self.notes = notes
    }

    /// What ``run(to:threads:stopped:progress:)`` will do, known before anything is written; errors of rounding are not yet.
    public var report: ConversionReport { report(plan.moves) }

    private func report(_ moves: [TensorMove], _ verification: ConversionReport.Verification? = nil) -> ConversionReport {
        ConversionReport(
            tensors: moves.map { move in
                ConversionReport.Tensor(
                    source: move.record.name.description, target: move.name, sourceFormat: move.record.format.name,
                    targetFormat: move.format.name, sourceBytes: move.record.byteCount, targetBytes: move.byteCount, loss: move.loss,
                    changes: move.changes)
            },
            calibration: options.calibration.map { ($0.text, $0.tokens) }, verification: verification, notes: notes)
    }

    /// Writes the result, one tensor at a time. It appears under its name only when it is complete and on disk.
    /// - Parameters:
    ///   - threads: that round numbers.
    ///   - stopped: asked between pieces of some megabytes; true ends the conversion, and nothing is left of it.
    ///   - progress: told the finished bytes of tensors.
    ///   - verify: given the path of the result while it does not have its name yet; what it finds becomes part of the report.
    /// - Throws: what `verify` throws; `unreadable` when the destination exists, cannot be written to or has no room, or when it was stopped.
    @discardableResult
    public func run(
        to destination: String, threads: Int = 1, stopped: @escaping @Sendable () -> Bool = { false },
        progress: (_ bytes: Int) -> Void = { _ in },
        verify: ((_ path: String) throws(ModelError) -> ConversionReport.Verification)? = nil
    ) throws(ModelError) -> ConversionReport {
        let place = try OutputPlace(options.target == .gguf ? .file : .folder, at: destination)
        try place.require(bytes: plan.moves.reduce(0) { $0 + $1.byteCount })
        let stop = { () throws(ModelError) in
            if stopped() { throw ModelError(.unreadable, at: destination, "was not written: interrupted") }
        }
        let stream = TensorStream(source: source, threads: threads, stop: stop)
        var done = 0
        var moves = plan.moves
        var verification: ConversionReport.Verification?
        func carry(_ index: Int, _ file: OutputFile) throws(ModelError) {
            moves[index].loss = try stream.write(moves[index], to: file) { bytes in
                done += bytes
                progress(done)
            }
        }
        switch contents {
        case .file(let keys, let computed):
            let file = try place.file(Self.fileName)
            let entries = computed.map { GGUFWriter.Entry(name: $0.name, shape: [$0.values.count], type: 0, byteCount: 4 * $0.values.count) }
            let writer = try GGUFWriter(file, keys: keys, entries: entries + moves.map(\.ggufEntry))
            for (_, values) in computed {
                var bytes: [UInt8] = []
                for value in values { GGUFKeys.append(UInt64(value.bitPattern), 4, to: &bytes) }
                try file.append(bytes)
                try writer.finishTensor()
            }
            for index in moves.indices {
                try carry(index, file)
                try writer.finishTensor()
            }
            try stop()
            if let verify {
                try file.flush()
                verification = try verify(place.path(of: Self.fileName))
            }
            try writer.finish(report: report(moves, verification).total)
        case .folder(let files):
            var places: [(name: String, file: String)] = []
            let shards = Self.shards(of: moves)
            for (number, shard) in shards.enumerated() {
                let name = Self.shardName(number, of: shards.count)
                let entries = moves[shard].flatMap(\.entries)
                places += entries.map { ($0.name, name) }
                let file = try place.file(name)
                let writer = try SafetensorsWriter(file, entries: entries, format: options.target == .mlx ? "mlx" : "pt")
                for index in shard { try carry(index, file) }
                try stop()
                try writer.finish()
            }
            try place.write(index(places, done), to: "model.safetensors.index.json")
            for (name, bytes) in files { try place.write(bytes, to: name) }
            if let verify { verification = try verify(place.path(of: nil)) }
            try place.write(Array(readme(report(moves, verification)).utf8), to: "README.md")
        }
        try stop()
        try place.commit()
        return report(moves, verification)
    }

    // MARK: what stands beside the tensors

    private static func folder(
        _ source: any ModelSource, _ architecture: ConversionArchitecture, _ options: ConversionOptions, _ plan: ConversionPlan,
        _ notes: inout [String]
    ) throws(ModelError) -> [(name: String, bytes: [UInt8])] {
        if source.metadata.dialect == .huggingFace {
            guard let folder = ModelFolder(source.path) else { throw ModelError(.unreadable, at: source.path, "is no folder any more") }
            let given = try HuggingFaceConfig.object(folder.file("config.json"))
            let config = try ConfigurationWriter.edited(
                given, source.metadata.architecture, of: plan.moves, options.target, plan.model, place: folder.path)
            return [("config.json", text(.object(config)))] + (try companions(of: folder))
        }
        let config = try ConfigurationWriter(source, architecture).configuration(of: plan.moves, plan.model, &notes)
        var files = [("config.json", text(.object(config)))]
        if let tokenizer = source.tokenizer {
            files += try TokenizerWriter(tokenizer, settings: GenerationSettings.members(from: source.metadata), place: source.path).files()
        }
        return files
    }

    /// The files of a checkpoint that say how text becomes tokens, as they are.
    private static func companions(of folder: ModelFolder) throws(ModelError) -> [(name: String, bytes: [UInt8])] {
        var files: [(name: String, bytes: [UInt8])] = []
        for name in [
            "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model", "vocab.json",
            "merges.txt", "generation_config.json", "chat_template.jinja", "chat_template.json",
        ] where folder.has(name) {
            let storage = try FileBytes.text(folder.file(name), atMost: Limits.tokenizerFileBytes)
            files.append((name, unsafe Array(storage.bytes)))
        }
        return files
    }

    private static func file(
        _ source: any ModelSource, _ architecture: ConversionArchitecture, _ options: ConversionOptions, _ plan: ConversionPlan,
        _ notes: inout [String]
    ) throws(ModelError) -> Contents {
        let fileType = options.quantization?.fileType ?? plan.commonFileType
        let isQuantised = plan.moves.contains { !$0.format.isPlain }
        func addKind(_ keys: inout GGUFKeys) throws(ModelError) {
            if let fileType { try keys.add("general.file_type", u32: fileType) }
            if isQuantised { try keys.add("general.quantization_version", u32: 2) }
        }
        if source.metadata.dialect == .gguf {
            var keys = GGUFKeys()
            for (key, value) in try GGUFKeys.all(of: source.storages[0], place: source.path) {
                let ours = ["general.file_type", "general.quantization_version", "general.alignment", "lmx.conversion"]
                if !ours.contains(key), !key.hasPrefix("split.") { keys.add(key, raw: value) }
            }
            try addKind(&keys)
            return .file(keys, computed: [])
        }
        guard let folder = ModelFolder(source.path) else { throw ModelError(.unreadable, at: source.path, "is no folder any more") }
        var writer = try GGUFConfiguration(source, architecture)
        var keys = try writer.keys(of: plan, name: name(of: folder), &notes)
        try addKind(&keys)
        if let scales = plan.commonScales { keys.add("lmx.scales", text: scales.rawValue) }
        if folder.has("generation_config.json") {
            try GenerationSettings.add(from: HuggingFaceConfig.object(folder.file("generation_config.json")), to: &keys)
        }
        if let tokenizer = source.tokenizer, let rows = plan.moves.first(where: { $0.role.part == .tokenEmbedding })?.record.rows {
            let scores = tokenizer.algorithm == .byteLevelPairs ? [:] : try SentencePieceFile.scores(in: folder)
            try GGUFTokenizerKeys(tokenizer, scores: scores, place: source.path).add(to: &keys, rows: rows, &notes)
        }
        return .file(keys, computed: writer.computed)
    }

    /// The last part of a folder's path.
    private static func name(of folder: ModelFolder) -> String {
        folder.path.split(separator: "/").last.map(String.init) ?? "model"
    }

    // MARK: shards

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

    private static func shardName(_ number: Int, of count: Int) -> String {
        func fiveDigits(_ number: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: Swift.max(5 - digits.count, 0)) + digits
        }
        return count == 1 ? "model.safetensors" : "model-\(fiveDigits(number + 1))-of-\(fiveDigits(count)).safetensors"
    }

    private func index(_ places: [(name: String, file: String)], _ bytes: Int) -> [UInt8] {
        var map = JSONObject()
        map.members = places.sorted { $0.name < $1.name }.map { JSONObject.Member(key: $0.name, value: .string($0.file)) }
        let values = plan.moves.reduce(0) { $0 + $1.record.rows * $1.record.columns }
        return Self.text(
            .object([
                "metadata": .object(["total_size": .int(bytes), "total_parameters": .int(values)]), "weight_map": .object(map),
            ]))
    }

    private func readme(_ report: ConversionReport) -> String {
        """
        # Converted from \(source.formatName)

        \(report.summary.map { "- " + $0 }.joined(separator: "\n"))

        ## Every tensor

        \(report.table)
        """
    }

    private static func text(_ value: JSONValue) -> [UInt8] {
        var bytes: [UInt8] = []
        value.write(to: &bytes)
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }
}

extension ConversionPlan {
    /// GGUF's number for a file mostly of one type.
    var commonFileType: Int? {
        var bytes: [String: Int] = [:]
        for move in moves where !move.isVector { bytes[move.format.name, default: 0] += move.byteCount }
        guard let name = bytes.max(by: { ($0.value, $1.key) < ($1.value, $0.key) })?.key else { return nil }
        let numbers = [
            "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K": 12, "Q4_K": 14, "Q5_K": 16,
            "Q6_K": 18, "BF16": 32, "MXFP4": 38,
        ]
        return numbers[name]
    }

    /// The type of MLX's scales in the source, for the way back; nil where it is f16, which needs no word, or there are none.
    var commonScales: Packing.Number? {
        for move in moves {
            if let affine = move.record.format as? Affine, affine.scale != .f16 { return affine.scale }
        }
        return nil
    }
}

extension TensorMove {
    /// What a safetensors header says about it, in the order in which its planes are written.
    var entries: [SafetensorsWriter.Entry] {
        if let plain = format as? Dense { return [.init(name: name, type: .init(plain.number), shape: record.shape)] }
        let outer = Array(record.shape.dropLast())
        let scales = outer + [record.columns / format.valuesPerBlock]
        let words = record.columns / format.valuesPerBlock * format.bytesPerBlock[0] / 4
        let codes = SafetensorsWriter.Entry(name: name, type: .u32, shape: outer + [words])
        guard let affine = format as? Affine else { return [codes, .init(name: path + ".scales", type: .u8, shape: scales)] }
        return [
            codes, .init(name: path + ".scales", type: .init(affine.scale), shape: scales),
            .init(name: path + ".biases", type: .init(affine.scale), shape: scales),
        ]
    }

    var ggufEntry: GGUFWriter.Entry {
        GGUFWriter.Entry(name: name, shape: record.shape, type: format.ggufType ?? 0, byteCount: byteCount)
    }
}

extension Quantization {
    /// Whether the target has a place for these formats.
    func suits(_ target: ConversionTarget) -> Bool {
        if base.isPlain { return true }
        switch target {
        case .gguf: return base.ggufType != nil
        case .mlx: return base.isOfMLX
        case .huggingFace: return false
        }
    }
}
