/// The fewest most likely tokens that together hold at least `mass` of the probability; at least one.
struct TopP: Sendable {
    var mass: Float

    var isNeutral: Bool { mass >= 1 }

    func apply(to candidates: inout Candidates) {
        let wanted = Double(mass) * candidates.total
        if candidates.kept == nil { Self.gather(&candidates, holding: wanted) }
        candidates.sort()
        guard let kept = candidates.kept else { return }
        var held = 0.0
        var count = 0
        while count < kept.count, count == 0 || held < wanted {
            held += Double(kept[count].weight)
            count += 1
        }
        candidates.kept = Array(kept.prefix(count))
        candidates.total = held
    }

    /// Keeps a superset of the answer that is small enough to sort: weights fall into buckets by the leading bits of
    /// their float (exponent and four bits of fraction, in the order of the numbers), and whole buckets are taken from
    /// the top until they hold enough.
    private static func gather(_ candidates: inout Candidates, holding wanted: Double) {
        let shift: UInt32 = 19
        let top = Int(Float(1).bitPattern >> shift)  // weights are at most 1
        let kept = candidates.dense.withUnsafeBufferPointer { weights -> [Candidates.Candidate] in
            var masses = [Double](repeating: 0, count: top + 1)
            var counts = [Int](repeating: 0, count: top + 1)
            masses.withUnsafeMutableBufferPointer { masses in
                counts.withUnsafeMutableBufferPointer { counts in
                    for weight in weights {
                        let bucket = min(Int(weight.bitPattern >> shift), top)
                        masses[bucket] += Double(weight)
                        counts[bucket] += 1
                    }
                }
            }
            var lowest = top
            var held = masses[top]
            var count = counts[top]
            let margin = wanted * (1 + 1e-9)  // the sorted sum may round differently
            while lowest > 0, held < margin {
                lowest -= 1
                held += masses[lowest]
                count += counts[lowest]
            }
            let floor = Float(bitPattern: UInt32(lowest) << shift)
            var kept: [Candidates.Candidate] = []
            kept.reserveCapacity(count)
            for (index, weight) in weights.enumerated() where weight >= floor {
                kept.append(.init(id: Int32(truncatingIfNeeded: index), weight: weight))
            }
            return kept
        }
        candidates.kept = kept
        candidates.sorted = false
    }
}
