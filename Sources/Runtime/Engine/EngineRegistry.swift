/// Which models are loaded, loading or going, readable at any moment without waiting for anything that computes or loads.
final class EngineRegistry: Sendable {
    private struct Entry {
        var lifecycle = ModelLifecycle()
        var record: ModelRecord?  // while it is ready
        var startedAt = 0.0  // the load; seconds since 1970
    }

    private struct State {
        var entries: [String: Entry] = [:]
        /// Requests that wait for a load, by number.
        var waiting: [UInt64: (id: String, resume: CheckedContinuation<Void, Never>?)] = [:]
        var isShuttingDown = false
        var nextNumber: UInt64 = 0

        /// Changes a model's entry, and drops it when nothing is left to say of the model.
        mutating func change<Value>(_ id: String, _ body: (inout Entry) -> Value) -> Value {
            var entry = entries[id] ?? Entry()
            let value = body(&entry)
            entries[id] = entry.lifecycle.isForgettable ? nil : entry
            return value
        }

        var hasRecords: Bool { entries.values.contains { $0.record != nil } }
    }

    private let state = Locked(State())
    /// Of everything ever served.
    let totals = Totals()

    final class Totals: Sendable {
        private let statistics = Locked(Statistics())
        func change(_ body: (inout Statistics) -> Void) { statistics.withLock { body(&$0) } }
        var now: Statistics { statistics.withLock { $0.unshared() } }
    }

    /// A number that was never given out before: names of requests and of loads.
    func number() -> UInt64 {
        state.withLock { state in
            state.nextNumber &+= 1
            return state.nextNumber
        }
    }

    var isShuttingDown: Bool { state.withLock(\.isShuttingDown) }

    func shutDown() {
        let waiting = state.withLock { state in
            state.isShuttingDown = true
            defer { state.waiting = [:] }
            return state.waiting.values.compactMap(\.resume)
        }
        for request in waiting { request.resume() }
    }

    // ------------------------------------------------------------------------------------------------------ answering

    func record(_ id: String) throws(EngineError) -> ModelRecord {
        let found = state.withLock { state -> Result<ModelRecord, EngineError> in
            if state.isShuttingDown { return .failure(.shuttingDown) }
            if let record = state.entries[id]?.record { return .success(record) }
            if case .refuse(let reason?)? = state.entries[id]?.lifecycle.admission { return .failure(.modelUnloaded(id, reason)) }
            return .failure(state.hasRecords ? .modelNotFound(id) : .noModelLoaded)
        }
        return try found.get()
    }

    func state(of id: String) -> ModelState { state.withLock { $0.entries[id]?.lifecycle.state ?? .absent } }

    func isLoading(_ id: String) -> Bool { state.withLock { $0.entries[id]?.lifecycle.admission == .wait } }

    /// Returns when the load of this model is over, or the task cancelled.
    /// - Parameter limit: so many requests may wait for it.
    func waitForLoad(_ id: String, limit: Int) async throws(EngineError) {
        let number = number()
        let isFull = state.withLock { state in
            let count = state.waiting.values.count { $0.id == id }
            if count < limit { state.waiting[number] = (id, nil) }
            return count >= limit
        }
        if isFull { throw .queueFull(limit: limit, retryAfter: 5) }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let mustWait = state.withLock { state in
                    guard state.waiting[number] != nil, state.entries[id]?.lifecycle.admission == .wait, !state.isShuttingDown else {
                        state.waiting[number] = nil
                        return false
                    }
                    state.waiting[number]?.resume = continuation
                    return true
                }
                if !mustWait { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: number)?.resume }?.resume()
        }
    }

    func waitingRequests(for id: String) -> Int { state.withLock { $0.waiting.values.count { $0.id == id } } }

    // -------------------------------------------------------------------------------------------- loading, by the engine

    func load(_ id: String) -> ModelLifecycle.Load {
        state.withLock { state in
            state.change(id) { entry in
                let step = entry.lifecycle.load()
                if step == .begin { entry.startedAt = Clock.epochSeconds }
                return step
            }
        }
    }

    func progress(_ id: String, _ share: Double) { state.withLock { $0.change(id) { $0.lifecycle.loaded(share: share) } } }

    func isCalledOff(_ id: String) -> Bool { state.withLock { $0.entries[id]?.lifecycle.isCalledOff ?? false || $0.isShuttingDown } }

    /// From here on the model is found, or is not loading any more. False when what was loaded is to be dropped.
    func endLoading(_ id: String, _ result: Result<ModelRecord, EngineError>) -> Bool {
        let (isReady, waiting) = state.withLock { state in
            let isReady = state.change(id) { [isShuttingDown = state.isShuttingDown] entry in
                switch result {
                case .success(let record):
                    let isReady = entry.lifecycle.loadEnded(isShuttingDown ? .shuttingDown : nil)
                    entry.record = isReady ? record : nil
                    return isReady
                case .failure(let error): return entry.lifecycle.loadEnded(error)
                }
            }
            let over = state.waiting.filter { $0.value.id == id }
            for number in over.keys { state.waiting[number] = nil }
            return (isReady, over.values.compactMap(\.resume))
        }
        for request in waiting { request.resume() }
        return isReady
    }

    /// From here on the model is being unloaded, for which requests are refused, or its load is called off.
    func unload(_ id: String, _ reason: EngineError.UnloadReason) -> (ModelLifecycle.Unload, ModelRecord?) {
        let (step, record) = state.withLock { state in
            state.change(id) { entry in
                let step = entry.lifecycle.unload(reason)
                defer { if step == .begin { entry.record = nil } }
                return (step, step == .begin ? entry.record : nil)
            }
        }
        record?.close(reason)
        return (step, record)
    }

    /// The same for a model that nobody uses; nil, and nothing happens, where somebody does.
    func evict(_ id: String, _ reason: EngineError.UnloadReason) -> ModelRecord? {
        state.withLock { state in
            guard let record = state.entries[id]?.record, record.closeIfUnused(reason) else { return nil }
            return state.change(id) { entry in
                defer { entry.record = nil }
                return entry.lifecycle.evict(isInUse: false, reason) ? record : nil
            }
        }
    }

    /// From here on the model is not found.
    func endUnloading(_ id: String) { state.withLock { $0.change(id) { $0.lifecycle.freed() } } }

    func forget(_ id: String) { state.withLock { $0.change(id) { $0.lifecycle.forget() } } }

    // --------------------------------------------------------------------------------------------------------- looking

    var records: [ModelRecord] { state.withLock { $0.entries.values.compactMap(\.record) }.sorted { $0.key < $1.key } }

    /// The loads that wait or work, called off or not.
    var hasLoads: Bool {
        state.withLock { $0.entries.values.contains { $0.lifecycle.phase == .loading || $0.lifecycle.isCalledOff } }
    }

    func status() -> EngineStatus {
        let time = Clock.seconds
        // What leaves the lock is new: a dictionary that is shared with it would be read while it is written.
        let (states, loading, isShuttingDown) = state.withLock { state in
            (
                state.entries.mapValues(\.lifecycle.state),
                state.entries.compactMap { id, entry -> LoadingStatus? in
                    guard case .loading(let share) = entry.lifecycle.state else { return nil }
                    return LoadingStatus(id: id, progress: share, startedAt: entry.startedAt)
                }, state.isShuttingDown
            )
        }
        let statistics = totals.now
        return EngineStatus(
            models: records.map { $0.status(at: time) },
            loading: loading.sorted { ($0.startedAt, $0.id) < ($1.startedAt, $1.id) },
            states: states, isShuttingDown: isShuttingDown, statistics: statistics,
            throughput: statistics.throughput(at: time), requestsPerMinute: statistics.requestsPerMinute(at: time))
    }
}
