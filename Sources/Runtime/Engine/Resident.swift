/// A loaded model on the inference thread: its weights and cache, its scheduler, and its running requests.
final class Resident {
    let record: ModelRecord
    private let totals: EngineRegistry.Totals
    private let model: any StepModel
    private let options: EngineOptions
    private let reusesPrefixes: Bool
    private var scheduler: Scheduler
    private var generations: [GenerationStream.ID: Generation] = [:]
    private var prompts: [Generation] = []  // those that are reading their prompts, in order of admission
    private var costs = StepCosts()
    private var memory = Candidates()
    private var runs: [StepRun] = []  // of a step; its memory is used again
    private var parts: [Part] = []
    private var measured: (at: Double, room: Int?) = (-.infinity, nil)  // memory, when a request last wanted some
    private var shortage: (id: GenerationStream.ID, error: EngineError)?  // the request that memory was too short for
    /// Set once the model is to go: when to end what still runs, why, and whom to tell.
    var leaving: (deadline: Double, error: EngineError, done: @Sendable () -> Void)?

    /// With more answers at once, verifying guesses takes more from the others than it can bring.
    static let mostSpeculating = 4

    /// Seconds for which a measurement of the memory holds.
    private static let measuringPause = 0.05

    /// What a step does for one request.
    private struct Part {
        let generation: Generation
        let slot: Int
        let end: Int  // of its positions that are certain
        let certain: Int  // tokens in the run before the guesses
        var rows: Int  // of logits
        var proposed = 0  // guesses behind the certain tokens
        var first: Int32?  // the first guess, verified or not
    }

    init(_ model: any StepModel, record: ModelRecord, totals: EngineRegistry.Totals, options: EngineOptions) {
        self.model = model
        self.totals = totals
        self.record = record
        self.options = options
        reusesPrefixes = options.reusesPrefixes && model.isExact
        var limits = Scheduler.Limits()
        limits.maximumActive = record.maximumActive
        limits.maximumQueued = record.maximumActive + record.maximumQueued
        limits.stepTokens = model.maximumStepTokens
        scheduler = Scheduler(limits)
    }

    var isIdle: Bool { generations.isEmpty }

    func submit(_ submission: Submission) {
        guard scheduler.add(submission.id, promptTokens: submission.request.prompt.count, newTokens: submission.newTokens) else {
            submission.fail(record.queueFull, active: scheduler.activeCount, at: Clock.seconds)
            return
        }
        let generation = Generation(submission)
        if options.speculation == .automatic, model.isExact, submission.request.speculates ?? true { generation.speculator = Speculator() }
        generations[submission.id] = generation
    }

    /// False when the request is not here.
    func cancel(_ id: GenerationStream.ID) -> Bool {
        guard let generation = remove(id) else { return false }
        generation.finish(.cancelled, active: scheduler.activeCount, at: Clock.seconds)
        return true
    }

    func endAll(_ error: EngineError) {
        for id in generations.keys.sorted() { remove(id)?.fail(error, active: scheduler.activeCount, at: Clock.seconds) }
    }

    // ---------------------------------------------------------------------------------------------------------- a step

    /// One step of the model for all its requests; false when there was nothing to do.
    func step() -> Bool {
        adopt()
        let promptTokens =
            options.promptTokensBesideDecodes
            ?? costs.promptTokens(in: EngineOptions.promptPause, atMost: model.maximumStepTokens)
        let begun = Clock.seconds
        shortage = nil
        guard let step = scheduler.nextBatch(promptTokens: promptTokens, grant: { grant($0, $1, at: begun) }) else {
            if let shortage {  // and nothing runs that could give pages back
                remove(shortage.id)?.fail(shortage.error, active: scheduler.activeCount, at: Clock.seconds)
                return true
            }
            // Nothing can run although nothing holds pages: better an error than to wait for ever.
            if !isIdle { endAll(.modelFailed(record.model.id, "the cache is too small for the waiting requests")) }
            return false
        }
        compose(step)
        guard !runs.isEmpty else { return true }
        let prepared = Clock.seconds
        model.forward(runs)
        note(step, seconds: Clock.seconds - prepared)

        var row = 0
        var sampled = 0
        for (place, part) in parts.enumerated() {
            sampled += read(part, at: place, from: row)
            row += part.rows
        }
        parts.removeAll(keepingCapacity: true)
        let now = Clock.seconds
        record.stepped(
            tokens: sampled, active: scheduler.activeCount, reservedPages: model.reservedPages, touchedPages: model.touchedPages, at: now)
        if sampled > 0 { totals.change { $0.stepped(tokens: sampled, at: now) } }
        return true
    }

    /// Prompts in work go on with pages that others have computed since the last step.
    private func adopt() {
        guard reusesPrefixes, prompts.count > 1 else { return }
        for generation in prompts {
            guard let slot = generation.slot else { continue }
            let held = model.adopt(slot, beginning: generation.tokens)
            guard held > generation.computed else { continue }
            generation.found(cached: held - generation.computed)
            generation.computed = held
            scheduler.skip(generation.submission.id, to: held)
        }
    }

    /// Opens a sequence for a request that is to start, where the cache has room for it.
    private func grant(_ id: GenerationStream.ID, _ capacity: Int, at time: Double) -> Scheduler.Grant? {
        guard let generation = generations[id] else { return Scheduler.Grant() }
        guard fits(id, capacity, at: time) else { return nil }
        guard let (slot, held) = model.open(beginning: generation.tokens, capacity: capacity) else { return nil }
        generation.slot = slot
        generation.computed = held
        generation.found(cached: held)
        generation.start(at: time)
        var grant = Scheduler.Grant(computed: held)
        if reusesPrefixes {
            // The one among those ahead with which it shares most that is not computed yet.
            for other in prompts where other.computed < generation.tokens.count {
                let shared = Self.common(generation.tokens, other.tokens) / model.pageTokens * model.pageTokens
                let until = min(shared, (generation.tokens.count - 1) / model.pageTokens * model.pageTokens)
                if until > max(grant.until, held, other.computed) { (grant.leader, grant.until) = (other.submission.id, until) }
            }
        }
        prompts.append(generation)
        return grant
    }

    /// Whether the pages that nothing was ever written to, and that this request and those that run may come to write, fit
    /// below the limit as memory is now. They did when the model was loaded; others may have taken memory since.
    private func fits(_ id: GenerationStream.ID, _ capacity: Int, at time: Double) -> Bool {
        let pages = capacity / model.pageTokens + (capacity % model.pageTokens == 0 ? 0 : 1)
        let growth = min(model.totalPages, model.reservedPages + pages) - model.touchedPages
        guard growth > 0, record.bytesPerPage > 0 else { return true }
        if time - measured.at > Self.measuringPause {
            measured = (time, MemoryGuard(options.memory, limitPercent: options.memoryLimitPercent).room())
        }
        guard let room = measured.room, growth * record.bytesPerPage > room else { return true }
        shortage = (id, .memoryShort(neededBytes: growth * record.bytesPerPage, availableBytes: room))
        return false
    }

    private static func common(_ left: [Int32], _ right: [Int32]) -> Int {
        var count = 0
        let most = min(left.count, right.count)
        while count < most, left[count] == right[count] { count += 1 }
        return count
    }

    /// Lays out the tokens of a step, and guesses behind its decodes where they promise to pay.
    private func compose(_ step: Scheduler.Step) {
        runs.removeAll(keepingCapacity: true)
        let guesses = speculate(step)
        for run in step.runs {
            guard let generation = generations[run.id], let slot = generation.slot else { continue }
            var part = Part(
                generation: generation, slot: slot, end: run.start + run.count, certain: run.count, rows: run.isSampled ? 1 : 0)
            var tokens = Array(generation.tokens[run.start..<run.start + run.count])
            if let guesses {
                part.first = generation.speculator?.first(after: generation.tokens)
                part.proposed = generation.speculator?.propose(guesses, after: generation.tokens, to: &tokens) ?? 0
                part.rows += part.proposed
            }
            runs.append(StepRun(slot: slot, tokens: tokens, rows: part.rows))
            parts.append(part)
        }
    }

    /// How many guesses of each decode the step is to verify; nil where there are none, not even to be compared.
    private func speculate(_ step: Scheduler.Step) -> Int? {
        guard step.decodes == step.runs.count, step.decodes <= Self.mostSpeculating else { return nil }
        var some = false
        for run in step.runs {
            guard let generation = generations[run.id] else { continue }
            generation.speculator?.look(at: generation.tokens, limit: generation.tokensLeft - 1)
            some = some || generation.speculator?.first(after: generation.tokens) != nil
        }
        guard some else { return nil }
        func sum<Number: AdditiveArithmetic>(_ value: (Speculator) -> Number) -> Number {
            step.runs.reduce(.zero) { $0 + (generations[$1.id]?.speculator.map(value) ?? .zero) }
        }
        return Speculator.best(
            rows: step.decodes, limit: min(model.maximumStepTokens, StepCosts.most), costs: costs,
            added: { count in sum { $0.offered(count) } }, gain: { count in sum { $0.gain(count) } })
    }

    private func note(_ step: Scheduler.Step, seconds: Double) {
        let rows = runs.reduce(0) { $0 + $1.tokens.count }
        if step.decodes == step.runs.count {
            costs.note(rows: rows, seconds: seconds)
        } else {
            costs.note(promptTokens: rows - step.decodes, beside: step.decodes, seconds: seconds)
        }
    }

    /// Samples what a part of the step gives logits for; returns how many tokens that were.
    ///
    /// A guess is right when it is the token that is sampled from the logits before it, by the same random number as without
    /// guessing: so the logits after it are those that the next token is sampled from anyway.
    private func read(_ part: Part, at place: Int, from row: Int) -> Int {
        let generation = part.generation
        let id = generation.submission.id
        generation.computed = part.end
        if reusesPrefixes { model.keep(part.slot, tokens: generation.tokens, count: part.end) }
        guard part.rows > 0 else { return 0 }
        if generation.isReadingPrompt { prompts.removeAll { $0 === generation } }

        var sampled = 0
        var right = 0
        var reason: FinishReason?
        do {
            while reason == nil, right == sampled, sampled < part.rows, !generation.isUnread {
                reason = try generation.take(model.logits(row + sampled), memory: &memory, clock: { Clock.seconds })
                if sampled < part.proposed, generation.lastSampled == runs[place].tokens[part.certain + sampled] { right += 1 }
                if sampled == 0, part.proposed == 0, let first = part.first {
                    generation.speculator?.learn(right: generation.lastSampled == first ? 1 : 0, tried: 1)
                }
                sampled += 1
            }
        } catch {
            fail(id, "computed logits that are infinite or not numbers")
            return sampled
        }

        if part.proposed > 0 {
            generation.speculator?.learn(right: right, tried: part.proposed)
            generation.guessed(part.proposed, right: right)
            generation.computed = min(part.end + right, generation.tokens.count)
            if right < part.proposed { model.rewind(part.slot, to: generation.computed) }
            if reusesPrefixes { model.keep(part.slot, tokens: generation.tokens, count: generation.computed) }
        }
        if let reason {
            remove(id)?.finish(reason, active: scheduler.activeCount, at: Clock.seconds)
        } else if generation.isUnread {
            remove(id)?.fail(.readerTooSlow(events: options.unreadEvents), active: scheduler.activeCount, at: Clock.seconds)
        } else {
            scheduler.append(id, sampled)
        }
        return sampled
    }

    private func fail(_ id: GenerationStream.ID, _ problem: String) {
        remove(id)?.fail(.modelFailed(record.model.id, problem), active: scheduler.activeCount, at: Clock.seconds)
    }

    /// Takes a request out and gives its pages back; the caller ends its stream.
    private func remove(_ id: GenerationStream.ID) -> Generation? {
        guard let generation = generations.removeValue(forKey: id) else { return nil }
        scheduler.finish(id)
        prompts.removeAll { $0 === generation }
        if let slot = generation.slot { model.close(slot) }
        return generation
    }
}
