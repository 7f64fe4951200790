/// Decides which tokens of which requests go through the model in the next step: continuous batching as a value.
///
/// It counts tokens and knows neither their contents nor pages, clock, thread or model. A request is a number of *known*
/// tokens (prompt, then what was sampled) of which some are *computed*; a decode is a request with exactly one known token
/// left to compute, a prefill one with more. Both are the same kind of work.
///
/// **Admission.** A request starts when the cache grants it the pages of its worst case (prompt and maximum of new tokens),
/// and keeps that grant to its end. So no step ever runs out of pages, nothing is computed twice, and a running request is
/// never put aside for a newer one. Requests start strictly in the order of their arrival: a large one at the head waits for
/// pages and is not overtaken, so it cannot starve.
///
/// **A step** takes all decodes first, then prompt chunks up to a token budget that is smaller while others decode, so that
/// a long prompt delays their next token little. Half of the budget goes to the oldest prompt, the rest to the prompts with
/// the fewest tokens left: a short prompt is not stuck behind a long one, and a long one goes on at half speed at least
/// from the day it is the oldest, however many short ones arrive.
///
/// **Following.** A request whose prompt begins as that of an older one in work waits until that beginning is computed, and
/// goes on from there with its pages.
package struct Scheduler: Sendable {
    package typealias ID = UInt64

    package struct Limits: Sendable, Equatable {
        /// Requests in work at the same time; not more than `stepTokens`.
        package var maximumActive = 8
        /// Requests waiting to start.
        package var maximumQueued = 64
        /// Tokens per step.
        package var stepTokens = 512

        package init() {}
    }

    /// Tokens `start ..< start + count` of one request. `isSampled`: they reach the end of what is known, so the last
    /// one's logits give the next token.
    package struct Run: Sendable, Equatable {
        package var id: ID
        package var start: Int
        package var count: Int
        package var isSampled: Bool

        package init(id: ID, start: Int, count: Int, isSampled: Bool) {
            self.id = id
            self.start = start
            self.count = count
            self.isSampled = isSampled
        }
    }

    package struct Step: Sendable, Equatable {
        /// Requests that start with this step.
        package var admitted: [ID] = []
        /// Decodes first.
        package var runs: [Run] = []
        /// How many of the runs are decodes.
        package var decodes = 0

        package var tokenCount: Int { runs.reduce(0) { $0 + $1.count } }
    }

    /// A place in the cache for a request.
    package struct Grant: Sendable, Equatable {
        /// Tokens at its beginning that are computed already.
        package var computed: Int
        /// An older request that is to compute its tokens up to `until` first.
        package var leader: ID?
        package var until = 0

        package init(computed: Int = 0, following leader: ID? = nil, until: Int = 0) {
            self.computed = computed
            self.leader = leader
            self.until = until
        }
    }

    private struct Entry: Sendable {
        let id: ID
        let capacity: Int  // positions that it may ever need
        var known: Int
        var computed = 0
        var leader: ID?
        var until = 0

        var left: Int { known - computed }
    }

    package let limits: Limits
    private var queue: [Entry] = []  // first come, first admitted
    private var active: [Entry] = []  // in order of admission

    package init(_ limits: Limits = Limits()) {
        var limits = limits
        limits.stepTokens = max(1, limits.stepTokens)
        limits.maximumActive = min(max(1, limits.maximumActive), limits.stepTokens)
        self.limits = limits
    }

    package var queuedCount: Int { queue.count }
    package var activeCount: Int { active.count }
    package var isIdle: Bool { queue.isEmpty && active.isEmpty }

    /// Queues a request; false when the queue is full. The caller has checked that `promptTokens + newTokens` fits the cache.
    package mutating func add(_ id: ID, promptTokens: Int, newTokens: Int) -> Bool {
        guard queue.count < limits.maximumQueued else { return false }
        queue.append(Entry(id: id, capacity: promptTokens + newTokens, known: promptTokens))
        return true
    }

    /// The work of the next step, which the caller now carries out; nil when there is none.
    /// - Parameters:
    ///   - promptTokens: at most so many tokens of prompts beside decodes.
    ///   - grant: finds a place for a request that may grow to so many positions; nil while there is none.
    package mutating func nextBatch(promptTokens: Int = 128, grant: (ID, Int) -> Grant?) -> Step? {
        var step = Step()
        while let head = queue.first, active.count < limits.maximumActive, let place = grant(head.id, head.capacity) {
            queue.removeFirst()
            active.append(head)
            active[active.count - 1].computed = place.computed
            active[active.count - 1].leader = place.leader
            active[active.count - 1].until = place.until
            step.admitted.append(head.id)
        }

        var budget = limits.stepTokens
        for index in active.indices where active[index].left == 1 {
            step.runs.append(take(1, at: index))
            budget -= 1
        }
        step.decodes = step.runs.count
        if step.decodes < active.count { addPrompts(to: &step, budget: step.decodes == 0 ? budget : min(budget, max(1, promptTokens))) }
        return step.runs.isEmpty && step.admitted.isEmpty ? nil : step
    }

    private mutating func addPrompts(to step: inout Step, budget: Int) {
        let waiting = active.indices.filter { active[$0].left > 1 && !isFollowing($0) }
        guard let oldest = waiting.first, budget > 0 else { return }
        var shares = [Int](repeating: 0, count: active.count)
        shares[oldest] = min(active[oldest].left, (budget + 1) / 2)
        var rest = budget - shares[oldest]
        for index in waiting.sorted(by: { (active[$0].left, $0) < (active[$1].left, $1) }) {
            let more = min(rest, active[index].left - shares[index])
            shares[index] += more
            rest -= more
        }
        for index in waiting where shares[index] > 0 { step.runs.append(take(shares[index], at: index)) }
    }

    /// Whether the request waits for one that is ahead of it.
    private func isFollowing(_ index: Int) -> Bool {
        guard let leader = active[index].leader, let ahead = active.first(where: { $0.id == leader }) else { return false }
        return ahead.computed < active[index].until
    }

    private mutating func take(_ count: Int, at index: Int) -> Run {
        let start = active[index].computed
        active[index].computed += count
        return Run(id: active[index].id, start: start, count: count, isSampled: active[index].left == 0)
    }

    /// The first `count` tokens of a request turned out to be computed already.
    package mutating func skip(_ id: ID, to count: Int) {
        guard let index = active.firstIndex(where: { $0.id == id }) else { return }
        active[index].computed = max(active[index].computed, min(count, active[index].known - 1))
    }

    /// So many tokens are new for this request; all but the last of them are computed, and that one is to be in the next step.
    package mutating func append(_ id: ID, _ count: Int = 1) {
        guard let index = active.firstIndex(where: { $0.id == id }) else { return }
        active[index].known += count
        active[index].computed += count - 1
    }

    /// The request has ended or is cancelled, wherever it is. False when it is not here.
    @discardableResult
    package mutating func finish(_ id: ID) -> Bool {
        if let index = active.firstIndex(where: { $0.id == id }) {
            active.remove(at: index)
            return true
        }
        if let index = queue.firstIndex(where: { $0.id == id }) {
            queue.remove(at: index)
            return true
        }
        return false
    }
}
