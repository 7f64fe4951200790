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
    /// Pages that are reserved for sequences, taken or not.
    var reservedPages: Int { get }
    /// Pages that were ever written: only these take memory.
    var touchedPages: Int { get }
    /// Whether a token's logits are the same bits whatever else is in a step. Only then can tokens be guessed and verified
    /// together, and positions of other sequences be reused, without changing an answer.
    var isExact: Bool { get }

    /// A new sequence that begins with `tokens` and may grow to `capacity` positions; nil when its pages cannot be reserved.
    /// - Returns: `held`: the first positions that it has already, fewer than `tokens`, where others began alike.
    func open(beginning tokens: [Int32], capacity: Int) -> (slot: Int, held: Int)?
    func close(_ slot: Int)
    /// Takes over what others have computed meanwhile of a sequence that has come to a part of `tokens`; returns how many
    /// positions it holds now, fewer than `tokens`.
    func adopt(_ slot: Int, beginning tokens: [Int32]) -> Int
    /// The first `count` positions of a sequence are final, and others that begin with the same tokens may share them.
    func keep(_ slot: Int, tokens: [Int32], count: Int)
    /// Forgets the positions from `count` on. What was kept is not cut.
    func rewind(_ slot: Int, to count: Int)
    /// Continues each run's sequence by its tokens. A sequence is at most once in a step.
    func forward(_ runs: [StepRun])
    /// Row `row` of the logits of the last step, counting the rows that were wanted. Valid until the next step.
    func logits(_ row: Int) -> UnsafeBufferPointer<Float>
}

/// Consecutive tokens of one sequence.
package struct StepRun: Sendable, Equatable {
    package var slot: Int
    package var tokens: [Int32]
    /// Rows of logits wanted: none, that of the last token, or one for every token.
    package var rows: Int

    package init(slot: Int, tokens: [Int32], rows: Int) {
        self.slot = slot
        self.tokens = tokens
        self.rows = rows
    }
}
