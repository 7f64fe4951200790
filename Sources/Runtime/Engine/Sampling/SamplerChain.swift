/// Logits in, one token out: penalties and bias, temperature, top-k, top-p, min-p, and a seeded draw.
///
/// A value without clock and system randomness: the same parameters, seed, logits and history give the same token on
/// every machine. Stages that are off cost nothing; greedy and top-k never sort or exponentiate the whole vocabulary.
package struct SamplerChain: Sendable {
    /// A logit that is infinite or not a number: the forward pass has failed and nothing can be chosen.
    package struct NonFiniteLogits: Error, Equatable {}

    private let temperature: Float
    private let repetition: RepetitionPenalty
    private var appearances: AppearancePenalty
    private let bias: LogitBias
    private let topK: TopK
    private let topP: TopP
    private let minP: MinP
    private var generator: SeededGenerator

    package init(_ parameters: SamplingParameters, seed: UInt64) {
        // Below this the quotient of two logits that differ at all is certainty.
        temperature = parameters.temperature < 1e-5 ? 0 : parameters.temperature
        repetition = RepetitionPenalty(penalty: parameters.repetitionPenalty, window: parameters.repetitionWindow)
        appearances = AppearancePenalty(frequency: parameters.frequencyPenalty, presence: parameters.presencePenalty)
        bias = LogitBias(biases: parameters.logitBias)
        topK = TopK(count: parameters.topK)
        topP = TopP(mass: parameters.topP)
        minP = MinP(fraction: parameters.minP)
        generator = SeededGenerator(seed: seed)
    }

    /// `logits` has one number per token id that the tokenizer knows; `tokens` is the text so far, prompt included.
    package mutating func choose(
        _ logits: UnsafeBufferPointer<Float>, after tokens: [Int32], memory: inout Candidates
    ) throws(NonFiniteLogits) -> Int32 {
        let adjusts = !(repetition.isNeutral && appearances.isNeutral && bias.isNeutral)
        if adjusts {
            guard Vectors.finiteMaximum(logits) != nil else { throw NonFiniteLogits() }
            memory.fill(logits)
            if !repetition.isNeutral { repetition.apply(to: &memory.dense, after: tokens) }
            if !appearances.isNeutral { appearances.apply(to: &memory.dense) }
            if !bias.isNeutral { bias.apply(to: &memory.dense) }
        }
        guard let id = pick(adjusts ? nil : logits, memory: &memory) else { throw NonFiniteLogits() }
        appearances.count(id)
        return id
    }

    /// Chooses from `logits`, or from those in `memory.dense`; nil when one of them is not finite.
    private mutating func pick(_ logits: UnsafeBufferPointer<Float>?, memory: inout Candidates) -> Int32? {
        if temperature == 0 { return memory.reading(logits, Greedy.choose) }
        guard let best = memory.reading(logits, Vectors.finiteMaximum) else { return nil }
        if topK.isNeutral {
            if let logits { memory.fill(logits) }
            memory.total = memory.exponentiate(best: best, factor: 1 / temperature)
        } else {
            memory.keep(memory.reading(logits, topK.select), best: best, factor: 1 / temperature)
        }
        if !topP.isNeutral { topP.apply(to: &memory) }
        if !minP.isNeutral { minP.apply(to: &memory) }
        return Draw.choose(memory, unit: generator.unit())
    }
}
