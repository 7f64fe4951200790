/// The tokens whose probability is at least `fraction` of the most likely one's.
struct MinP: Sendable {
    var fraction: Float

    var isNeutral: Bool { fraction == 0 }

    /// Weights are relative to the most likely token, so the fraction is compared with them directly.
    func apply(to candidates: inout Candidates) {
        let kept: [Candidates.Candidate]
        if let old = candidates.kept {
            kept = old.filter { $0.weight >= fraction }
        } else {
            kept = candidates.dense.withUnsafeBufferPointer { weights in
                var kept: [Candidates.Candidate] = []
                for (index, weight) in weights.enumerated() where weight >= fraction {
                    kept.append(.init(id: Int32(truncatingIfNeeded: index), weight: weight))
                }
                return kept
            }
            candidates.sorted = false
        }
        candidates.kept = kept
        candidates.total = kept.reduce(0) { $0 + Double($1.weight) }
    }
}
