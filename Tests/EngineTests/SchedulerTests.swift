import Engine
import Testing

/// The scheduler alone: no thread, no model, no clock.
struct SchedulerTests {
    /// A scheduler that expectations may change.
    @dynamicMemberLookup
    private final class Subject {
        private var scheduler: Scheduler

        init(_ scheduler: Scheduler) { self.scheduler = scheduler }

        subscript<Value>(dynamicMember path: KeyPath<Scheduler, Value>) -> Value { scheduler[keyPath: path] }
        func add(_ id: UInt64, promptTokens: Int, newTokens: Int) -> Bool {
            scheduler.add(id, promptTokens: promptTokens, newTokens: newTokens)
        }
        func nextBatch(freePages: Int) -> Scheduler.Step? { scheduler.nextBatch(freePages: freePages) }
        func append(_ id: UInt64) { scheduler.append(id) }
        @discardableResult func finish(_ id: UInt64) -> Bool { scheduler.finish(id) }
        func pages(for tokens: Int) -> Int { scheduler.pages(for: tokens) }
    }

    private func scheduler(active: Int = 4, queued: Int = 64, step: Int = 512, beside: Int = 128) -> Subject {
        var limits = Scheduler.Limits()
        limits.maximumActive = active
        limits.maximumQueued = queued
        limits.stepTokens = step
        limits.promptTokensBesideDecodes = beside
        return Subject(Scheduler(limits))
    }

    @Test func aRequestTakesThePagesOfItsWorstCaseAtItsStart() {
        let scheduler = scheduler()
        #expect(scheduler.add(1, promptTokens: 100, newTokens: 29))  // 129 positions: 5 pages of 32
        #expect(scheduler.pagesInUse == 0)
        let step = scheduler.nextBatch(freePages: 8)
        #expect(scheduler.pagesInUse == 5)
        #expect(step?.admitted.map(\.tokens) == [129])
        #expect(step?.runs == [.init(id: 1, start: 0, count: 100, isSampled: true)])
    }

    @Test func aCancelledOrFinishedRequestGivesItsPagesBack() {
        let scheduler = scheduler()
        for id in 1...3 { #expect(scheduler.add(UInt64(id), promptTokens: 100, newTokens: 28)) }
        _ = scheduler.nextBatch(freePages: 8)
        #expect(scheduler.pagesInUse == 8 && scheduler.activeCount == 2 && scheduler.queuedCount == 1)
        #expect(scheduler.finish(1))
        #expect(scheduler.pagesInUse == 4)
        #expect(scheduler.finish(3), "a waiting request can be taken out too")
        #expect(scheduler.pagesInUse == 4 && scheduler.queuedCount == 0)
        #expect(scheduler.finish(2))
        #expect(!scheduler.finish(2))
        #expect(scheduler.pagesInUse == 0 && scheduler.isIdle)
    }

    @Test func decodesComeFirstAndPromptsGetWhatTheBudgetLeaves() {
        let scheduler = scheduler(step: 64, beside: 16)
        #expect(scheduler.add(1, promptTokens: 10, newTokens: 100))
        _ = scheduler.nextBatch(freePages: 100)
        scheduler.append(1)
        #expect(scheduler.add(2, promptTokens: 200, newTokens: 10))
        let step = scheduler.nextBatch(freePages: 100)
        #expect(
            step?.runs == [
                .init(id: 1, start: 10, count: 1, isSampled: true), .init(id: 2, start: 0, count: 16, isSampled: false),
            ])
    }

    @Test func aPromptIsCutToTheStepAndOnlyItsLastPartIsSampled() {
        let scheduler = scheduler(step: 64)
        #expect(scheduler.add(1, promptTokens: 150, newTokens: 10))
        let runs = (0..<3).compactMap { _ in scheduler.nextBatch(freePages: 100)?.runs.first }
        #expect(runs.map(\.start) == [0, 64, 128] && runs.map(\.count) == [64, 64, 22])
        #expect(runs.map(\.isSampled) == [false, false, true])
        #expect(scheduler.nextBatch(freePages: 100) == nil, "nothing to do before the sampled token is known")
    }

    @Test func aShortPromptDoesNotWaitForTheEndOfALongOne() {
        let scheduler = scheduler(step: 64)
        #expect(scheduler.add(1, promptTokens: 5000, newTokens: 10))
        #expect(scheduler.add(2, promptTokens: 20, newTokens: 10))
        let step = scheduler.nextBatch(freePages: 1000)
        #expect(
            step?.runs == [
                .init(id: 1, start: 0, count: 44, isSampled: false), .init(id: 2, start: 0, count: 20, isSampled: true),
            ])
    }

    @Test func requestsStartInTheOrderOfTheirArrivalEvenWhenALaterOneWouldFit() {
        let scheduler = scheduler()
        #expect(scheduler.add(1, promptTokens: 32, newTokens: 32))
        #expect(scheduler.add(2, promptTokens: 300, newTokens: 20))  // 10 pages
        #expect(scheduler.add(3, promptTokens: 16, newTokens: 16))
        #expect(scheduler.nextBatch(freePages: 10)?.admitted.map(\.id) == [1])
        scheduler.append(1)
        #expect(scheduler.nextBatch(freePages: 8)?.admitted.isEmpty == true)
        scheduler.finish(1)
        #expect(scheduler.nextBatch(freePages: 10)?.admitted.map(\.id) == [2])
    }

    @Test func theQueueHasAnEnd() {
        let scheduler = scheduler(queued: 2)
        #expect(scheduler.add(1, promptTokens: 1, newTokens: 1))
        #expect(scheduler.add(2, promptTokens: 1, newTokens: 1))
        #expect(!scheduler.add(3, promptTokens: 1, newTokens: 1))
        _ = scheduler.nextBatch(freePages: 100)
        #expect(scheduler.add(3, promptTokens: 1, newTokens: 1))
    }

    @Test func moreActiveRequestsThanAStepHoldsAreNotAdmitted() {
        let scheduler = scheduler(active: 100, step: 8)
        for id in 1...20 { #expect(scheduler.add(UInt64(id), promptTokens: 1, newTokens: 5)) }
        #expect(scheduler.nextBatch(freePages: 1000)?.tokenCount == 8)
        #expect(scheduler.activeCount == 8)
    }

    /// Random traffic, seeds printed by the arguments: every request runs to its end, in bounds, computing each position once.
    @Test(arguments: 1...40)
    func randomTrafficIsServedWithoutStarvationOrOverrun(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let totalPages = Int.random(in: 8...40, using: &random)
        let step = Int.random(in: 4...96, using: &random)
        let scheduler = scheduler(
            active: Int.random(in: 1...6, using: &random), queued: 1000, step: step, beside: Int.random(in: 1...64, using: &random))
        var left: [UInt64: Int] = [:]  // new tokens still to come
        var computed: [UInt64: Int] = [:]
        var reserved: [UInt64: Int] = [:]
        var started: [UInt64] = []
        var next: UInt64 = 1
        var steps = 0
        while next <= 60 || !scheduler.isIdle {
            steps += 1
            if next <= 60, Int.random(in: 0..<3, using: &random) == 0 {
                let prompt = Int.random(in: 1...(totalPages * 16), using: &random)
                let new = Int.random(in: 1...(totalPages * 16), using: &random)
                #expect(scheduler.add(next, promptTokens: prompt, newTokens: new))
                left[next] = new
                next += 1
            }
            if Int.random(in: 0..<50, using: &random) == 0, let victim = left.keys.sorted().randomElement(using: &random) {
                scheduler.finish(victim)
                left[victim] = nil
                reserved[victim] = nil
            }
            let free = totalPages - reserved.values.reduce(0) { $0 + scheduler.pages(for: $1) }
            guard let batch = scheduler.nextBatch(freePages: free) else { continue }
            for (id, tokens) in batch.admitted {
                reserved[id] = tokens
                started.append(id)
            }
            #expect(reserved.values.reduce(0) { $0 + scheduler.pages(for: $1) } == scheduler.pagesInUse)
            #expect(scheduler.pagesInUse <= totalPages && batch.tokenCount <= step && batch.tokenCount > 0)
            #expect(Set(batch.runs.map(\.id)).count == batch.runs.count)
            for run in batch.runs {
                #expect(run.start == computed[run.id, default: 0] && run.count > 0)
                computed[run.id] = run.start + run.count
                #expect(run.start + run.count <= reserved[run.id, default: 0])
                guard run.isSampled, let more = left[run.id] else { continue }
                left[run.id] = more - 1
                if more > 1 {
                    scheduler.append(run.id)
                } else {
                    scheduler.finish(run.id)
                    (left[run.id], reserved[run.id]) = (nil, nil)
                }
            }
            if steps > 200_000 { break }
        }
        #expect(left.isEmpty && scheduler.pagesInUse == 0 && scheduler.isIdle)
        #expect(started == started.sorted(), "first come, first started")
    }
}
