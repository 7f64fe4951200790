internal import ArgumentParser
internal import CKernels
internal import Compute
internal import Formats
internal import Foundation
internal import Weights

struct Bench: ParsableCommand, Reporting {
    static let configuration = CommandConfiguration(
        abstract: "Prompt and generation speed.",
        discussion: """
            Random token ids, no sampling: the same work as llama-bench's pp and tg tests. --compare runs two models in
            turn and takes the ratio pair by pair: the price of one format against another.

            Examples:
              lmx bench MODEL --prompt 512 --generate 128
              lmx bench --compare model-mlx model.gguf
            """)

    @Argument(help: "Paths or ids.") var models: [String] = []
    @Option(parsing: .upToNextOption, help: "Two models to run in turn.") var compare: [String] = []
    @Option(help: "Tokens in the prompt test (0: leave it out).") var prompt = 512
    @Option(help: "Tokens in the generation test (0: leave it out).") var generate = 128
    @Option(help: "Positions in the cache before either test.") var depth = 0
    @Option(help: "Sequences that generate together.") var batch = 1
    @Option(help: "Counted runs of each test, after one warm-up.") var repetitions = 5
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var folders: FolderOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if compare.isEmpty == models.isEmpty { throw ValidationError("name models, or two of them after --compare") }
        if !compare.isEmpty && compare.count != 2 { throw ValidationError("--compare takes two models") }
        let ranges = [
            ("--prompt", prompt, 0...65_536), ("--generate", generate, 0...65_536), ("--depth", depth, 0...1_000_000),
            ("--batch", batch, 1...256), ("--repetitions", repetitions, 1...1000),
        ]
        for (name, value, range) in ranges where !range.contains(value) {
            throw ValidationError("\(name) must be between \(range.lowerBound) and \(range.upperBound)")
        }
    }

    func run() throws {
        let names = compare.isEmpty ? models : compare
        if compare.isEmpty {
            var results: [Result] = []
            for name in names {  // one at a time: memory for one
                let subject = try Subject(name, self)
                try subject.warmUp()
                for round in 0..<repetitions { try subject.measure(round) }
                results.append(subject.result)
            }
            try report(results)
        } else {
            let subjects = try names.map { try Subject($0, self) }
            for subject in subjects { try subject.warmUp() }
            for round in 0..<repetitions { for subject in subjects { try subject.measure(round) } }
            try report(subjects.map(\.result))
        }
    }

    /// Tokens per second of every counted run.
    fileprivate struct Result {
        let name: String, quantization: String, packedBytes: Int, bytesPerStep: Int
        var prompt: [Double] = [], generate: [Double] = []
    }

    /// One model with its cache, measured run by run.
    private final class Subject {
        private let bench: Bench
        private var state: ModelState  // moves with the class, never copied
        private(set) var result: Result
        private var dice = SystemRandomNumberGenerator()
        private let pieces: Int

        init(_ name: String, _ bench: Bench) throws {
            let source = try ModelSources.open(bench.folders.models.path(of: name))
            let model = try Composition.model(of: source, bench.compute, precise: bench.compute.precise)
            let positions = bench.depth + max(bench.prompt, bench.generate) + 8
            state = try ModelState(model, positions: positions, sequences: bench.batch)
            pieces = model.hyperparameters.vocabularySize
            result = Result(
                name: name, quantization: quantizationLabel(of: source), packedBytes: model.packedBytes,
                bytesPerStep: try Self.bytesPerStep(source, model.options))
            self.bench = bench
        }

        /// Bytes of weights that one generated token reads: all of them, but an embedding table only where it is the output too.
        private static func bytesPerStep(_ source: any ModelSource, _ options: ModelOptions) throws(ModelError) -> Int {
            let summary = try ModelSummary(source, options: options)
            let hasOutput = summary.tensors.contains { $0.role.part == .output }
            return summary.tensors.reduce(0) { $0 + ($1.role.part == .tokenEmbedding && hasOutput ? 0 : $1.executedBytes) }
        }

        private func tokens(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32.random(in: 0..<Int32(pieces), using: &dice) } }

        func warmUp() throws {
            state.restart()
            if bench.prompt > 0 { try state.run(tokens(min(bench.prompt, 64)), logits: .last) { _ in } }
            if bench.generate > 0 { for _ in 0..<4 { try state.run(tokens(1), logits: .last) { _ in } } }
        }

        func measure(_ round: Int) throws {
            if bench.prompt > 0 {
                state.restart()
                if bench.depth > 0 { try state.run(tokens(bench.depth), logits: .none) { _ in } }
                let ids = tokens(bench.prompt)
                result.prompt.append(Double(bench.prompt) / (try seconds { try state.run(ids, logits: .last) { _ in } }))
            }
            if bench.generate > 0 {
                state.restart()
                for sequence in 0..<bench.batch { try state.run(tokens(max(bench.depth, 1)), in: sequence, logits: .none) { _ in } }
                let ids = (0..<bench.generate).map { _ in tokens(bench.batch) }
                let time = try seconds { for step in ids { try state.step(step) } }
                result.generate.append(Double(bench.generate * bench.batch) / time)
            }
        }

        private func seconds(_ body: () throws -> Void) rethrows -> Double {
            let clock = ContinuousClock()
            let start = clock.now
            try body()
            let passed = clock.now - start
            return Double(passed.components.seconds) + Double(passed.components.attoseconds) * 1e-18
        }
    }
}

extension Bench {
    private func report(_ results: [Result]) throws {
        let readRate = MemoryProbe.readRate(threads: compute.threads)
        let isa = String(cString: ck_isa_name())
        if output.json {
            var document: JSONObject = [
                "engine": .string("lmx"), "version": .string(Version.text), "instruction_set": .string(isa),
                "threads": .int(compute.threads),
                "precise": .bool(compute.precise), "memory_read_gb_per_second": .float(readRate), "prompt": .int(prompt),
                "generate": .int(generate),
                "depth": .int(depth), "batch": .int(batch),
                "models": .array(
                    results.map { result in
                        .object([
                            "model": .string(result.name), "quantization": .string(result.quantization),
                            "packed_bytes": .int(result.packedBytes),
                            "tokens_per_second": .object([
                                "prompt": .array(result.prompt.map { .float($0) }), "generate": .array(result.generate.map { .float($0) }),
                            ]),
                        ])
                    }),
            ]
            if results.count == 2, !compare.isEmpty {
                document["ratios"] = .object([
                    "prompt": .array(ratios(results, \.prompt).map { .float($0) }),
                    "generate": .array(ratios(results, \.generate).map { .float($0) }),
                ])
            }
            return print(JSONValue.object(document).serialized())
        }
        print(
            "\(Machine.processor), \(compute.threads) threads, \(isa)\(compute.precise ? ", precise" : ""); memory read rate \(readRate.fixed(1)) GB/s\n"
        )
        var rows: [[String]] = []
        for result in results {
            if prompt > 0 { rows.append([result.name, result.quantization, label("pp", prompt), spread(result.prompt), "–"]) }
            if generate > 0 {
                let share = median(result.generate) / Double(batch) * Double(result.bytesPerStep) / (readRate * 1e9)
                rows.append([
                    result.name, result.quantization, label("tg", generate), spread(result.generate), "\((100 * share).fixed(0)) %",
                ])
            }
        }
        print(markdownTable(["model", "quantization", "test", "tokens per second", "of memory read rate"], rows))
        if results.count == 2, !compare.isEmpty {
            print("\n\(results[0].name) against \(results[1].name), pair by pair:")
            if prompt > 0 { print("  \(label("pp", prompt))  \(spread(ratios(results, \.prompt), decimals: 3)) ×") }
            if generate > 0 { print("  \(label("tg", generate))  \(spread(ratios(results, \.generate), decimals: 3)) ×") }
        }
    }

    private func label(_ test: String, _ size: Int) -> String {
        test + String(size) + (depth > 0 ? "@\(depth)" : "") + (test == "tg" && batch > 1 ? " ×\(batch)" : "")
    }

    private func ratios(_ results: [Result], _ test: KeyPath<Result, [Double]>) -> [Double] {
        zip(results[0][keyPath: test], results[1][keyPath: test]).map { $0 / $1 }
    }

    private func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        return sorted.count % 2 == 1 ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
    }

    private func spread(_ values: [Double], decimals: Int = 1) -> String {
        "\(median(values).fixed(decimals)) (\((values.min() ?? 0).fixed(decimals))–\((values.max() ?? 0).fixed(decimals)))"
    }
}

/// What this machine is.
enum Machine {
    static var processor: String {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
        return line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown processor"
    }
}

/// How fast this machine reads memory now: the bound on decoding.
enum MemoryProbe {
    /// GB (10⁹ bytes) per second over 512 MiB with the given threads, the best of three passes.
    static func readRate(threads: Int) -> Double {
        let words = 1 << 26  // 512 MiB, far beyond any cache
        let block = UnsafeMutablePointer<UInt64>.allocate(capacity: words)
        defer { block.deallocate() }
        block.initialize(repeating: 1, count: words)
        let team = ck_team_create(Int32(threads))
        defer { ck_team_destroy(team) }
        struct Context {
            let block: UnsafePointer<UInt64>
            let words: Int
            let sums: UnsafeMutablePointer<UInt64>  // by member; what is stored has to be read
        }
        let sums = UnsafeMutablePointer<UInt64>.allocate(capacity: threads)
        defer { sums.deallocate() }
        var context = Context(block: block, words: words, sums: sums)
        var best = 0.0
        for _ in 0..<3 {
            let clock = ContinuousClock()
            let start = clock.now
            ck_team_run(
                team,
                { pointer, member, members in
                    guard let context = pointer?.assumingMemoryBound(to: Context.self).pointee else { return }
                    let share = context.words / Int(members)
                    let start = Int(member) * share
                    var sums = SIMD8<UInt64>()
                    var index = start
                    while index + 8 <= start + share {
                        sums &+= UnsafeRawPointer(context.block + index).loadUnaligned(as: SIMD8<UInt64>.self)
                        index += 8
                    }
                    context.sums[Int(member)] = sums.wrappedSum()
                }, &context)
            let passed = clock.now - start
            let seconds = Double(passed.components.seconds) + Double(passed.components.attoseconds) * 1e-18
            best = max(best, Double(words * 8) / seconds / 1e9)
        }
        return best
    }
}
