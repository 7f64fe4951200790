import Engine
import Testing

/// The scheduler alone: no thread, no model, no clock.
struct SchedulerTests {
    /// A scheduler that expectations may change, with a count of pages of 32 tokens in place of a cache.
    @dynamicMemberLookup
    private final class Subject {
        private var scheduler: Scheduler
        private let beside: Int
        private var pages: [UInt64: Int] = [:]
        var grants: [UInt64: Scheduler.Grant] = [:]  // for requests that find something done already

        init(_ scheduler: Scheduler, beside: Int) {
            self.scheduler = scheduler
            self.beside = beside
        }

        var pagesInUse: Int { pages.values.reduce(0, +) }

        subscript<Value>(dynamicMember path: KeyPath<Scheduler, Value>) -> Value { scheduler[keyPath: path] }
        func add(_ id: UInt64, promptTokens: Int, newTokens: Int) -> Bool {
            scheduler.add(id, promptTokens: promptTokens, newTokens: newTokens)
        }
        func nextBatch(of totalPages: Int = 10_000) -> Scheduler.Step? {
            scheduler.nextBatch(promptTokens: beside) { id, tokens in
                guard pagesInUse + (tokens + 31) / 32 <= totalPages else { return nil }
                pages[id] = (tokens + 31) / 32
                return grants[id] ?? Scheduler.Grant()
            }
        }
        func append(_ id: UInt64, _ count: Int = 1) { scheduler.append(id, count) }
        func skip(_ id: UInt64, to count: Int) { scheduler.skip(id, to: count) }
        @discardableResult func finish(_ id: UInt64) -> Bool {
            pages[id] = nil
            return scheduler.finish(id)
        }
    }

    private func scheduler(active: Int = 4, queued: Int = 64, step: Int = 512, beside: Int = 128) -> Subject {
        var limits = Scheduler.Limits()
        limits.maximumActive = active
        limits.maximumQueued = queued
        limits.stepTokens = step
        return Subject(Scheduler(limits), beside: beside)
    }

    @Test func aRequestTakesThePagesOfItsWorstCaseAtItsStart() {
        let scheduler = scheduler()
        #expect(scheduler.add(1, promptTokens: 100, newTokens: 29))  // 129 positions: 5 pages of 32
        #expect(scheduler.pagesInUse == 0)
        let step = scheduler.nextBatch(of: 8)
        #expect(scheduler.pagesInUse == 5)
        #expect(step?.admitted == [1])
        #expect(step?.runs == [.init(id: 1, start: 0, count: 100, isSampled: true)])
    }

    @Test func aCancelledOrFinishedRequestGivesItsPagesBack() {
        let scheduler = scheduler()
        for id in 1...3 { #expect(scheduler.add(UInt64(id), promptTokens: 100, newTokens: 28)) }
        _ = scheduler.nextBatch(of: 8)
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
        _ = scheduler.nextBatch()
        scheduler.append(1)
        #expect(scheduler.add(2, promptTokens: 200, newTokens: 10))
        let step = scheduler.nextBatch()
        #expect(
            step?.runs == [
                .init(id: 1, start: 10, count: 1, isSampled: true), .init(id: 2, start: 0, count: 16, isSampled: false),
            ])
    }

    @Test func aPromptIsCutToTheStepAndOnlyItsLastPartIsSampled() {
        let scheduler = scheduler(step: 64)
        #expect(scheduler.add(1, promptTokens: 150, newTokens: 10))
        let runs = (0..<3).compactMap { _ in scheduler.nextBatch()?.runs.first }
        #expect(runs.map(\.start) == [0, 64, 128] && runs.map(\.count) == [64, 64, 22])
        #expect(runs.map(\.isSampled) == [false, false, true])
        #expect(scheduler.nextBatch() == nil, "nothing to do before the sampled token is known")
    }

    @Test func aShortPromptDoesNotWaitForTheEndOfALongOne() {
        let scheduler = scheduler(step: 64)
        #expect(scheduler.add(1, promptTokens: 5000, newTokens: 10))
        #expect(scheduler.add(2, promptTokens: 20, newTokens: 10))
        let step = scheduler.nextBatch()
        #expect(
            step?.runs == [
                .init(id: 1, start: 0, count: 44, isSampled: false), .init(id: 2, start: 0, count: 20, isSampled: true),
            ])
    }

    @Test func halfOfAStepIsTheOldestPromptsAndTheRestTheShortest() {
        let scheduler = scheduler(step: 64)
        for (id, tokens) in [(1, 4000), (2, 3000), (3, 100)] { #expect(scheduler.add(UInt64(id), promptTokens: tokens, newTokens: 10)) }
        #expect(scheduler.nextBatch()?.runs.map(\.count) == [32, 32])
        #expect(scheduler.nextBatch()?.runs.map(\.id) == [1, 3])
        #expect(scheduler.nextBatch()?.runs.map(\.count) == [32, 32])
        let last = scheduler.nextBatch()
        #expect(last?.runs.map(\.id) == [1, 2, 3] && last?.runs.map(\.count) == [32, 28, 4], "what the shortest leaves goes to the next")
    }

    @Test func aLongPromptIsNotStarvedByShortOnes() {
        let scheduler = scheduler(active: 3, queued: 1000, step: 64)
        #expect(scheduler.add(1, promptTokens: 3200, newTokens: 1))
        for id in 2...500 { #expect(scheduler.add(UInt64(id), promptTokens: 60, newTokens: 1)) }
        var steps = 0
        while steps < 1000 {
            steps += 1
            let sampled = scheduler.nextBatch()?.runs.filter(\.isSampled).map(\.id) ?? []
            if sampled.contains(1) { break }
            for id in sampled { scheduler.finish(id) }
        }
        #expect(steps == 100, "3200 tokens at 32 each step")
    }

    @Test func whatTheCacheHasIsNotComputed() {
        let scheduler = scheduler(step: 64)
        scheduler.grants[1] = .init(computed: 96)
        #expect(scheduler.add(1, promptTokens: 100, newTokens: 10))
        #expect(scheduler.nextBatch()?.runs == [.init(id: 1, start: 96, count: 4, isSampled: true)])
    }

    @Test func aPromptWaitsForTheOneThatComputesItsBeginning() {
        let scheduler = scheduler(step: 64)
        scheduler.grants[2] = .init(following: 1, until: 96)
        #expect(scheduler.add(1, promptTokens: 150, newTokens: 10))
        #expect(scheduler.add(2, promptTokens: 100, newTokens: 10))
        #expect(scheduler.nextBatch()?.runs.map(\.id) == [1])
        #expect(scheduler.nextBatch()?.runs.map(\.id) == [1])
        scheduler.skip(2, to: 96)
        #expect(
            scheduler.nextBatch()?.runs == [
                .init(id: 1, start: 128, count: 22, isSampled: true), .init(id: 2, start: 96, count: 4, isSampled: true),
            ])
    }

    @Test func aPromptDoesNotWaitForOneThatIsGone() {
        let scheduler = scheduler(step: 64)
        scheduler.grants[2] = .init(following: 1, until: 96)
        #expect(scheduler.add(1, promptTokens: 150, newTokens: 10))
        #expect(scheduler.add(2, promptTokens: 100, newTokens: 10))
        _ = scheduler.nextBatch()
        scheduler.finish(1)
        #expect(scheduler.nextBatch()?.runs == [.init(id: 2, start: 0, count: 64, isSampled: false)])
    }

    @Test func severalTokensOfAStepCountAsComputedButTheLast() {
        let scheduler = scheduler()
        #expect(scheduler.add(1, promptTokens: 10, newTokens: 100))
        _ = scheduler.nextBatch()
        scheduler.append(1, 4)
        #expect(scheduler.nextBatch()?.runs == [.init(id: 1, start: 13, count: 1, isSampled: true)])
    }

    @Test func requestsStartInTheOrderOfTheirArrivalEvenWhenALaterOneWouldFit() {
        let scheduler = scheduler()
        #expect(scheduler.add(1, promptTokens: 32, newTokens: 32))
        #expect(scheduler.add(2, promptTokens: 300, newTokens: 20))  // 10 pages
        #expect(scheduler.add(3, promptTokens: 16, newTokens: 16))
        #expect(scheduler.nextBatch(of: 10)?.admitted == [1])
        scheduler.append(1)
        #expect(scheduler.nextBatch(of: 10)?.admitted.isEmpty == true)
        scheduler.finish(1)
        #expect(scheduler.nextBatch(of: 10)?.admitted == [2])
    }

    @Test func theQueueHasAnEnd() {
        let scheduler = scheduler(queued: 2)
        #expect(scheduler.add(1, promptTokens: 1, newTokens: 1))
        #expect(scheduler.add(2, promptTokens: 1, newTokens: 1))
        #expect(!scheduler.add(3, promptTokens: 1, newTokens: 1))
        _ = scheduler.nextBatch()
        #expect(scheduler.add(3, promptTokens: 1, newTokens: 1))
    }

    @Test func moreActiveRequestsThanAStepHoldsAreNotAdmitted() {
        let scheduler = scheduler(active: 100, step: 8)
        for id in 1...20 { #expect(scheduler.add(UInt64(id), promptTokens: 1, newTokens: 5)) }
        #expect(scheduler.nextBatch()?.tokenCount == 8)
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
        var capacity: [UInt64: Int] = [:]
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
                capacity[next] = prompt + new
                next += 1
            }
            if Int.random(in: 0..<50, using: &random) == 0, let victim = left.keys.sorted().randomElement(using: &random) {
                scheduler.finish(victim)
                left[victim] = nil
            }
            guard let batch = scheduler.nextBatch(of: totalPages) else { continue }
            started += batch.admitted
            #expect(scheduler.pagesInUse <= totalPages && batch.tokenCount <= step && batch.tokenCount > 0)
            #expect(Set(batch.runs.map(\.id)).count == batch.runs.count)
            for run in batch.runs {
                #expect(run.start == computed[run.id, default: 0] && run.count > 0)
                computed[run.id] = run.start + run.count
                #expect(run.start + run.count <= capacity[run.id, default: 0])
                guard run.isSampled, let more = left[run.id] else { continue }
                left[run.id] = more - 1
                if more > 1 {
                    scheduler.append(run.id)
                } else {
                    scheduler.finish(run.id)
                    left[run.id] = nil
                }
            }
            if steps > 200_000 { break }
        }
        #expect(left.isEmpty && scheduler.pagesInUse == 0 && scheduler.isIdle)
        #expect(started == started.sorted(), "first come, first started")
    }
}
