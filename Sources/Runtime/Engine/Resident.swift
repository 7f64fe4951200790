/// A loaded model on the inference thread: its weights and cache, its scheduler, and its running requests.
final class Resident {
    let record: ModelRecord
    private let totals: EngineRegistry.Totals
    private let model: any StepModel
    private var scheduler: Scheduler
    private var generations: [GenerationStream.ID: Generation] = [:]
    private var memory = Candidates()
    /// Set once the model is to go: when to end what still runs, why, and whom to tell.
    var leaving: (deadline: Double, error: EngineError, done: @Sendable () -> Void)?

    init(_ model: any StepModel, record: ModelRecord, totals: EngineRegistry.Totals, promptTokensBesideDecodes: Int) {
        self.model = model
        self.totals = totals
        self.record = record
        var limits = Scheduler.Limits()
        limits.pageTokens = model.pageTokens
        limits.maximumActive = record.maximumActive
        limits.maximumQueued = record.maximumActive + record.maximumQueued
        limits.stepTokens = model.maximumStepTokens
        limits.promptTokensBesideDecodes = promptTokensBesideDecodes
        scheduler = Scheduler(limits)
    }

    var isIdle: Bool { generations.isEmpty }

    func submit(_ submission: Submission) {
        guard scheduler.add(submission.id, promptTokens: submission.request.prompt.count, newTokens: submission.newTokens) else {
            submission.fail(.queueFull(limit: record.maximumQueued), active: scheduler.activeCount, at: Clock.seconds)
            return
        }
        generations[submission.id] = Generation(submission)
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

    /// One step of the model for all its requests; false when there was nothing to do.
    func step() -> Bool {
        guard let step = scheduler.nextBatch(freePages: model.freePages) else {
            // Nothing can run although nothing holds pages: better an error than to wait for ever.
            if !isIdle { endAll(.modelFailed(record.model.id, "the cache is too small for the waiting requests")) }
            return false
        }
        let begun = Clock.seconds
        for (id, tokens) in step.admitted {
            let slot = model.open()
            generations[id]?.slot = slot
            generations[id]?.start(at: begun)
            if !model.reserve(slot, tokens: tokens) { fail(id, "the cache has no room for \(tokens) positions that it had promised") }
        }

        var runs: [StepRun] = []
        var sampled: [GenerationStream.ID] = []
        for run in step.runs {
            guard let generation = generations[run.id], let slot = generation.slot else { continue }
            runs.append(
                StepRun(slot: slot, tokens: Array(generation.tokens[run.start..<run.start + run.count]), wantsLogits: run.isSampled))
            if run.isSampled { sampled.append(run.id) }
        }
        guard !runs.isEmpty else { return true }
        model.forward(runs)

        for (row, id) in sampled.enumerated() {
            guard let generation = generations[id] else { continue }
            do {
                if let reason = try generation.take(model.logits(row), memory: &memory, clock: { Clock.seconds }) {
                    remove(id)?.finish(reason, active: scheduler.activeCount, at: Clock.seconds)
                } else {
                    scheduler.append(id)
                }
            } catch {
                fail(id, "computed logits that are infinite or not numbers")
            }
        }
        let now = Clock.seconds
        record.stepped(tokens: sampled.count, active: scheduler.activeCount, pagesInUse: model.totalPages - model.freePages, at: now)
        totals.change { $0.stepped(tokens: sampled.count, at: now) }
        return true
    }

    private func fail(_ id: GenerationStream.ID, _ problem: String) {
        remove(id)?.fail(.modelFailed(record.model.id, problem), active: scheduler.activeCount, at: Clock.seconds)
    }

    /// Takes a request out and gives its pages back; the caller ends its stream.
    private func remove(_ id: GenerationStream.ID) -> Generation? {
        guard let generation = generations.removeValue(forKey: id) else { return nil }
        scheduler.finish(id)
        if let slot = generation.slot { model.close(slot) }
        return generation
    }
}
