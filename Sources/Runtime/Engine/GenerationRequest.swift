/// One prompt to be continued by one model.
public struct GenerationRequest: Sendable {
    /// The id under which the model was loaded.
    public var model: String
    public var prompt: [Int32]
    /// New tokens at most; nil, or more than the context leaves: what the context leaves.
    public var maximumTokens: Int?
    public var sampling = SamplingParameters()
    /// Texts that end the answer and are not part of it; at most 16 of 256 bytes.
    public var stop: [String] = []
    /// With each token its log-probability and those of this many likeliest ones (0…20); nil: none at all.
    public var topLogprobs: Int?
    /// Goes on past the tokens that end an answer; for measurements.
    public var ignoresEndOfGeneration = false
    /// False: no guessing ahead for this answer; nil: as the engine is set. It makes no difference to the answer.
    public var speculates: Bool?

    public init(model: String, prompt: [Int32]) {
        self.model = model
        self.prompt = prompt
    }

    /// The first rule that the request breaks, as `field: rule`, or nil.
    package func objection(vocabularySize: Int) -> String? {
        if prompt.isEmpty { return "prompt: has no tokens" }
        if prompt.contains(where: { $0 < 0 || Int($0) >= vocabularySize }) {
            return "prompt: token ids must lie in 0..<\(vocabularySize)"
        }
        if let maximumTokens, maximumTokens < 1 { return "max_tokens: must be at least 1" }
        if stop.count > StopMatcher.maximumStops { return "stop: at most \(StopMatcher.maximumStops) strings" }
        if stop.contains(where: { $0.utf8.count > StopMatcher.maximumBytes }) {
            return "stop: at most \(StopMatcher.maximumBytes) bytes each"
        }
        if let topLogprobs, !(0...20).contains(topLogprobs) { return "top_logprobs: must lie between 0 and 20" }
        return sampling.objection
    }
}

/// A generated token and the natural logarithm of its probability before penalties, bias and temperature.
public struct TokenLogprob: Sendable, Equatable {
    public struct Alternative: Sendable, Equatable {
        public var id: Int32
        public var bytes: [UInt8]
        public var logprob: Float

        public init(id: Int32, bytes: [UInt8], logprob: Float) {
            self.id = id
            self.bytes = bytes
            self.logprob = logprob
        }
    }

    public var id: Int32
    public var bytes: [UInt8]  // of its text; need not be whole characters
    public var logprob: Float
    public var top: [Alternative]  // likeliest first

    public init(id: Int32, bytes: [UInt8], logprob: Float, top: [Alternative] = []) {
        self.id = id
        self.bytes = bytes
        self.logprob = logprob
        self.top = top
    }
}

public enum FinishReason: String, Sendable {
    case stop  // the model ended its answer, or a stop string came
    case length  // the maximum of tokens is reached
    case cancelled
}

/// Tokens that a request read and wrote.
public struct Usage: Sendable, Equatable {
    public var promptTokens: Int
    /// Sampled tokens, the one that ended the answer included.
    public var completionTokens: Int
    /// Prompt tokens that were not computed because the cache had them.
    public var cachedTokens: Int

    public init(promptTokens: Int, completionTokens: Int, cachedTokens: Int = 0) {
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        self.cachedTokens = cachedTokens
    }
}

/// Where a request's time went, in seconds.
public struct Timings: Sendable, Equatable {
    /// From the request to its first step.
    public var queue = 0.0
    /// From its first step to its first token.
    public var prefill = 0.0
    /// From its first token to its last.
    public var decode = 0.0

    public init() {}

    /// From the request to its first token.
    public var firstToken: Double { queue + prefill }
    public var total: Double { queue + prefill + decode }

    public func promptTokensPerSecond(_ usage: Usage) -> Double {
        prefill > 0 ? Double(usage.promptTokens - usage.cachedTokens) / prefill : 0
    }

    /// Of the tokens after the first, whose time belongs to the prompt.
    public func decodeTokensPerSecond(_ usage: Usage) -> Double {
        decode > 0 ? Double(max(0, usage.completionTokens - 1)) / decode : 0
    }
}

public enum GenerationEvent: Sendable, Equatable {
    /// The request has left the queue.
    case started(promptTokens: Int)
    /// New text, whole characters; the tokens it came from where log-probabilities were asked for.
    case text(String, [TokenLogprob])
    /// Always the last event of a stream that does not throw.
    case finished(FinishReason, Usage, Timings)
}
