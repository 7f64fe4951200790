/// One token at random, each as often as its weight says.
enum Draw {
    /// `unit` is uniform in 0 ..< 1. Nil only without candidates.
    static func choose(_ candidates: Candidates, unit: Double) -> Int32? {
        let target = unit * candidates.total
        var passed = 0.0
        if let kept = candidates.kept {
            for candidate in kept {
                passed += Double(candidate.weight)
                if passed > target { return candidate.id }
            }
            return kept.last?.id  // the sum above rounds differently from `total`
        }
        return candidates.dense.withUnsafeBufferPointer { weights -> Int32? in
            var last: Int32?
            for (number, sum) in candidates.sums.enumerated() {
                if passed + sum <= target, number + 1 < candidates.sums.count {
                    passed += sum
                    continue
                }
                let start = number * Vectors.block
                for index in start..<min(start + Vectors.block, weights.count) where weights[index] > 0 {
                    passed += Double(weights[index])
                    last = Int32(truncatingIfNeeded: index)
                    if passed > target { return last }
                }
            }
            // Rounding carried the target past the end: the last token that can be drawn.
            return last ?? weights.lastIndex { $0 > 0 }.map { Int32(truncatingIfNeeded: $0) }
        }
    }
}
