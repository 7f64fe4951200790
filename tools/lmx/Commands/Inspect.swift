internal import ArgumentParser
internal import Compute
internal import Formats
internal import Foundation
internal import Text
internal import Weights

struct Inspect: ParsableCommand, Reporting {
    static let configuration = CommandConfiguration(
        abstract: "What a model is, how it is executed, and what memory it needs.",
        discussion: """
            Reads headers, and of the weights the scales, as far as these decide what is executed. Memory is what is resident
            with one sequence of the given context: the program with tokenizer and template, weights as executed, cache, buffers.

            Examples:
              lmx inspect MODEL
              lmx inspect MODEL --tensors --context 8192
            """)

    @Argument(help: "A path or an id.") var model: String
    @Flag(help: "Every tensor: shape, stored type, executed form.") var tensors = false
    @Flag(help: "Every metadata key.") var metadata = false
    @Option(help: "Positions of cache to reckon with (default: the model's context, at most 4096).") var context: Int?
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var folders: FolderOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let context, !(1...(1 << 24)).contains(context) { throw ValidationError("--context must be between 1 and 16777216") }
    }

    func run() throws {
        let path = try folders.models.path(of: model)
        let program = try residentBeforeWeights(path)
        let source = try ModelSources.open(path)
        let summary = try ModelSummary(source, options: ModelOptions(precise: compute.precise, threads: compute.threads, cache: compute.kvCache.format))
        let positions = context ?? min(summary.hyperparameters.contextLength, 4096)
        let memory = MemoryForecast(summary, positions: positions, program: program)
        let facts = facts(path, source, summary, memory)
        if output.json {
            var document: JSONObject = [:]
            for section in facts { document[section.name] = .object(section.members) }
            if tensors { document["tensors"] = .array(summary.tensors.map(Self.document)) }
            if metadata {
                var keys = JSONObject()
                for (key, value) in source.metadata.values.sorted(by: { $0.key < $1.key }) { keys[key] = .string(value.summary) }
                document["metadata"] = .object(keys)
            }
            return print(JSONValue.object(document).serialized())
        }
        for section in facts {
            print(section.name)
            for member in section.members {
                print("  \(member.key.padding(toLength: 28, withPad: " ", startingAt: 0))\(Self.plain(member.key, member.value))")
            }
        }
        if tensors {
            let rows = summary.tensors.map { tensor in
                [
                    tensor.name.description, tensor.shape.map(String.init).joined(separator: " × "), tensor.storedFormat,
                    tensor.executedForm,
                    tensor.executedBitsPerWeight.fixed(2),
                ]
            }
            print("\n" + table(["tensor", "shape", "stored", "executed", "bits"], rows))
        }
        if metadata {
            print("\nmetadata")
            for (key, value) in source.metadata.values.sorted(by: { $0.key < $1.key }) { print("  \(key) = \(value.summary)") }
        }
    }

    /// What is resident once everything but the weights is ready to serve: their files are closed by then.
    private func residentBeforeWeights(_ path: String) throws -> Int {
        func text() throws -> (Tokenizer?, ChatTemplate?) {
            let source = try ModelSources.open(path)
            return (try? Composition.tokenizer(of: source), try? Composition.template(of: source))
        }
        return withExtendedLifetime(try text()) { MemoryForecast.residentBytes }
    }

    private typealias Section = (name: String, members: JSONObject)

    private func facts(_ path: String, _ source: any ModelSource, _ summary: ModelSummary, _ memory: MemoryForecast) -> [Section] {
        let sizes = summary.hyperparameters
        let architecture = summary.architecture
        let values = summary.tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
        let stored = summary.tensors.reduce(0) { $0 + $1.storedBytes }
        var file: JSONObject = [
            "path": .string(path), "format": .string(source.formatName), "size_bytes": .int(ModelFolders.size(of: path)),
            "parameters": .int(values), "quantization": .string(quantizationLabel(of: source)),
            "bits_per_weight_stored": .float(rounded(8 * Double(stored) / Double(max(values, 1)))),
            "bits_per_weight_executed": .float(rounded(8 * Double(memory.weights) / Double(max(values, 1)))),
        ]
        for (form, count) in Dictionary(grouping: summary.tensors, by: \.storedFormat).mapValues(\.count).sorted(by: { $0.key < $1.key }) {
            file["tensors_" + form] = .int(count)
        }
        var shape: JSONObject = [
            "name": .string(architecture.name), "norms": .string(architecture.norms.rawValue),
            "query_key_norm": .string(architecture.queryKeyNorm.rawValue), "activation": .string(architecture.activation.rawValue),
            "embedding_scale": .string(architecture.embeddingScale.rawValue), "layers": .int(sizes.layers), "hidden": .int(sizes.hidden),
            "feed_forward": .int(sizes.feedForward), "heads": .int(sizes.heads), "key_value_heads": .int(sizes.keyValueHeads),
            "head_size": .int(sizes.keySize), "vocabulary": .int(sizes.vocabularySize), "context_length": .int(sizes.contextLength),
            "rope_base": .float(sizes.rotation.base), "rope_scaling": .string("\(sizes.rotation.scaling)"),
        ]
        if sizes.window > 0 {
            shape["window"] = .int(sizes.window)
            shape["layers_with_window"] = .int(sizes.hasWindow.count { $0 })
        }
        var text: JSONObject = ["tokenizer": .string("none")]
        if let spec = source.tokenizer {
            text = [
                "tokenizer": .string(spec.algorithm.rawValue), "pre_tokenizer": .string(spec.preTokenizer.rawValue),
                "pieces": .int(spec.pieces.count),
                "added_tokens": .int(spec.addedTokens.count), "end_of_generation": .array(spec.endOfGeneration.map { .int($0) }),
                "chat_template": .string(spec.chatTemplate.map { "\($0.utf8.count) bytes" } ?? "none"),
            ]
        }
        return [
            ("file", file), ("architecture", shape), ("text", text),
            (
                "memory",
                [
                    "program_bytes": .int(memory.program), "weights_bytes": .int(memory.weights), "cache_bytes": .int(memory.cache),
                    "cache_bytes_per_token": .int(summary.cacheBytesPerToken),
                    "workspace_bytes": .int(memory.workspace), "total_bytes": .int(memory.total),
                ]
            ),
        ]
    }

    private static func document(_ tensor: ModelSummary.Tensor) -> JSONValue {
        .object([
            "name": .string(tensor.name.description), "shape": .array(tensor.shape.map { .int($0) }),
            "stored": .string(tensor.storedFormat),
            "stored_bytes": .int(tensor.storedBytes), "executed": .string(tensor.executedForm),
            "executed_bytes": .int(tensor.executedBytes),
            "bits_per_weight_executed": .float(tensor.executedBitsPerWeight),
        ])
    }

    /// A value for people: bytes in units, whole numbers as they are.
    private static func plain(_ key: String, _ value: JSONValue) -> String {
        switch value {
        case .int(let number) where key.contains("bytes"): humanBytes(number)
        case .int(let number): String(number)
        case .float(let number): number == number.rounded() ? number.fixed(0) : number.fixed(2)
        case .string(let text): text
        default: value.serialized()
        }
    }

    private func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }
}
