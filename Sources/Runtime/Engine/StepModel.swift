/// A model with its cache and working memory, as the inference thread drives it: tokens in, rows of logits out.
///
/// The engine's own view of `Compute`, so that scheduling, streams and races are tested with a model of three lines.
/// Used by one thread at a time.
package protocol StepModel: AnyObject {
    var vocabularySize: Int { get }
    /// Tokens that one `forward` takes.
    var maximumStepTokens: Int { get }
    var pageTokens: Int { get }
    var totalPages: Int { get }
    var freePages: Int { get }

    /// A new, empty sequence.
    func open() -> Int
    func close(_ slot: Int)
    /// Pages for `tokens` more positions; false, and nothing taken, when too few are free.
    func reserve(_ slot: Int, tokens: Int) -> Bool
    /// Continues each run's sequence by its tokens. A sequence is at most once in a step.
    func forward(_ runs: [StepRun])
    /// Row `row` of the logits of the last step, counting the runs that wanted any. Valid until the next step.
    func logits(_ row: Int) -> UnsafeBufferPointer<Float>
}

/// Consecutive tokens of one sequence.
package struct StepRun: Sendable, Equatable {
    package var slot: Int
    package var tokens: [Int32]
    package var wantsLogits: Bool  // of its last token

    package init(slot: Int, tokens: [Int32], wantsLogits: Bool) {
        self.slot = slot
        self.tokens = tokens
        self.wantsLogits = wantsLogits
    }
}
