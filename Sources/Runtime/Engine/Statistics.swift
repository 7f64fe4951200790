/// What has been served, for one model or for the engine as a whole. A value; the times are given to it.
public struct Statistics: Sendable, Equatable {
    /// One finished answer.
    private struct Sample: Sendable, Equatable {
        var tokensPerSecond: Double?  // nil below two tokens
        var promptTokensPerSecond: Double?
        var firstToken: Double
        var total: Double
        var work: Double  // total without the time in the queue
    }

    private struct Second: Sendable, Equatable {
        var number = -1
        var tokens = 0
        var requests = 0
    }

    /// Average and percentiles over the last answers; zeros before the first one.
    public struct Distribution: Sendable, Equatable {
        public var count = 0
        public var average = 0.0, p50 = 0.0, p95 = 0.0, p99 = 0.0

        init(_ values: [Double]) {
            let sorted = values.sorted()
            count = sorted.count
            guard count > 0 else { return }
            func rank(_ share: Double) -> Double { sorted[min(count - 1, Int((share * Double(count)).rounded(.up)) - 1)] }
            average = sorted.reduce(0, +) / Double(count)
            (p50, p95, p99) = (rank(0.5), rank(0.95), rank(0.99))
        }
    }

    static let keptSamples = 512

    /// Requests that have ended, in whatever way.
    public private(set) var requests = 0
    public private(set) var errors = 0
    public private(set) var cancelled = 0
    public private(set) var promptTokens = 0
    public private(set) var completionTokens = 0
    /// Of the prompt tokens, those that were found in the cache.
    public private(set) var cachedTokens = 0
    /// Tokens that were guessed and verified, and those of them that were right.
    public private(set) var proposedTokens = 0
    public private(set) var acceptedTokens = 0
    private var samples: [Sample] = []  // a ring once it is full
    private var nextSample = 0
    private var seconds = [Second](repeating: Second(), count: 64)  // a ring, by number mod 64

    public init() {}

    /// A copy with arrays of its own, so that the thread that goes on counting never has to copy them.
    func unshared() -> Statistics {
        var copy = self
        copy.samples = samples.map { $0 }
        copy.seconds = seconds.map { $0 }
        return copy
    }

    /// Tokens that one step has sampled, at `time` seconds of a monotonic clock.
    mutating func stepped(tokens: Int, at time: Double) { touch(time) { $0.tokens += tokens } }

    mutating func finished(
        _ reason: FinishReason, _ usage: Usage, _ guesses: (proposed: Int, accepted: Int), _ timings: Timings, at time: Double
    ) {
        ended(usage, at: time)
        proposedTokens += guesses.proposed
        acceptedTokens += guesses.accepted
        if reason == .cancelled {
            cancelled += 1
            return
        }
        let sample = Sample(
            tokensPerSecond: timings.decode > 0 ? timings.decodeTokensPerSecond(usage) : nil,
            promptTokensPerSecond: timings.prefill > 0 ? timings.promptTokensPerSecond(usage) : nil,
            firstToken: timings.firstToken, total: timings.total, work: timings.total - timings.queue)
        if samples.count < Self.keptSamples { samples.append(sample) } else { samples[nextSample] = sample }
        nextSample = (nextSample + 1) % Self.keptSamples
    }

    mutating func failed(_ usage: Usage, at time: Double) {
        ended(usage, at: time)
        errors += 1
    }

    private mutating func ended(_ usage: Usage, at time: Double) {
        requests += 1
        promptTokens += usage.promptTokens
        completionTokens += usage.completionTokens
        cachedTokens += usage.cachedTokens
        touch(time) { $0.requests += 1 }
    }

    private mutating func touch(_ time: Double, _ change: (inout Second) -> Void) {
        let number = Int(time)
        let place = number % seconds.count
        if seconds[place].number != number { seconds[place] = Second(number: number) }
        change(&seconds[place])
    }

    /// Speed of single answers after their first token, in tokens per second.
    public var tokensPerSecond: Distribution { Distribution(samples.compactMap(\.tokensPerSecond)) }
    public var promptTokensPerSecond: Distribution { Distribution(samples.compactMap(\.promptTokensPerSecond)) }
    /// From request to first token, in seconds.
    public var timeToFirstToken: Distribution { Distribution(samples.map(\.firstToken)) }
    /// Seconds from start to end of the answers' work, without waiting, averaged over the last ones.
    var averageWork: Double {
        samples.isEmpty ? 0 : samples.reduce(0) { $0 + $1.work } / Double(samples.count)
    }
    /// From request to last token, in seconds.
    public var totalTime: Distribution { Distribution(samples.map(\.total)) }
    public var errorRate: Double { requests == 0 ? 0 : Double(errors) / Double(requests) }

    /// Tokens per second of all answers together, over the last few seconds.
    func throughput(at time: Double, over window: Int = 4) -> Double {
        Double(sum(at: time, over: window, \.tokens)) / Double(window)
    }

    func requestsPerMinute(at time: Double) -> Double { Double(sum(at: time, over: 60, \.requests)) }

    private func sum(at time: Double, over window: Int, _ field: KeyPath<Second, Int>) -> Int {
        let now = Int(time)
        return seconds.reduce(0) { $0 + ($1.number > now - window && $1.number <= now ? $1[keyPath: field] : 0) }
    }
}
