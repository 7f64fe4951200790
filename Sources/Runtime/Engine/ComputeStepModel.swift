import Compute
import Weights

/// A `Compute` model with the cache and the working memory that belong to one inference thread.
final class ComputeStepModel: StepModel {
    private let model: Model
    private var cache: KVCache
    private var workspace: Workspace
    private var batch = Batch()  // its memory is used again by every step

    /// Throws `insufficientMemory` when the cache cannot be had.
    init(_ model: Model, pages: Int) throws(ModelError) {
        self.model = model
        cache = try model.makeCache(pages: pages)
        workspace = try model.makeWorkspace()
    }

    var vocabularySize: Int { model.hyperparameters.vocabularySize }
    var maximumStepTokens: Int { model.options.maximumBatchTokens }
    var pageTokens: Int { KVCache.pageTokens }
    var totalPages: Int { cache.totalPages }
    var reservedPages: Int { cache.use.heldPages + cache.use.promisedPages }
    var touchedPages: Int { cache.use.touchedPages }
    var isExact: Bool { !model.options.precise }

    func open(beginning tokens: [Int32], capacity: Int) -> (slot: Int, held: Int)? {
        guard let slot = cache.open(beginning: tokens, capacity: capacity) else { return nil }
        return (slot.index, cache.count(slot))
    }

    func close(_ slot: Int) { cache.close(SequenceSlot(index: slot)) }

    func adopt(_ slot: Int, beginning tokens: [Int32]) -> Int { cache.adopt(SequenceSlot(index: slot), beginning: tokens) }

    func keep(_ slot: Int, tokens: [Int32], count: Int) { cache.keep(SequenceSlot(index: slot), tokens: tokens, count: count) }

    func rewind(_ slot: Int, to count: Int) { cache.rewind(SequenceSlot(index: slot), to: count) }

    func forward(_ runs: [StepRun]) {
        batch.runs.removeAll(keepingCapacity: true)
        for run in runs {
            let logits: Batch.Logits = run.rows == 0 ? .none : run.rows == 1 ? .last : .all
            batch.runs.append(Batch.Run(slot: SequenceSlot(index: run.slot), tokens: run.tokens, logits: logits))
        }
        model.forward(batch, cache: &cache, workspace: &workspace)
    }

    func logits(_ row: Int) -> UnsafeBufferPointer<Float> { workspace.logits(row) }
}
