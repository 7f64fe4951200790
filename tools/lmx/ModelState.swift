internal import Compute
internal import Weights

/// A model with a cache and buffers of its own, for commands that drive the forward pass themselves.
struct ModelState: ~Copyable {
    let model: Model
    private var cache: KVCache
    private var workspace: Workspace
    private var slots: [SequenceSlot]
    private let positions: Int

    /// - Parameters:
    ///   - positions: the longest sequence.
    ///   - sequences: how many run side by side.
    ///   - observingInputs: of a precise model, for `inputMeanSquares`.
    init(_ model: Model, positions: Int, sequences: Int = 1, observingInputs: Bool = false) throws(ModelError) {
        let pages = (positions + KVCache.pageTokens - 1) / KVCache.pageTokens
        var cache = try model.makeCache(pages: pages * sequences)
        let workspace = try model.makeWorkspace(observingInputs: observingInputs)
        slots = (0..<sequences).map { _ in cache.open() }
        self.model = model
        self.positions = positions
        self.cache = cache
        self.workspace = workspace
    }

    /// What each matrix has been multiplied by so far.
    var inputMeanSquares: [TensorName: [Float]] { model.inputMeanSquares(seenBy: workspace) }

    /// Empties every sequence.
    mutating func restart() {
        for index in slots.indices {
            cache.close(slots[index])
            slots[index] = cache.open()
        }
    }

    /// Appends tokens to a sequence in chunks of the model's batch size; `row` sees each requested row of logits.
    mutating func run(
        _ tokens: [Int32], in sequence: Int = 0, logits: Batch.Logits, row: (UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        var next = 0
        while next < tokens.count {
            let end = min(next + model.options.maximumBatchTokens, tokens.count)
            let wanted: Batch.Logits = logits == .last && end < tokens.count ? .none : logits
            let batch = Batch(runs: [.init(slot: slots[sequence], tokens: Array(tokens[next..<end]), logits: wanted)])
            try reserve(batch)
            model.forward(batch, cache: &cache, workspace: &workspace)
            for index in 0..<batch.logitsCount { try row(workspace.logits(index)) }
            next = end
        }
    }

    /// One token for every sequence, together.
    mutating func step(_ tokens: [Int32]) throws {
        let batch = Batch(runs: zip(slots, tokens).map { .init(slot: $0, tokens: [$1], logits: .last) })
        try reserve(batch)
        model.forward(batch, cache: &cache, workspace: &workspace)
    }

    private mutating func reserve(_ batch: Batch) throws {
        for run in batch.runs where !cache.reserve(run.slot, tokens: run.tokens.count) {
            let room = min(positions, model.hyperparameters.contextLength)
            throw ModelError(.outOfRange, at: "context", "has room for \(room) positions, more were asked for")
        }
    }
}
