internal import Compute
internal import Formats
internal import Foundation
internal import Weights

/// One model with its cache, measured run by run.
final class BenchSubject {
    /// Which tests: every prompt length on its own at the first depth, every depth with every batch.
    struct Plan {
        let prompts: [Int], generate: Int, depths: [Int], batches: [Int]
    }

    /// One test and its counted runs.
    struct Test {
        enum Kind: String { case prompt, generate }
        let kind: Kind
        let tokens: Int  // of one sequence
        let depth: Int  // positions in the cache before it
        let batch: Int  // sequences together
        var rates: [Double] = []  // tokens per second, all sequences together, one per run
    }

    struct Result {
        let name: String, quantization: String
        let fileBytes: Int, packedBytes: Int, bytesPerStep: Int, operationsPerToken: Int, cacheBytesPerToken: Int, predictedBytes: Int
        let loadSeconds: Double
        var peakBytes = 0  // resident, of this process so far
        var tests: [Test] = []
    }

    private(set) var result: Result
    private let plan: Plan
    private var state: ModelState  // moves with the class, never copied
    private var dice = SystemRandomNumberGenerator()
    private let pieces: Int

    init(_ path: String, _ plan: Plan, _ compute: ComputeOptions) throws {
        let clock = ContinuousClock()
        let start = clock.now
        let source = try ModelSources.open(path)
        let program = MemoryForecast.residentBytes
        let model = try Composition.model(of: source, compute, precise: compute.precise)
        let loadSeconds = (clock.now - start).seconds
        let deepest = plan.depths.max() ?? 0
        let positions = max((plan.prompts.max() ?? 0) + (plan.depths.first ?? 0), deepest + plan.generate * plan.depths.count) + 8
        let sequences = plan.generate > 0 ? plan.batches.max() ?? 1 : 1
        state = try ModelState(model, positions: positions, sequences: sequences)
        pieces = model.hyperparameters.vocabularySize
        self.plan = plan
        let work = try ModelWork(source, model.options)
        result = Result(
            name: (path as NSString).lastPathComponent, quantization: quantizationLabel(of: source),
            fileBytes: ModelFolders.size(of: path), packedBytes: model.packedBytes,
            bytesPerStep: work.bytesPerStep, operationsPerToken: work.operationsPerToken, cacheBytesPerToken: work.cacheBytesPerToken,
            predictedBytes: work.memory(positions: positions, sequences: sequences, program: program), loadSeconds: loadSeconds)
        result.tests =
            plan.prompts.map { Test(kind: .prompt, tokens: $0, depth: plan.depths.first ?? 0, batch: 1) }
            + (plan.generate > 0
                ? plan.batches.flatMap { batch in
                    plan.depths.map { Test(kind: .generate, tokens: plan.generate, depth: $0, batch: batch) }
                } : [])
    }

    private func tokens(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32.random(in: 0..<Int32(pieces), using: &dice) } }

    func warmUp() throws {
        state.restart()
        if let longest = plan.prompts.max() { try state.run(tokens(min(longest, 64)), logits: .last) { _ in } }
        if plan.generate > 0 { for _ in 0..<4 { try state.run(tokens(1), logits: .last) { _ in } } }
    }

    /// One run of every test.
    func measure() throws {
        var filled = 0  // positions in each sequence; the tests of one batch go deeper and deeper
        for index in result.tests.indices {
            let test = result.tests[index]
            switch test.kind {
            case .prompt:
                state.restart()
                if test.depth > 0 { try state.run(tokens(test.depth), logits: .none) { _ in } }
                let ids = tokens(test.tokens)
                result.tests[index].rates.append(Double(test.tokens) / (try seconds { try state.run(ids, logits: .last) { _ in } }))
            case .generate:
                if index == 0 || result.tests[index - 1].kind == .prompt || result.tests[index - 1].batch != test.batch {
                    state.restart()
                    filled = 0
                }
                let missing = max(test.depth, 1) - filled
                if missing > 0 {
                    for sequence in 0..<test.batch { try state.run(tokens(missing), in: sequence, logits: .none) { _ in } }
                    filled += missing
                }
                let ids = (0..<test.tokens).map { _ in tokens(test.batch) }
                let time = try seconds { for step in ids { try state.step(step) } }
                filled += test.tokens
                result.tests[index].rates.append(Double(test.tokens * test.batch) / time)
            }
        }
        result.peakBytes = MemoryForecast.peakResidentBytes
    }

    private func seconds(_ body: () throws -> Void) rethrows -> Double {
        let clock = ContinuousClock()
        let start = clock.now
        try body()
        return (clock.now - start).seconds
    }
}

/// What one token costs a model, counted from its headers.
struct ModelWork {
    /// Weights that one generated token reads: all of them, but an embedding table only where it is the output too.
    let bytesPerStep: Int
    /// A multiplication and an addition per weight that a token passes through, without the logits.
    let operationsPerToken: Int
    /// Keys and values of one position.
    let cacheBytesPerToken: Int
    private let summary: ModelSummary

    init(_ source: any ModelSource, _ options: ModelOptions) throws(ModelError) {
        summary = try ModelSummary(source, options: options)
        let hasOutput = summary.tensors.contains { $0.role.part == .output }
        bytesPerStep = summary.tensors.reduce(0) { $0 + ($1.role.part == .tokenEmbedding && hasOutput ? 0 : $1.executedBytes) }
        operationsPerToken = summary.tensors.reduce(0) { sum, tensor in
            let runs = tensor.shape.count > 1 && tensor.role.part != .tokenEmbedding && tensor.role.part != .output
            return sum + (runs ? 2 * tensor.shape.reduce(1, *) : 0)
        }
        cacheBytesPerToken = summary.cacheBytesPerToken
    }

    /// What loading and running will occupy, besides `program`: weights, cache, buffers.
    func memory(positions: Int, sequences: Int, program: Int) -> Int {
        MemoryForecast(summary, positions: positions, sequences: sequences, program: program).total
    }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
