/// What one step runs: for each sequence in it, the tokens that follow what its slot holds.
public struct Batch: Sendable {
    /// Which of a run's positions are followed through to logits.
    public enum Logits: Sendable { case none, last, all }

    public struct Run: Sendable {
        public var slot: SequenceSlot
        /// At least one; each below the model's vocabulary size.
        public var tokens: [Int32]
        public var logits: Logits

        public init(slot: SequenceSlot, tokens: [Int32], logits: Logits) {
            self.slot = slot
            self.tokens = tokens
            self.logits = logits
        }

        public var logitsCount: Int {
            switch logits {
            case .none: 0
            case .last: 1
            case .all: tokens.count
            }
        }
    }

    /// A slot appears at most once. The rows of all logits stand in the order of runs, then of positions.
    public var runs: [Run]

    public init(runs: [Run] = []) { self.runs = runs }

    public var tokenCount: Int { runs.reduce(0) { $0 + $1.tokens.count } }
    public var logitsCount: Int { runs.reduce(0) { $0 + $1.logitsCount } }
}
