/// Divides positive logits of recent tokens by the penalty and multiplies negative ones (CTRL, arXiv 1909.05858).
struct RepetitionPenalty: Sendable {
    var penalty: Float
    var window: Int

    var isNeutral: Bool { penalty == 1 || window == 0 }

    /// `tokens` is the whole text so far, prompt included.
    func apply(to logits: inout [Float], after tokens: [Int32]) {
        for id in Set(tokens.suffix(window)) {
            guard logits.indices.contains(Int(id)) else { continue }
            let logit = logits[Int(id)]
            let changed = logit > 0 ? logit / penalty : logit * penalty
            logits[Int(id)] = min(max(changed, -.greatestFiniteMagnitude), .greatestFiniteMagnitude)
        }
    }
}

/// Lowers a logit by `presence` once and by `frequency` per appearance of its token in the generated text.
struct AppearancePenalty: Sendable {
    var frequency: Float
    var presence: Float
    private var appearances: [Int32: Int] = [:]

    init(frequency: Float, presence: Float) {
        self.frequency = frequency
        self.presence = presence
    }

    var isNeutral: Bool { frequency == 0 && presence == 0 }

    mutating func count(_ id: Int32) {
        if !isNeutral { appearances[id, default: 0] += 1 }
    }

    func apply(to logits: inout [Float]) {
        for (id, count) in appearances where logits.indices.contains(Int(id)) {
            logits[Int(id)] -= presence + frequency * Float(count)
        }
    }
}
