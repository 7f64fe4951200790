import Engine
import Weights

/// Whether memory runs short. Fed with the share in use; a threshold is told once, and again only after memory was well
/// below it, so that a figure that trembles around it is one alarm.
package struct MemoryWatch: Sendable {
    package enum Alarm: Sendable, Equatable { case warning, critical }

    /// So much below a threshold, in per cent of all memory, it is armed again.
    package static let slack = 2.0

    package var warning: Double
    package var limit: Double
    private var isWarned = false

    /// - Parameters: thresholds in per cent of all memory.
    package init(warning: Double, limit: Double) {
        self.warning = warning
        self.limit = limit
    }

    /// `critical` as long as memory is above the limit, for as long something is to be done about it.
    package mutating func observe(_ percent: Double) -> Alarm? {
        if percent < warning - Self.slack { isWarned = false }
        if percent >= limit {
            isWarned = true
            return .critical
        }
        guard percent >= warning, !isWarned else { return nil }
        isWarned = true
        return .warning
    }
}

/// What is done when memory runs short: a warning first, then a model is given up rather than the process.
struct MemoryRelief: Sendable {
    let server: ServerContext
    private var watch: MemoryWatch
    private var isHelpless = false  // above the limit with nothing left to give up, and that was said

    init(_ server: ServerContext) {
        self.server = server
        watch = MemoryWatch(warning: server.configuration.memoryWarningPercent, limit: server.configuration.memoryLimitPercent)
    }

    /// Returns when what had to be given up is free.
    mutating func look(at memory: Memory) async {
        (watch.warning, watch.limit) = (server.configuration.memoryWarningPercent, server.configuration.memoryLimitPercent)
        switch watch.observe(memory.usedPercent) {
        case nil: isHelpless = false
        case .warning: warn(memory)
        case .critical:
            guard let model = Self.leastMissed(server.engine.status().models) else {
                if !isHelpless { warn(memory) }
                isHelpless = true
                return
            }
            await giveUp(model, memory)
        }
    }

    private func warn(_ memory: Memory) {
        server.log(LogLine(.warning, "Memory usage at \(Self.figures(memory))", event: "memory_warning", ["usage_percent": .float(memory.usedPercent)]))
        server.incidents.add("memory_warning", "memory usage at \(Self.figures(memory))", severity: "warning")
        server.events.tell(LiveEvent.memoryWarning(memory, threshold: server.configuration.memoryWarningPercent))
    }

    private func giveUp(_ model: String, _ memory: Memory) async {
        let percent = Self.tenths(memory.usedPercent)
        server.log(
            LogLine(
                .error, "Memory critical at \(percent)% — unloading model", event: "memory_critical",
                ["usage_percent": .float(memory.usedPercent), "model_id": .string(model)]))
        server.incidents.add("memory_critical", "memory critical at \(percent)%, model unloaded", model: model)
        server.events.tell(LiveEvent.memoryCritical(memory, unloading: model))
        _ = try? await server.loads.unload(model, grace: .zero, reason: .memory)
    }

    /// The model that was used the longest ago: an idle one where there is one.
    private static func leastMissed(_ models: [ModelStatus]) -> String? {
        let idle = models.filter { $0.inFlight == 0 }
        return (idle.isEmpty ? models : idle).min { ($0.lastUsedAt ?? $0.model.loadedAt) < ($1.lastUsedAt ?? $1.model.loadedAt) }?.model.id
    }

    /// `85.0% (163.2/192.0 GB)`
    private static func figures(_ memory: Memory) -> String {
        let (used, total) = (Double(memory.usedBytes) / 1_073_741_824, Double(memory.totalBytes) / 1_073_741_824)
        return "\(tenths(memory.usedPercent))% (\(tenths(used))/\(tenths(total)) GB)"
    }

    private static func tenths(_ number: Double) -> String { "\((number * 10).rounded() / 10)" }
}
