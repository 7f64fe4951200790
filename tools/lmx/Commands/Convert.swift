internal import ArgumentParser
internal import Compute
internal import Formats
internal import Foundation
internal import Synchronization
internal import Weights

struct Convert: ParsableCommand, Reporting {
    static let configuration = CommandConfiguration(
        abstract: "Between GGUF, MLX safetensors and Hugging Face safetensors: codes are moved, never requantised silently.",
        discussion: """
            What the target cannot hold exactly is refused by name, unless --quantize, --fallback or --keep-codes allows it.
            The result appears under its name only when it is complete.

            Examples:
              lmx convert model.gguf model-mlx                          # Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, F16 …: exact
              lmx convert model-mlx-4bit model.gguf                     # 4-bit MLX becomes Q4_1 or Q4_0: exact
              lmx convert model-hf model.gguf --quantize q4_k_m
              lmx convert model-hf model.gguf --quantize q4_k_m --calibrate text.txt --verify other.txt
              lmx convert model.gguf model-mlx --dry-run
            """)

    enum Target: String, ExpressibleByArgument, CaseIterable { case gguf, mlx, hf }
    enum ScaleType: String, ExpressibleByArgument, CaseIterable { case f16, bf16, f32 }

    @Argument(help: "The model: a path or an id.") var source: String
    @Argument(help: "What to write: NAME.gguf, or a folder of safetensors.") var destination: String
    @Option(help: "The form to write: gguf, mlx or hf (default: gguf for NAME.gguf, else mlx).") var to: Target?
    @Option(
        help: ArgumentHelp(
            "Round every matrix: \(Quantization.names.joined(separator: ", ")), or mlx with --bits, --group-size, --mode.", valueName: "type"))
    var quantize: String?
    @Option(help: ArgumentHelp("Round only matrices that do not move exactly, to one of the same types.", valueName: "type"))
    var fallback: String?
    @Option(help: "Bits of MLX's codes: 2, 3, 4, 5, 6 or 8.") var bits = 4
    @Option(help: "Values that share one of MLX's scales: 32, 64 or 128.") var groupSize = 64
    @Option(help: "MLX's kind of quantisation: affine.") var mode = "affine"
    @Option(help: "The type of MLX's scales: f16, bf16 or f32 (default: the source's).") var scales: ScaleType?
    @Flag(help: "One type for all matrices, no mixture.") var pure = false
    @Flag(help: "Keep codes where the result grows or scales are rounded: Q4_K and Q5_K to MLX, scales beyond f16 to GGUF.")
    var keepCodes = false
    @Flag(help: "Say what would be done and how large it gets, write nothing.") var dryRun = false
    @Option(help: ArgumentHelp("Write the report as JSON to this file.", valueName: "file")) var report: String?
    @Option(
        help: ArgumentHelp("Weight rounding by what the model does with a text: for q4_0 … q6_k and their mixtures.", valueName: "text file"))
    var calibrate: String?
    @Option(help: ArgumentHelp("Compare result and source on a text: perplexity, KL divergence.", valueName: "text file"))
    var verify: String?
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var folders: FolderOptions
    @OptionGroup var output: OutputOptions

    private var target: ConversionTarget {
        to.flatMap { ConversionTarget(rawValue: $0.rawValue) } ?? (destination.hasSuffix(".gguf") ? .gguf : .mlx)
    }
    private var scaleNumber: Packing.Number? { scales.flatMap { Packing.Number(rawValue: $0.rawValue) } }

    func validate() throws {
        for name in [quantize, fallback].compactMap({ $0 }) where Self.mlxBits(name, bits) == nil && Quantization.ggml(name) == nil {
            throw ValidationError("\(ModelError.quoted(name)) is none of mlx, \(Quantization.names.joined(separator: ", "))")
        }
        if Quantization.affine(bits: bits, group: groupSize, scale: .f16) == nil {
            throw ValidationError("MLX has 2, 3, 4, 5, 6 and 8 bits in groups of 32, 64 and 128, not \(bits) in \(groupSize)")
        }
        if mode != "affine" { throw ValidationError("--mode \(mode): only affine is written") }
        if calibrate != nil, ![quantize, fallback].contains(where: { $0.flatMap { Quantization.ggml($0) }?.canBeCalibrated == true }) {
            throw ValidationError("--calibrate needs --quantize or --fallback with one of q4_0 … q6_k: other types are not searched for")
        }
        if verify != nil, dryRun { throw ValidationError("--verify needs a result, --dry-run writes none") }
    }

    func run() throws {
        let source = try ModelSources.open(folders.models.path(of: source))
        let architecture = try architecture(of: source)
        var options = options(for: source)
        var conversion = try Conversion(source, architecture, options)  // refuses before anything is computed
        guard !dryRun else { return try show(conversion.report, last: "nothing written (--dry-run)") }
        Interruption.watch()
        let stopped: @Sendable () -> Bool = { Interruption.happened }
        let verification = try verify.map { try ConversionTexts.verification($0, of: source, compute, stopped: stopped) }
        if let calibrate {
            options.calibration = try ConversionTexts.calibration(calibrate, of: source, compute, stopped: stopped)
            conversion = try Conversion(source, architecture, options)
        }
        let bar = CarryingBar(bytes: conversion.report.targetBytes)
        let found = try conversion.run(
            to: destination, threads: compute.threads, stopped: stopped, progress: { bar.show($0) }, verify: verification)
        try show(found, last: "\(destination) written")
    }

    private func architecture(of source: any ModelSource) throws(ModelError) -> ConversionArchitecture {
        let architecture = try Architecture.named(in: source.metadata)
        return ConversionArchitecture(
            layout: architecture.layout, ggufName: architecture.ggufNames[0],
            modelType: source.metadata.dialect == .huggingFace ? source.metadata.architecture : architecture.huggingFaceNames[0],
            standard: architecture.standard)
    }

    private func options(for source: any ModelSource) -> ConversionOptions {
        var options = ConversionOptions(target: target)
        options.keepsCodes = keepCodes
        options.scales = scaleNumber
        options.quantization = quantize.flatMap { quantization($0, source) }
        options.fallback = fallback.flatMap { quantization($0, source) }
        return options
    }

    /// MLX's scales are of the type in which the model computes.
    private func quantization(_ name: String, _ source: any ModelSource) -> Quantization? {
        guard let bits = Self.mlxBits(name, bits) else { return .ggml(name, pure: pure) }
        let dense = source.records.values.filter { $0.shape.count > 1 }.compactMap { ($0.format as? Dense)?.number }
        return .affine(bits: bits, group: groupSize, scale: scaleNumber ?? dense.first ?? .f16)
    }

    /// `mlx`, or with its bits `mlx-4`.
    private static func mlxBits(_ name: String, _ standard: Int) -> Int? {
        if name == "mlx" { return standard }
        guard name.hasPrefix("mlx-"), let bits = Int(name.dropFirst(4)), [2, 3, 4, 5, 6, 8].contains(bits) else { return nil }
        return bits
    }

    private func show(_ found: ConversionReport, last: String) throws {
        if let report { try Data(found.json.serialized().utf8).write(to: URL(fileURLWithPath: report)) }
        if output.json { return print(found.json.serialized()) }
        for line in found.summary { print(line) }
        print("\(humanBytes(found.sourceBytes)) → \(humanBytes(found.targetBytes))")
        print(last)
    }
}

/// Ctrl-C and SIGTERM during a conversion: noticed here, acted upon between two pieces, so that nothing half-written is left.
private enum Interruption {
    private static let flag = Atomic(false)
    static var happened: Bool { flag.load(ordering: .relaxed) }

    static func watch() {
        for number in [SIGINT, SIGTERM, SIGHUP] { signal(number) { _ in Interruption.flag.store(true, ordering: .relaxed) } }
        signal(SIGXFSZ, SIG_IGN)  // a file beyond its limit is an error of write, not the end
    }
}

/// A progress bar with the rate of writing and the time left; nothing where standard error is no terminal.
private final class CarryingBar {
    private let total: Int
    private let start = Date()
    private var last = -1

    init(bytes: Int) { total = max(bytes, 1) }

    func show(_ done: Int) {
        let percent = min(100 * done / total, 100)
        guard Terminal.showsProgress, percent != last else { return }
        last = percent
        let seconds = max(Date().timeIntervalSince(start), 1e-3)
        let rate = Double(done) / seconds
        let left = Double(total - done) / max(rate, 1)
        let bar = String(repeating: "█", count: percent * 30 / 100) + String(repeating: "░", count: 30 - percent * 30 / 100)
        let text = "\rconverting \(bar) \(percent) %  \(humanBytes(Int(rate)))/s  \(Int(left.rounded(.up))) s left\u{1B}[K"
        FileHandle.standardError.write(Data((percent == 100 ? "\r\u{1B}[K" : text).utf8))
    }
}
