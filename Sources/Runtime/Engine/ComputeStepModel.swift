import Compute
import Weights

/// A `Compute` model with the cache and the working memory that belong to one inference thread.
final class ComputeStepModel: StepModel {
    private let model: Model
    private var cache: KVCache
    private var workspace: Workspace
    private var slots: [Int: SequenceSlot] = [:]

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
    var freePages: Int { cache.freePages }

    func open() -> Int {
        let slot = cache.open()
        slots[slot.index] = slot
        return slot.index
    }

    func close(_ slot: Int) {
        if let slot = slots.removeValue(forKey: slot) { cache.close(slot) }
    }

    func reserve(_ slot: Int, tokens: Int) -> Bool {
        guard let slot = slots[slot] else { return false }
        return cache.reserve(slot, tokens: tokens)
    }

    func forward(_ runs: [StepRun]) {
        let batch = Batch(
            runs: runs.compactMap { run in
                slots[run.slot].map { Batch.Run(slot: $0, tokens: run.tokens, logits: run.wantsLogits ? .last : .none) }
            })
        model.forward(batch, cache: &cache, workspace: &workspace)
    }

    func logits(_ row: Int) -> UnsafeBufferPointer<Float> { workspace.logits(row) }
}
