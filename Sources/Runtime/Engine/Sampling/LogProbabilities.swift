#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Natural logarithms of probabilities under the unmodified distribution: before penalties, bias and temperature.
package struct LogProbabilities: Sendable, Equatable {
    package var chosen: Float
    package var top: [(id: Int32, value: Float)] = []

    /// log p(i) = logit(i) − log Σ e^logit. Nil when a logit is infinite or not a number, or `id` lies outside.
    package init?(_ logits: UnsafeBufferPointer<Float>, of id: Int32, top count: Int, memory: inout Candidates) {
        guard let best = Vectors.finiteMaximum(logits), logits.indices.contains(Int(id)) else { return nil }
        if count > 0 { top = TopK(count: count).select(logits).map { ($0.id, $0.weight) } }
        memory.fill(logits)
        let total = memory.exponentiate(best: best, factor: 1)
        let base = Double(best) + log(total)
        chosen = Float(Double(logits[Int(id)]) - base)
        top = top.map { ($0.id, Float(Double($0.value) - base)) }
    }

    package static func == (left: LogProbabilities, right: LogProbabilities) -> Bool {
        left.chosen == right.chosen && left.top.elementsEqual(right.top) { $0 == $1 }
    }
}
