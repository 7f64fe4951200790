/// A number added to the logit of each listed token; ids outside the vocabulary are left alone.
struct LogitBias: Sendable {
    var biases: [Int32: Float]

    var isNeutral: Bool { biases.isEmpty }

    func apply(to logits: inout [Float]) {
        for (id, bias) in biases where logits.indices.contains(Int(id)) { logits[Int(id)] += bias }
    }
}
