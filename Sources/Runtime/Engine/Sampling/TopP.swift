/// The fewest most likely tokens that together hold at least `mass` of the probability; at least one.
struct TopP: Sendable {
    var mass: Float

    var isNeutral: Bool { mass >= 1 }

    /// Comes before anything but top-k has cut: candidates are in order, or all ids.
    func apply(to candidates: inout Candidates) {
        let wanted = Double(mass) * candidates.total
        var held = 0.0
        if let kept = candidates.kept {
            var count = 0
            while count < kept.count, count == 0 || held < wanted {
                held += Double(kept[count].weight)
                count += 1
            }
            candidates.kept = Array(kept.prefix(count))
        } else {
            candidates.kept = Self.head(of: candidates.dense, holding: wanted, held: &held)
        }
        candidates.total = held
    }

    /// The likeliest ids that together hold `wanted`, without sorting all: weights fall into buckets by the leading bits of
    /// their float (exponent and four bits of fraction, in the order of the numbers). Whole buckets are taken from the top
    /// while they do not hold enough; only the next one is sorted.
    private static func head(of weights: [Float], holding wanted: Double, held: inout Double) -> [Candidates.Candidate] {
        let shift: UInt32 = 19
        let top = Int(Float(1).bitPattern >> shift)  // weights are at most 1
        var masses = [Double](repeating: 0, count: top + 1)
        masses.withUnsafeMutableBufferPointer { masses in
            weights.withUnsafeBufferPointer { weights in
                for weight in weights { masses[min(Int(weight.bitPattern >> shift), top)] += Double(weight) }
            }
        }
        var edge = top  // the bucket in which enough is reached
        while edge > 0, held + masses[edge] < wanted || masses[edge] == 0 {
            held += masses[edge]
            edge -= 1
        }
        var kept: [Candidates.Candidate] = []
        var onEdge: [Candidates.Candidate] = []
        let floor = Float(bitPattern: UInt32(truncatingIfNeeded: edge) << shift)
        weights.withUnsafeBufferPointer { weights in
            var start = 0
            while start < weights.count {
                start = Vectors.nextBlock(reaching: floor, in: weights, from: start)
                for index in start..<min(start + 8, weights.count) where weights[index] >= floor {
                    let candidate = Candidates.Candidate(id: Int32(truncatingIfNeeded: index), weight: weights[index])
                    if min(Int(candidate.weight.bitPattern >> shift), top) == edge {
                        onEdge.append(candidate)
                    } else {
                        kept.append(candidate)
                    }
                }
                start += 8
            }
        }
        onEdge.sort { $0.precedes($1) }
        for candidate in onEdge {
            if held >= wanted, !kept.isEmpty { break }
            held += Double(candidate.weight)
            kept.append(candidate)
        }
        return kept
    }
}
