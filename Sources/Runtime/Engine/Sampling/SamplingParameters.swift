/// How the next token is chosen from the logits; every stage is off at its neutral value.
public struct SamplingParameters: Sendable, Equatable {
    /// Divides the logits; 0 always takes the most likely token.
    public var temperature: Float = 0.7
    /// Keeps the `topK` most likely tokens; 0 keeps all.
    public var topK = 0
    /// Keeps the fewest most likely tokens that together have at least this probability (nucleus sampling,
    /// Holtzman et al. 2020, arXiv 1904.09751); 1 keeps all.
    public var topP: Float = 1
    /// Keeps tokens that are at least this fraction as likely as the most likely one (arXiv 2407.01082); 0 keeps all.
    public var minP: Float = 0
    /// Makes tokens of the last `repetitionWindow` tokens, prompt included, less likely; 1 is off.
    public var repetitionPenalty: Float = 1
    public var repetitionWindow = 64
    /// Subtracted once per earlier appearance in the generated text; −2…2, 0 is off.
    public var frequencyPenalty: Float = 0
    /// Subtracted once from every token that the generated text has; −2…2, 0 is off.
    public var presencePenalty: Float = 0
    /// Added to the logits, by token id.
    public var logitBias: [Int32: Float] = [:]
    /// The same seed gives the same tokens; nil draws one.
    public var seed: UInt64?

    public init() {}

    /// Always the most likely token.
    public static var greedy: SamplingParameters {
        var parameters = SamplingParameters()
        parameters.temperature = 0
        return parameters
    }

    /// The first rule that a number breaks, as `field: rule`, or nil. What passes cannot make a sampler trap.
    package var objection: String? {
        func outside(_ value: Float, _ range: ClosedRange<Float>) -> Bool { !range.contains(value) }  // true for NaN
        if outside(temperature, 0...100) { return "temperature: must lie between 0 and 100" }
        if topK < 0 { return "top_k: must not be negative" }
        if outside(topP, 0...1) { return "top_p: must lie between 0 and 1" }
        if outside(minP, 0...1) { return "min_p: must lie between 0 and 1" }
        if outside(repetitionPenalty, 0.01...100) { return "repetition_penalty: must lie between 0.01 and 100" }
        if repetitionWindow < 0 { return "repetition_window: must not be negative" }
        if outside(frequencyPenalty, -2...2) { return "frequency_penalty: must lie between -2 and 2" }
        if outside(presencePenalty, -2...2) { return "presence_penalty: must lie between -2 and 2" }
        if logitBias.count > 1024 { return "logit_bias: at most 1024 tokens" }
        if logitBias.values.contains(where: { outside($0, -100...100) }) { return "logit_bias: must lie between -100 and 100" }
        return nil
    }
}
