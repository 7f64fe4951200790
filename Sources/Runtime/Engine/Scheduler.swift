/// Decides which tokens of which requests go through the model in the next step: continuous batching as a value.
///
/// It counts tokens and pages and knows neither their contents nor clock, thread or model. A request is a number of
/// *known* tokens (prompt, then what was sampled) of which some are *computed*; a decode is a request with exactly one
/// known token left to compute, a prefill one with more. Both are the same kind of work.
///
/// **Admission.** A request starts when the pages of its worst case (prompt and maximum of new tokens) are free, and
/// keeps them to its end. So no step ever runs out of pages, nothing is computed twice, and a running request is never
/// put aside for a newer one. The price, pages that a short answer leaves unused, is small because the cache is sized for
/// `maximumActive` requests of full length. Requests start strictly in the order of their arrival: a large one at the
/// head waits for pages and is not overtaken, so it cannot starve.
///
/// **A step** takes all decodes first, then prompt chunks up to a token budget that is smaller while others decode, so
/// that a long prompt delays their next token little. The budget is shared evenly between the prompts in work, the rest
/// going to the oldest, so that a short prompt does not wait for the end of a long one.
package struct Scheduler: Sendable {
    package typealias ID = UInt64

    package struct Limits: Sendable, Equatable {
        package var pageTokens = 32
        /// Requests in work at the same time; not more than `stepTokens`.
        package var maximumActive = 8
        /// Requests waiting to start.
        package var maximumQueued = 64
        /// Tokens per step.
        package var stepTokens = 512
        /// Prompt tokens per step beside running decodes.
        package var promptTokensBesideDecodes = 128

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
        /// Requests that start with this step, with the positions to reserve for each.
        package var admitted: [(id: ID, tokens: Int)] = []
        package var runs: [Run] = []

        package var tokenCount: Int { runs.reduce(0) { $0 + $1.count } }

        package static func == (left: Step, right: Step) -> Bool {
            left.runs == right.runs && left.admitted.elementsEqual(right.admitted) { $0 == $1 }
        }
    }

    private struct Entry: Sendable {
        let id: ID
        let capacity: Int  // positions that it may ever need
        let pages: Int
        var known: Int
        var computed = 0
    }

    package let limits: Limits
    private var queue: [Entry] = []  // first come, first admitted
    private var active: [Entry] = []  // in order of admission
    package private(set) var pagesInUse = 0

    package init(_ limits: Limits = Limits()) {
        var limits = limits
        limits.pageTokens = max(1, limits.pageTokens)
        limits.stepTokens = max(1, limits.stepTokens)
        limits.maximumActive = min(max(1, limits.maximumActive), limits.stepTokens)
        limits.promptTokensBesideDecodes = max(1, limits.promptTokensBesideDecodes)
        self.limits = limits
    }

    package var queuedCount: Int { queue.count }
    package var activeCount: Int { active.count }
    package var isIdle: Bool { queue.isEmpty && active.isEmpty }

    package func pages(for tokens: Int) -> Int { (tokens + limits.pageTokens - 1) / limits.pageTokens }

    /// Queues a request; false when the queue is full. The caller has checked that `promptTokens + newTokens` fits the cache.
    package mutating func add(_ id: ID, promptTokens: Int, newTokens: Int) -> Bool {
        guard queue.count < limits.maximumQueued else { return false }
        let capacity = promptTokens + newTokens
        queue.append(Entry(id: id, capacity: capacity, pages: pages(for: capacity), known: promptTokens))
        return true
    }

    /// The work of the next step, which the caller now carries out; nil when there is none.
    package mutating func nextBatch(freePages: Int) -> Step? {
        var step = Step()
        var free = freePages
        while let head = queue.first, active.count < limits.maximumActive, head.pages <= free {
            queue.removeFirst()
            active.append(head)
            free -= head.pages
            pagesInUse += head.pages
            step.admitted.append((head.id, head.capacity))
        }

        var budget = limits.stepTokens
        for index in active.indices where active[index].known - active[index].computed == 1 {
            step.runs.append(take(1, at: index))
            budget -= 1
        }
        if !step.runs.isEmpty { budget = min(budget, limits.promptTokensBesideDecodes) }

        var waiting = active.indices.filter { active[$0].known - active[$0].computed > 1 }
        waiting = Array(waiting.prefix(max(0, budget)))
        if !waiting.isEmpty {
            var shares = waiting.map { min(active[$0].known - active[$0].computed, budget / waiting.count) }
            var rest = budget - shares.reduce(0, +)
            for (place, index) in waiting.enumerated() {
                let more = min(rest, active[index].known - active[index].computed - shares[place])
                shares[place] += more
                rest -= more
            }
            for (place, index) in waiting.enumerated() { step.runs.append(take(shares[place], at: index)) }
        }
        return step.runs.isEmpty && step.admitted.isEmpty ? nil : step
    }

    private mutating func take(_ count: Int, at index: Int) -> Run {
        let start = active[index].computed
        active[index].computed += count
        return Run(id: active[index].id, start: start, count: count, isSampled: active[index].computed == active[index].known)
    }

    /// A token was sampled for this request and is to be computed in the next step.
    package mutating func append(_ id: ID) {
        if let index = active.firstIndex(where: { $0.id == id }) { active[index].known += 1 }
    }

    /// The request has ended or is cancelled, wherever it is; gives its pages back. False when it is not here.
    @discardableResult
    package mutating func finish(_ id: ID) -> Bool {
        if let index = active.firstIndex(where: { $0.id == id }) {
            pagesInUse -= active.remove(at: index).pages
            return true
        }
        if let index = queue.firstIndex(where: { $0.id == id }) {
            queue.remove(at: index)
            return true
        }
        return false
    }
}
