import Compute
import Weights

/// A model with a cache and a workspace, as a thing that expectations can call.
final class Session {
    let model: Model
    private var cache: KVCache
    private var workspace: Workspace

    init(_ model: Model, pages: Int) throws(ModelError) {
        self.model = model
        let cache = try model.makeCache(pages: pages)
        let workspace = try model.makeWorkspace()
        self.cache = cache
        self.workspace = workspace
    }

    var freePages: Int { cache.freePages }
    func open() -> SequenceSlot { cache.open() }
    func close(_ slot: SequenceSlot) { cache.close(slot) }
    func count(_ slot: SequenceSlot) -> Int { cache.count(slot) }
    func reserve(_ slot: SequenceSlot, tokens: Int) -> Bool { cache.reserve(slot, tokens: tokens) }
    func truncate(_ slot: SequenceSlot, to count: Int) { cache.truncate(slot, to: count) }

    /// Reserves, runs one step, and returns the rows of logits that were asked for.
    func run(_ runs: [Batch.Run]) -> [[Float]] {
        for run in runs where !cache.reserve(run.slot, tokens: run.tokens.count) { return [] }
        model.forward(Batch(runs: runs), cache: &cache, workspace: &workspace)
        return (0..<workspace.logitsRows).map { Array(workspace.logits($0)) }
    }

    func run(_ slot: SequenceSlot, _ tokens: some Sequence<Int32>, _ logits: Batch.Logits) -> [[Float]] {
        run([Batch.Run(slot: slot, tokens: Array(tokens), logits: logits)])
    }
}

extension Model {
    /// The logits of every position of one sequence, run in chunks of the given lengths.
    func logits(_ tokens: [Int32], chunks: [Int]? = nil) throws -> [[Float]] {
        let session = try Session(self, pages: 1 + tokens.count / KVCache.pageTokens)
        let slot = session.open()
        var rows: [[Float]] = []
        var start = 0
        for length in chunks ?? [tokens.count] {
            rows += session.run(slot, tokens[start..<start + length], .all)
            start += length
        }
        return rows
    }
}

func largestDifference(_ left: [Float], _ right: [Float]) -> Float {
    left.count == right.count ? zip(left, right).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
}

/// Root of the mean squared difference, relative to the spread of the expected values.
func relativeError(_ values: [Float], from expected: [Float]) -> Double {
    guard values.count == expected.count, !values.isEmpty else { return .infinity }
    let mean = expected.reduce(0.0) { $0 + Double($1) } / Double(expected.count)
    let spread = expected.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    let error = zip(values, expected).reduce(0.0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
    return (error / max(spread, 1e-30)).squareRoot()
}

/// Token ids that visit the vocabulary without order.
func someTokens(_ count: Int, vocabulary: Int, seed: UInt64 = 7) -> [Int32] {
    var random = SplitMix(seed: seed)
    return (0..<count).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &random) }
}
