import Text

/// A request on its way to the inference thread, already checked against the model's limits.
struct Submission: Sendable {
    let id: GenerationStream.ID
    let request: GenerationRequest
    let newTokens: Int  // at most, at least one
    let seed: UInt64
    let record: ModelRecord
    let totals: EngineRegistry.Totals
    let submittedAt: Double  // Clock.seconds
    let events: AsyncThrowingStream<GenerationEvent, any Error>.Continuation

    func fail(_ error: EngineError, usage: Usage? = nil, active: Int, at time: Double) {
        let usage = usage ?? Usage(promptTokens: request.prompt.count, completionTokens: 0)
        record.ended(active: active) { $0.failed(usage, at: time) }
        totals.change { $0.failed(usage, at: time) }
        events.finish(throwing: error)
    }
}

/// A running or waiting request: its tokens so far, and what turns them into text. Lives on the inference thread.
final class Generation {
    let submission: Submission
    private(set) var tokens: [Int32]  // prompt, then what was sampled
    var slot: Int?  // its sequence in the cache, once it has started
    /// Tokens that its sequence holds.
    var computed = 0
    /// Guesses at its next tokens; nil where none are wanted.
    var speculator: Speculator?
    /// Tokens guessed and verified, and those of them that were right.
    private(set) var guesses = (proposed: 0, accepted: 0)
    private(set) var lastSampled: Int32 = -1
    /// True once the reader has fallen so far behind that its stream was given up.
    private(set) var isUnread = false

    private var sampler: SamplerChain
    private var decoder: StreamDecoder
    private var stop: StopMatcher
    private var endOfGeneration: Set<Int32>
    private var completionTokens = 0
    private var cachedTokens = 0
    private var startedAt: Double?
    private var firstTokenAt: Double?
    private var lastTokenAt: Double?

    private var decodedBytes = 0  // of text that the decoder gave
    private var emittedBytes = 0  // of text that went into the stream
    private var held: [(start: Int, logprob: TokenLogprob)] = []  // not yet in the stream; start: of its text, in bytes

    init(_ submission: Submission) {
        let request = submission.request
        let tokenizer = submission.record.model.tokenizer
        self.submission = submission
        tokens = request.prompt
        tokens.reserveCapacity(request.prompt.count + submission.newTokens)
        sampler = SamplerChain(request.sampling, seed: submission.seed)
        decoder = StreamDecoder(tokenizer, continuing: true)  // a first space belongs to the text, for the prompt goes before it
        stop = StopMatcher(request.stop)
        endOfGeneration = request.ignoresEndOfGeneration ? [] : tokenizer.endOfGeneration
    }

    var usage: Usage {
        Usage(promptTokens: submission.request.prompt.count, completionTokens: completionTokens, cachedTokens: cachedTokens)
    }

    /// New tokens that may still come.
    var tokensLeft: Int { submission.newTokens - completionTokens }
    var isReadingPrompt: Bool { completionTokens == 0 }

    func start(at time: Double) {
        startedAt = time
        submission.events.yield(.started(promptTokens: submission.request.prompt.count))
    }

    /// So many tokens of the prompt need not be computed.
    func found(cached count: Int) { cachedTokens += count }

    func guessed(_ proposed: Int, right accepted: Int) {
        guesses.proposed += proposed
        guesses.accepted += accepted
    }

    /// Takes the logits after the last token and chooses the next one. Returns why the answer has ended, or nil while it goes on.
    ///
    /// Row padding (ids that the tokenizer does not have) is not looked at.
    func take(
        _ row: UnsafeBufferPointer<Float>, memory: inout Candidates, clock: () -> Double
    ) throws(SamplerChain.NonFiniteLogits) -> FinishReason? {
        let tokenizer = submission.record.model.tokenizer
        let logits = UnsafeBufferPointer(rebasing: row.prefix(tokenizer.vocabularySize))
        let id = try sampler.choose(logits, after: tokens, memory: &memory)
        let now = clock()
        if firstTokenAt == nil { firstTokenAt = now }
        lastTokenAt = now
        completionTokens += 1
        lastSampled = id
        if endOfGeneration.contains(id) {
            emit(stop.append(decoder.finish()) + stop.finish(), all: true)
            return .stop
        }
        tokens.append(id)
        if let count = submission.request.topLogprobs {
            guard let logprobs = LogProbabilities(logits, of: id, top: count, memory: &memory) else {
                throw SamplerChain.NonFiniteLogits()
            }
            let top = logprobs.top.map { TokenLogprob.Alternative(id: $0.id, bytes: tokenizer.bytes(of: $0.id), logprob: $0.value) }
            held.append((decodedBytes, TokenLogprob(id: id, bytes: tokenizer.bytes(of: id), logprob: logprobs.chosen, top: top)))
        }
        var text = decoder.append(id)
        let isLast = completionTokens >= submission.newTokens
        if isLast { text += decoder.finish() }
        decodedBytes += text.utf8.count
        var certain = stop.append(text)
        if stop.isStopped {
            emit(certain, all: false)
            return .stop
        }
        if isLast { certain += stop.finish() }
        emit(certain, all: isLast)
        return isLast ? .length : nil
    }

    /// Puts text into the stream with the tokens whose text begins in it; `all`: with every token that waits.
    private func emit(_ text: String, all: Bool) {
        emittedBytes += text.utf8.count
        let count = all ? held.count : held.prefix { $0.start < emittedBytes }.count
        if text.isEmpty && count == 0 { return }
        let ready = held.prefix(count).map(\.logprob)
        held.removeFirst(count)
        if case .dropped = submission.events.yield(.text(text, ready)) { isUnread = true }
    }

    func finish(_ reason: FinishReason, active: Int, at time: Double) {
        var timings = Timings()
        timings.queue = (startedAt ?? time) - submission.submittedAt
        if let startedAt { timings.prefill = (firstTokenAt ?? time) - startedAt }
        if let firstTokenAt { timings.decode = (lastTokenAt ?? time) - firstTokenAt }
        let (usage, guesses, final) = (usage, guesses, timings)
        submission.record.ended(active: active) { $0.finished(reason, usage, guesses, final, at: time) }
        submission.totals.change { $0.finished(reason, usage, guesses, final, at: time) }
        submission.events.yield(.finished(reason, usage, final))
        submission.events.finish()
    }

    func fail(_ error: EngineError, active: Int, at time: Double) {
        submission.fail(error, usage: usage, active: active, at: time)
    }
}
