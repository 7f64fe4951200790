import Engine
import Weights

/// Loads on behalf of clients. A load goes on when the client that asked for it leaves; whoever asks for the same model
/// meanwhile gets the same outcome.
actor LoadDesk {
    private let engine: InferenceEngine
    private let loader: ModelLoader
    private let configuration: Configuration
    private let log: @Sendable (LogLine) -> Void
    private var running: [String: Task<LoadReport, any Error>] = [:]

    init(
        engine: InferenceEngine, loader: @escaping ModelLoader, configuration: Configuration,
        log: @escaping @Sendable (LogLine) -> Void
    ) {
        self.engine = engine
        self.loader = loader
        self.configuration = configuration
        self.log = log
    }

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
        let (log, loader) = (log, loader)
        do {
            let report = try await engine.load(entry.id, expectedBytes: entry.sizeBytes) { progress in
                log(LogLine(.info, "Loading model: \(entry.id)"))
                return try loader(entry, progress)
            }
            if !report.wasLoaded {
                let (size, time) = (Self.gibibytes(report.model.memoryBytes), Self.tenths(report.model.loadSeconds))
                log(LogLine(.info, "Model loaded: \(entry.id) (\(size) GB, \(time)s)"))
            }
            return report
        } catch {
            log(LogLine(.error, "Model not loaded: \(entry.id): \(error)"))
            throw error
        }
    }

    @discardableResult
    func unload(_ id: String, reason: EngineError.UnloadReason = .manual) async throws -> UnloadReport {
        let report = try await engine.unload(id, grace: configuration.unloadGrace, reason: reason)
        log(LogLine(.info, "Model unloaded, freed \(Self.gibibytes(report.freedBytes)) GB"))
        return report
    }

    private static func gibibytes(_ bytes: Int) -> String { tenths(Double(bytes) / 1_073_741_824) }
    private static func tenths(_ number: Double) -> String { "\((number * 10).rounded() / 10)" }
}
