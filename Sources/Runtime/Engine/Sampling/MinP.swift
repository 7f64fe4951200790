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
                var start = 0
                while start < weights.count {
                    start = Vectors.nextBlock(reaching: fraction, in: weights, from: start)
                    for index in start..<min(start + 8, weights.count) where weights[index] >= fraction {
                        kept.append(.init(id: Int32(truncatingIfNeeded: index), weight: weights[index]))
                    }
                    start += 8
                }
                return kept
            }
        }
        candidates.kept = kept
        candidates.total = kept.reduce(0) { $0 + Double($1.weight) }
    }
}
