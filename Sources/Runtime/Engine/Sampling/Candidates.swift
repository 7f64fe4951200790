/// The tokens that may still be drawn, and working memory for one vocabulary; shared by all requests of one model.
///
/// Every truncating sampler keeps the head of the order "more likely first, then lower id". Until the first of them runs,
/// candidates are all ids and their weights stand in `dense`; after it they are the few in `kept`.
package struct Candidates: Sendable {
    struct Candidate: Equatable {
        var id: Int32
        var weight: Float  // e^((logit − best) / temperature), or the logit itself while top-k selects

        func precedes(_ other: Candidate) -> Bool { weight > other.weight || (weight == other.weight && id < other.id) }
    }

    var dense: [Float] = []  // by id: adjusted logits, then weights
    var sums: [Double] = []  // of dense weights, one per `Vectors.block`
    var kept: [Candidate]?  // nil: all ids
    var total = 0.0  // of all weights

    package init() {}

    mutating func fill(_ logits: UnsafeBufferPointer<Float>) {
        if dense.count != logits.count {
            dense = [Float](logits)
            sums = [Double](repeating: 0, count: (logits.count + Vectors.block - 1) / Vectors.block)
        } else {
            dense.withUnsafeMutableBufferPointer { _ = $0.update(fromContentsOf: logits) }
        }
        kept = nil
        total = 0
    }
}

extension Candidates {
    /// Lends the given logits, or the adjusted ones in `dense`.
    func reading<Result>(_ logits: UnsafeBufferPointer<Float>?, _ body: (UnsafeBufferPointer<Float>) -> Result) -> Result {
        if let logits { body(logits) } else { dense.withUnsafeBufferPointer(body) }
    }

    /// Turns the logits in `dense` into weights; returns their sum.
    mutating func exponentiate(best: Float, factor: Float) -> Double {
        dense.withUnsafeMutableBufferPointer { dense in
            sums.withUnsafeMutableBufferPointer { sums in
                Vectors.exponentials(UnsafeBufferPointer(dense), best: best, factor: factor, weights: dense, sums: sums)
            }
        }
    }

    /// Makes these, given with their logits and in order, the only candidates.
    mutating func keep(_ selected: [Candidate], best: Float, factor: Float) {
        var selected = selected
        total = 0
        for start in stride(from: 0, to: selected.count, by: 8) {
            var part = Vectors.Lanes(repeating: -.infinity)
            let count = min(8, selected.count - start)
            for lane in 0..<count { part[lane] = (selected[start + lane].weight - best) * factor }
            let power = Vectors.exponential(part)
            for lane in 0..<count {
                selected[start + lane].weight = power[lane]
                total += Double(power[lane])
            }
        }
        kept = selected
    }
}
