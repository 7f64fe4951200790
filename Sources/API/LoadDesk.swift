import Engine
import Weights

/// Loads and unloads on behalf of clients, and tells what became of it. A load goes on when the client that asked for it
/// leaves; whoever asks for the same model meanwhile gets the same outcome.
actor LoadDesk {
    private let engine: InferenceEngine
    private let loader: ModelLoader
    private let forecast: (@Sendable (CatalogueEntry) throws -> MemoryNeeds)?
    private let currentConfiguration: @Sendable () -> Configuration
    private var configuration: Configuration { currentConfiguration() }
    private let observers: Observers
    nonisolated let journal = LoadJournal()

    init(
        engine: InferenceEngine, loader: @escaping ModelLoader, forecast: (@Sendable (CatalogueEntry) throws -> MemoryNeeds)?,
        configuration: @escaping @Sendable () -> Configuration, observers: Observers
    ) {
        self.engine = engine
        self.loader = loader
        self.forecast = forecast
        currentConfiguration = configuration
        self.observers = observers
    }

    // MARK: Loading

    /// - Parameter keepAlive: how long the model stays when nobody uses it; zero: for ever, nil: as configured.
    func load(_ entry: CatalogueEntry, keepAlive: Duration? = nil) async throws -> LoadReport {
        let (observers, loader) = (observers, loader)
        var plan = InferenceEngine.LoadPlan(keepAlive: keepAlive)
        if let forecast { plan.forecast = { try forecast(entry) } }
        plan.before = { await self.clear(for: entry.id) }
        plan.makeRoom = { await self.makeRoom(for: entry.id) }
        plan.ended = { result in Self.note(result, entry, observers, self.journal) }
        return try await engine.load(entry.id, plan) { progress in
            observers.log(LogLine(.info, "Loading model: \(entry.id)", event: "model_loading", ["model_id": .string(entry.id)]))
            return try loader(entry, observers.progress(of: entry.id, progress))
        }
    }

    /// One model at a time: the others go first.
    private func clear(for id: String) async {
        guard configuration.exclusive else { return }
        for model in engine.models where model.id != id { _ = try? await unload(model.id, reason: .replaced) }
    }

    /// Unloads the model that was used the longest ago; false where there is none that nobody uses.
    private func makeRoom(for id: String) async -> Bool {
        guard configuration.evicts else { return false }
        while let next = engine.leastRecentlyUsed(keeping: id) {
            if await evict(next, .lru) { return true }
        }
        return false
    }

    private static func note(
        _ result: Result<LoadReport, EngineError>, _ entry: CatalogueEntry, _ observers: Observers, _ journal: LoadJournal
    ) {
        switch result {
        case .success(let report):
            let model = report.model
            observers.log(
                LogLine(
                    .info, "Model loaded: \(entry.id) (\(gibibytes(model.memoryBytes)) GB, \(tenths(model.loadSeconds))s)",
                    event: "model_loaded",
                    [
                        "model_id": .string(entry.id), "format": .string(entry.format), "duration_sec": .float(model.loadSeconds),
                        "memory_used_gb": .gibibytes(model.memoryBytes),
                    ]))
            journal.add(entry, nil, at: WallClock.seconds)
            observers.metrics.loaded(entry.id, seconds: model.loadSeconds)
            observers.events.tell(LiveEvent.loaded(model))
        case .failure(.shuttingDown): break
        case .failure(.loadCancelled):
            observers.log(
                LogLine(
                    .info, "Model not loaded: \(entry.id): it was unloaded meanwhile", event: "model_load_cancelled",
                    ["model_id": .string(entry.id)]))
            observers.events.tell(LiveEvent.unloaded(UnloadReport(id: entry.id, freedBytes: 0), reason: .manual))
        case .failure(let error):
            observers.log(
                LogLine(.error, "Model not loaded: \(entry.id): \(error)", event: "model_load_failed", ["model_id": .string(entry.id)]))
            journal.add(entry, "\(error)", at: WallClock.seconds)
            observers.metrics.loadFailed(entry.id)
            observers.incidents.add("model_load_failed", "\(error)", model: entry.id)
            observers.events.tell(LiveEvent.failed(entry.id, reason: "\(error)"))
        }
    }

    // MARK: Unloading

    /// - Parameter grace: for running answers; nil: as configured.
    @discardableResult
    func unload(_ id: String, grace: Duration? = nil, reason: EngineError.UnloadReason = .manual) async throws -> UnloadReport {
        let wasReady = engine.state(of: id) == .ready
        let report = try await engine.unload(id, grace: grace ?? configuration.unloadGrace, reason: reason)
        if wasReady { note(report, reason) }
        return report
    }

    /// Unloads what nobody has used for its time.
    func evictExpired() async {
        for id in engine.expired(after: configuration.idleTimeout) { _ = await evict(id, .idle) }
    }

    private func evict(_ id: String, _ reason: EngineError.UnloadReason) async -> Bool {
        guard let report = await engine.evict(id, reason: reason) else { return false }
        note(report, reason)
        return true
    }

    private func note(_ report: UnloadReport, _ reason: EngineError.UnloadReason) {
        observers.log(
            LogLine(
                .info, "Model unloaded, freed \(Self.gibibytes(report.freedBytes)) GB", event: "model_unloaded",
                ["model_id": .string(report.id), "memory_freed_gb": .gibibytes(report.freedBytes), "reason": .string(reason.rawValue)]))
        if reason != .manual { observers.metrics.evicted(report.id, reason: reason.rawValue) }
        observers.events.tell(LiveEvent.unloaded(report, reason: reason))
    }

    private static func gibibytes(_ bytes: Int) -> String { tenths(Double(bytes) / 1_073_741_824) }
    private static func tenths(_ number: Double) -> String { "\((number * 10).rounded() / 10)" }
}

/// Everybody who is to know what happens: the operator's log, the live events, the counters, the list of recent errors.
struct Observers: Sendable {
    let log: @Sendable (LogLine) -> Void
    let events: EventHub
    let metrics: Metrics
    let incidents: Incidents

    /// Takes a loader's progress, 0…1, and tells it once per hundredth.
    func progress(
        of id: String, _ engine: @escaping @Sendable (Double) throws(ModelError) -> Void
    ) -> @Sendable (Double) throws(ModelError) -> Void {
        events.tell(LiveEvent.loading(id, progress: 0))
        let told = Locked(0)  // whole per cent
        return { [events] (share) throws(ModelError) in
            try engine(share)
            let percent = Int((min(max(share, 0), 1) * 100).rounded(.down))
            told.withLock { told in
                guard percent > told else { return }
                told = percent
                events.tell(LiveEvent.loading(id, progress: Double(percent) / 100))
            }
        }
    }
}

/// What was tried to be loaded since the server started, and how it ended.
final class LoadJournal: Sendable {
    /// One load and its outcome.
    struct Row: Sendable {
        let time: Double  // seconds since 1970
        let model: String
        let backend: String
        let passed: Bool
        let reason: String?
    }

    static let kept = 2000
    private let state = Locked<[Row]>([])

    /// Oldest first.
    var rows: [Row] { state.withLock { $0 } }

    /// - Parameter reason: why it failed; nil where it did not.
    func add(_ entry: CatalogueEntry, _ reason: String?, at time: Double) {
        let row = Row(
            time: time, model: entry.id, backend: CatalogueEntry.backend(ofFormat: entry.format), passed: reason == nil, reason: reason)
        state.withLock { rows in
            if rows.count == Self.kept { rows.removeFirst() }
            rows.append(row)
        }
    }
}
