import Engine
import Weights

/// Loads and unloads on behalf of clients, and tells what became of it. A load goes on when the client that asked for it
/// leaves; whoever asks for the same model meanwhile gets the same outcome.
actor LoadDesk {
    private let engine: InferenceEngine
    private let loader: ModelLoader
    private let currentConfiguration: @Sendable () -> Configuration
    private var configuration: Configuration { currentConfiguration() }
    private let observers: Observers
    private var running: [String: Task<LoadReport, any Error>] = [:]
    nonisolated let journal = LoadJournal()

    init(
        engine: InferenceEngine, loader: @escaping ModelLoader, configuration: @escaping @Sendable () -> Configuration, observers: Observers
    ) {
        self.engine = engine
        self.loader = loader
        currentConfiguration = configuration
        self.observers = observers
    }

    // MARK: Loading

    func load(_ entry: CatalogueEntry) async throws -> LoadReport {
        if let task = running[entry.id] { return try await task.value }
        let task = Task { try await perform(entry) }
        running[entry.id] = task
        defer { running[entry.id] = nil }
        return try await task.value
    }

    private func perform(_ entry: CatalogueEntry) async throws -> LoadReport {
        if configuration.exclusive {
            for model in engine.models where model.id != entry.id {
                _ = try? await unload(model.id, reason: .replaced)
            }
        }
        let (observers, loader) = (observers, loader)
        do {
            let report = try await engine.load(entry.id, expectedBytes: entry.sizeBytes) { progress in
                observers.log(LogLine(.info, "Loading model: \(entry.id)", event: "model_loading", ["model_id": .string(entry.id)]))
                return try loader(entry, observers.progress(of: entry.id, progress))
            }
            if !report.wasLoaded { note(report.model, entry) }
            return report
        } catch {
            note(error, entry)
            throw error
        }
    }

    private func note(_ model: ServedModel, _ entry: CatalogueEntry) {
        let (size, time) = (Self.gibibytes(model.memoryBytes), Self.tenths(model.loadSeconds))
        observers.log(
            LogLine(
                .info, "Model loaded: \(entry.id) (\(size) GB, \(time)s)", event: "model_loaded",
                [
                    "model_id": .string(entry.id), "format": .string(entry.format), "duration_sec": .float(model.loadSeconds),
                    "memory_used_gb": .gibibytes(model.memoryBytes),
                ]))
        journal.loaded(entry, at: WallClock.seconds)
        observers.metrics.loaded(entry.id, seconds: model.loadSeconds)
        observers.events.tell(LiveEvent.loaded(model))
    }

    private func note(_ error: any Error, _ entry: CatalogueEntry) {
        observers.log(LogLine(.error, "Model not loaded: \(entry.id): \(error)", event: "model_load_failed", ["model_id": .string(entry.id)]))
        if case .shuttingDown? = error as? EngineError { return }
        journal.failed(entry, "\(error)", at: WallClock.seconds)
        observers.metrics.loadFailed(entry.id)
        observers.incidents.add("model_load_failed", "\(error)", model: entry.id)
        observers.events.tell(LiveEvent.failed(entry.id, reason: "\(error)"))
    }

    // MARK: Unloading

    /// - Parameter grace: for running answers; nil: as configured.
    @discardableResult
    func unload(_ id: String, grace: Duration? = nil, reason: EngineError.UnloadReason = .manual) async throws -> UnloadReport {
        journal.draining(id, true)
        defer { journal.draining(id, false) }
        let report = try await engine.unload(id, grace: grace ?? configuration.unloadGrace, reason: reason)
        observers.log(
            LogLine(
                .info, "Model unloaded, freed \(Self.gibibytes(report.freedBytes)) GB", event: "model_unloaded",
                [
                    "model_id": .string(report.id), "memory_freed_gb": .gibibytes(report.freedBytes), "reason": .string(reason.rawValue),
                ]))
        if reason != .manual { observers.metrics.evicted(id, reason: reason.rawValue) }
        observers.events.tell(LiveEvent.unloaded(report, reason: reason))
        return report
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
    func progress(of id: String, _ engine: @escaping @Sendable (Double) -> Void) -> @Sendable (Double) -> Void {
        events.tell(LiveEvent.loading(id, progress: 0))
        let told = Locked(0)  // whole per cent
        return { [events] share in
            engine(share)
            let percent = Int((min(max(share, 0), 1) * 100).rounded(.down))
            told.withLock { told in
                guard percent > told else { return }
                told = percent
                events.tell(LiveEvent.loading(id, progress: Double(percent) / 100))
            }
        }
    }
}

/// How loads went: what failed last and why, and what was tried since the server started.
final class LoadJournal: Sendable {
    /// One load and its outcome.
    struct Row: Sendable {
        let time: Double  // seconds since 1970
        let model: String
        let backend: String
        let passed: Bool
        let reason: String?
    }

    private struct State {
        var failures: [String: String] = [:]
        var draining: Set<String> = []
        var rows: [Row] = []
    }

    static let kept = 2000
    private let state = Locked(State())

    /// Models whose last load failed, with the reason.
    var failures: [String: String] { state.withLock(\.failures) }
    /// Models that are being unloaded.
    var draining: Set<String> { state.withLock(\.draining) }
    /// Oldest first.
    var rows: [Row] { state.withLock(\.rows) }

    func draining(_ id: String, _ isDraining: Bool) {
        state.withLock { state in
            if isDraining { state.draining.insert(id) } else { state.draining.remove(id) }
        }
    }

    func loaded(_ entry: CatalogueEntry, at time: Double) { add(entry, nil, time) }
    func failed(_ entry: CatalogueEntry, _ reason: String, at time: Double) { add(entry, reason, time) }
    func forget(_ id: String) { state.withLock { _ = $0.failures.removeValue(forKey: id) } }

    private func add(_ entry: CatalogueEntry, _ reason: String?, _ time: Double) {
        let row = Row(
            time: time, model: entry.id, backend: CatalogueEntry.backend(ofFormat: entry.format), passed: reason == nil, reason: reason)
        state.withLock { state in
            state.failures[entry.id] = reason
            if state.rows.count == Self.kept { state.rows.removeFirst() }
            state.rows.append(row)
        }
    }
}
