/// Which models are loaded or loading, readable at any moment without waiting for anything that computes or loads.
final class EngineRegistry: Sendable {
    private struct State {
        var records: [String: ModelRecord] = [:]
        var unloading: [String: EngineError.UnloadReason] = [:]
        var loading: [String: LoadingStatus] = [:]
        var isShuttingDown = false
        var nextNumber: UInt64 = 0
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
    func shutDown() { state.withLock { $0.isShuttingDown = true } }

    func record(_ id: String) throws(EngineError) -> ModelRecord {
        let found = state.withLock { state -> Result<ModelRecord, EngineError> in
            if state.isShuttingDown { return .failure(.shuttingDown) }
            if let record = state.records[id] { return .success(record) }
            if let reason = state.unloading[id] { return .failure(.modelUnloaded(id, reason)) }
            return .failure(state.records.isEmpty ? .noModelLoaded : .modelNotFound(id))
        }
        return try found.get()
    }

    var records: [ModelRecord] { state.withLock { Array($0.records.values) }.sorted { $0.key < $1.key } }

    func beginLoading(_ id: String) {
        let status = LoadingStatus(id: id, progress: 0, startedAt: Clock.epochSeconds)
        state.withLock { $0.loading[id] = status }
    }

    func progress(_ id: String, _ progress: Double) {
        state.withLock {
            guard let old = $0.loading[id] else { return }
            $0.loading[id] = LoadingStatus(id: id, progress: min(max(progress, 0), 1), startedAt: old.startedAt)
        }
    }

    func endLoading(_ id: String) { state.withLock { _ = $0.loading.removeValue(forKey: id) } }

    /// From here on the model is found; false when the engine has begun to shut down.
    func insert(_ record: ModelRecord) -> Bool {
        state.withLock { state in
            state.loading[record.model.id] = nil
            if state.isShuttingDown { return false }
            state.records[record.model.id] = record
            return true
        }
    }

    /// From here on the model is being unloaded, for which requests are refused.
    func remove(_ record: ModelRecord, reason: EngineError.UnloadReason) {
        state.withLock {
            $0.records[record.model.id] = nil
            $0.unloading[record.model.id] = reason
        }
        record.close()
    }

    /// From here on the model is not found.
    func endUnloading(_ record: ModelRecord) { state.withLock { $0.unloading[record.model.id] = nil } }

    func status() -> EngineStatus {
        let time = Clock.seconds
        let (loading, isShuttingDown) = state.withLock { (Array($0.loading.values), $0.isShuttingDown) }
        let statistics = totals.now
        return EngineStatus(
            models: records.map { $0.status(at: time) }, loading: loading.sorted { $0.startedAt < $1.startedAt },
            isShuttingDown: isShuttingDown, statistics: statistics, throughput: statistics.throughput(at: time),
            requestsPerMinute: statistics.requestsPerMinute(at: time))
    }
}
