internal import ArgumentParser
internal import CKernels
internal import Compute
internal import Engine
internal import Formats
internal import Foundation
internal import Text
internal import Weights

/// Joins what never meets below: a file format, the computation, the tokenizer and the engine.
enum Composition {
    static func tokenizer(of source: any ModelSource) throws(ModelError) -> Tokenizer {
        guard let spec = source.tokenizer else {
            throw ModelError(.missing, at: source.path, "has no tokenizer", hint: "a checkpoint directory needs tokenizer.json")
        }
        return try Tokenizer(spec)
    }

    /// Nil where the file has none; a template that does not compile or run is an error here, not at the first request.
    static func template(of source: any ModelSource) throws -> ChatTemplate? {
        guard let text = source.tokenizer?.chatTemplate else { return nil }
        let template = try ChatTemplate(source: text)
        if case .failure(let error) = Result(catching: { () throws(TemplateError) in try template.probe() }) {
            // Undefined or raised: it wants more than a plain chat has, and each request is told so.
            if error.kind != .undefined && error.kind != .raised { throw error }
        }
        return template
    }

    static func model(
        of source: any ModelSource, _ options: ComputeOptions, precise: Bool, progress: (@Sendable (Double) throws(ModelError) -> Void)? = nil
    ) throws(ModelError) -> Model {
        let name = (source.path as NSString).lastPathComponent
        return try Model.load(
            source, options: ModelOptions(precise: precise, threads: options.threads, cache: options.kvCache.format),
            progress: progress ?? Terminal.progress("loading \(name)"))
    }

    /// Refuses a tokenizer that can give ids for which the model has no row.
    static func check(_ tokenizer: Tokenizer, against model: Model, at path: String) throws(ModelError) {
        let rows = model.hyperparameters.vocabularySize
        guard tokenizer.vocabularySize > rows else { return }
        throw ModelError(.mismatched, at: path, "the tokenizer has \(tokenizer.vocabularySize) pieces, the embedding \(rows) rows")
    }

    /// Opens, checks and packs everything that serving needs.
    static func load(
        _ path: String, id: String, options: ComputeOptions, progress: (@Sendable (Double) throws(ModelError) -> Void)? = nil
    ) throws -> LoadedModel {
        let source = try ModelSources.open(path)
        let tokenizer = try tokenizer(of: source)
        let template = try template(of: source)
        let model = try model(of: source, options, precise: options.precise, progress: progress)
        try check(tokenizer, against: model, at: path)
        let info = ModelInfo(
            id: id, path: path, format: formatWord(of: source), quantization: quantizationLabel(of: source),
            architecture: model.architectureName, sizeBytes: ModelFolders.size(of: path), contextLength: model.hyperparameters.contextLength
        )
        return try LoadedModel(info: info, model: model, tokenizer: tokenizer, template: template)
    }

    /// Messages through a model's template, ready for an answer.
    static func render(messages: JSONValue, source: any ModelSource, tokenizer: Tokenizer) throws -> [TextSegment] {
        guard let template = try template(of: source) else {
            throw ModelError(.missing, at: source.path, "has no chat template", hint: "--raw sends the text as it is")
        }
        return try render(messages: messages, template: template, tokenizer: tokenizer)
    }

    static func render(messages: JSONValue, template: ChatTemplate, tokenizer: Tokenizer) throws -> [TextSegment] {
        var context: JSONObject = ["messages": messages, "add_generation_prompt": .bool(true)]
        if let bos = tokenizer.bos { context["bos_token"] = .string(piece(bos, tokenizer)) }
        if let eos = tokenizer.eos { context["eos_token"] = .string(piece(eos, tokenizer)) }
        return try template.render(context)
    }

    private static func piece(_ id: Int32, _ tokenizer: Tokenizer) -> String {
        String(decoding: tokenizer.decode([id], special: true), as: UTF8.self)
    }
}

/// `gguf`, `mlx` or `safetensors`.
func formatWord(of source: any ModelSource) -> String {
    if source.metadata.dialect == .gguf { return "gguf" }
    return source.formatName.hasPrefix("MLX") ? "mlx" : "safetensors"
}

/// The stored format that most bytes are in: `Q4_1`, `affine 4-bit group 64 (f16)`.
func quantizationLabel(of source: any ModelSource) -> String {
    var bytes: [String: Int] = [:]
    for record in source.records.values { bytes[record.format.name, default: 0] += record.byteCount }
    return bytes.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? "none"
}

/// What keys and values are kept in, as the command line spells it.
enum CacheChoice: String, CaseIterable, ExpressibleByArgument {
    case f16, q8

    var format: CacheFormat { self == .q8 ? .q8 : .f16 }
}

/// How models are computed.
struct ComputeOptions: ParsableArguments {
    @Option(name: .customLong("threads"), help: "Threads that compute (default: one per processor core).")
    var chosenThreads: Int?

    @Option(
        name: .customLong("kv-cache"),
        help: "Keys and values in half precision (f16, the default), or in bytes (q8): half the memory and faster in long texts.")
    var chosenCache: CacheChoice?

    @Flag(help: "The reference path: f32 activations, exactly decoded weights, f32 cache. Slow.")
    var precise = false

    var threads: Int {
        get { chosenThreads ?? Self.standardThreads }
        set { chosenThreads = newValue }
    }
    var kvCache: CacheChoice {
        get { chosenCache ?? .f16 }
        set { chosenCache = newValue }
    }

    func validate() throws {
        if precise && kvCache != .f16 { throw ValidationError("--precise keeps keys and values in f32: leave --kv-cache out") }
        if !(1...256).contains(threads) { throw ValidationError("--threads must be between 1 and 256") }
        if let name = ProcessInfo.processInfo.environment["LMX_ISA"], !name.isEmpty, !ck_isa_select(name) {
            let names = (0...8).compactMap { ck_isa_available($0).map { String(cString: $0) } }
            throw ValidationError("LMX_ISA is \(ModelError.quoted(name)), this processor runs \(names.joined(separator: ", "))")
        }
    }

    /// Physical cores that this process may use: two threads on one core only get in each other's way.
    static let standardThreads: Int = {
        let usable = ProcessInfo.processInfo.activeProcessorCount
        var cores: Set<String> = []
        for processor in 0..<usable {
            let folder = "/sys/devices/system/cpu/cpu\(processor)/topology/"
            guard let core = try? String(contentsOfFile: folder + "core_id", encoding: .utf8),
                let package = try? String(contentsOfFile: folder + "physical_package_id", encoding: .utf8)
            else { return max(1, usable) }
            cores.insert(package + core)
        }
        return max(1, min(cores.isEmpty ? usable : cores.count, 256))
    }()
}

struct SamplingOptions: ParsableArguments {
    @Option(help: "0 always takes the most likely token.") var temperature: Float = 0.7
    @Option(help: "Keep the K most likely tokens (0: all).") var topK = 0
    @Option(help: "Keep the fewest tokens that together have this probability.") var topP: Float = 1
    @Option(help: "Keep tokens at least this fraction as likely as the best.") var minP: Float = 0
    @Option(help: "Make recent tokens less likely (1: off).") var repetitionPenalty: Float = 1
    @Option(help: "The same seed gives the same text.") var seed: UInt64?

    var parameters: SamplingParameters {
        var parameters = SamplingParameters()
        parameters.temperature = temperature
        parameters.topK = topK
        parameters.topP = topP
        parameters.minP = minP
        parameters.repetitionPenalty = repetitionPenalty
        parameters.seed = seed
        return parameters
    }
}

/// What the engine may do to answer sooner; none of it changes an answer.
struct ReuseOptions: ParsableArguments {
    @Flag(
        name: .customLong("speculation"), inversion: .prefixedNo,
        help: "Guess next tokens from the text itself and verify several at once, where it pays (default: --speculation).")
    var chosenSpeculation: Bool?
    @Flag(
        name: .customLong("prefix-cache"), inversion: .prefixedNo,
        help: "Keep what was computed for prompts that begin alike (default: --prefix-cache).")
    var chosenPrefixCache: Bool?

    var speculation: Bool { chosenSpeculation ?? true }
    var prefixCache: Bool { chosenPrefixCache ?? true }

    func apply(to options: inout EngineOptions) {
        options.speculation = speculation ? .automatic : .off
        options.reusesPrefixes = prefixCache
    }
}
