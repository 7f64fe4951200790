internal import ArgumentParser
internal import Compute
internal import Formats
internal import Foundation
internal import Weights

struct Bench: ParsableCommand, Reporting {
    static let configuration = CommandConfiguration(
        abstract: "Prompt and generation speed, and what the machine allows.",
        discussion: """
            Random token ids, no sampling: the same work as llama-bench's pp and tg tests. Sizes may be lists: every prompt
            length, and every depth with every batch, is a test of its own. --compare runs two models in turn and takes the
            ratio pair by pair: the price of one format against another. --machine measures the limits instead: the rate at
            which memory is read, and the rate of the bare matrix product for the forms that the models are made of.

            Examples:
              lmx bench MODEL --prompt 512 --generate 128
              lmx bench MODEL --prompt 0 --generate 32 --depth 0,1024,4096 --batch 1,8
              lmx bench --compare model-mlx model.gguf
              lmx bench --machine MODEL
            """)

    @Argument(help: "Paths or ids.") var models: [String] = []
    @Option(parsing: .upToNextOption, help: "Two models to run in turn.") var compare: [String] = []
    @Flag(help: "Measure what the machine allows, not a model's speed.") var machine = false
    @Option(help: "Bytes read again and again by --machine, besides those that a step of each model reads.")
    var workingSet = SizeList([512 << 20])
    @Option(help: "Tokens in the prompt tests (0: leave them out).") var prompt = SizeList([512])
    @Option(help: "Tokens in each generation test (0: leave them out).") var generate = 128
    @Option(help: "Positions in the cache before a test.") var depth = SizeList([0])
    @Option(help: "Sequences that generate together.") var batch = SizeList([1])
    @Option(help: "Counted runs of each test, after one warm-up.") var repetitions = 5
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var folders: FolderOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if machine {
            if !compare.isEmpty { throw ValidationError("--machine and --compare exclude each other") }
        } else if compare.isEmpty == models.isEmpty {
            throw ValidationError("name models, or two of them after --compare")
        }
        if !compare.isEmpty && compare.count != 2 { throw ValidationError("--compare takes two models") }
        let ranges = [
            ("--prompt", prompt.sizes, 0...65_536), ("--generate", [generate], 0...65_536), ("--depth", depth.sizes, 0...1_000_000),
            ("--batch", batch.sizes, 1...256), ("--repetitions", [repetitions], 1...1000),
            ("--working-set", workingSet.sizes, 4096...(1 << 36)),
        ]
        for (name, values, range) in ranges where !values.allSatisfy(range.contains) {
            throw ValidationError("\(name) must be between \(range.lowerBound) and \(range.upperBound)")
        }
    }

    func run() throws {
        let paths = try (compare.isEmpty ? models : compare).map { try folders.models.path(of: $0) }
        if machine { return try report(limits(paths)) }
        var results: [BenchSubject.Result] = []
        if compare.isEmpty {
            for path in paths {  // one at a time: memory for one
                let subject = try BenchSubject(path, plan, compute)
                try subject.warmUp()
                for _ in 0..<repetitions { try subject.measure() }
                results.append(subject.result)
            }
        } else {
            let subjects = try paths.map { try BenchSubject($0, plan, compute) }
            for subject in subjects { try subject.warmUp() }
            for _ in 0..<repetitions { for subject in subjects { try subject.measure() } }
            results = subjects.map(\.result)
        }
        try report(results, readRates: limits([], of: results.map(\.bytesPerStep)).reads)
    }

    private var plan: BenchSubject.Plan {
        BenchSubject.Plan(
            prompts: prompt.sizes.filter { $0 > 0 }, generate: generate, depths: depth.sizes.sorted(), batches: batch.sizes)
    }

    /// The read rate over each working set, and the kernels' rate for the forms of each model.
    private func limits(_ paths: [String], of workingSets: [Int] = []) throws -> MachineLimits {
        var limits = MachineLimits()
        var sizes = workingSets + (machine ? workingSet.sizes : [])
        for path in paths {
            let source = try ModelSources.open(path)
            let model = try Composition.model(of: source, compute, precise: false)
            sizes.append(try ModelWork(source, model.options).bytesPerStep)
            for tokens in Set(batch.sizes + prompt.sizes).subtracting([0]).sorted() {
                limits.kernels += KernelProbe.rates(model, named: (path as NSString).lastPathComponent, tokens: tokens)
            }
        }
        let probe = MemoryProbe(bytes: sizes.max() ?? 0, threads: compute.threads)
        limits.reads = Set(sizes).sorted().map { (bytes: $0, rate: probe.readRate(bytes: $0)) }
        return limits
    }
}

/// One size, or several with commas between: `512`, `32,64,128`.
struct SizeList: ExpressibleByArgument, CustomStringConvertible {
    let sizes: [Int]

    init(_ sizes: [Int]) { self.sizes = sizes }

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        guard !parts.isEmpty, parts.count <= 64, parts.allSatisfy({ $0 != nil }) else { return nil }
        sizes = parts.compactMap(\.self)
    }

    var description: String { sizes.map(String.init).joined(separator: ",") }
    var defaultValueDescription: String { description }
}
