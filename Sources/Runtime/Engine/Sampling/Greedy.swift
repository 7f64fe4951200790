/// The most likely token, of equals the lowest id.
enum Greedy {
    /// Nil when a logit is infinite or not a number.
    static func choose(_ logits: UnsafeBufferPointer<Float>) -> Int32? {
        guard let best = Vectors.finiteMaximum(logits), let index = Vectors.firstIndex(of: best, in: logits) else { return nil }
        return Int32(truncatingIfNeeded: index)
    }
}
