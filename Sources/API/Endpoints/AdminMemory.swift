import Engine
import Weights

/// `GET /admin/memory`: the machine's memory, and what each loaded model takes of it.
package struct AdminMemory: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/memory"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let memory = server.memory()
        var answer = memory.members(threshold: server.configuration.memoryLimitPercent)
        answer["total_unified_memory_gb"] = .gibibytes(memory.totalBytes)
        answer["memory_percent"] = .float(memory.usedPercent)
        answer["warning_percent"] = .float(server.configuration.memoryWarningPercent)
        let loaded = server.engine.status().models
        var models = JSONObject()
        for status in loaded { models[status.model.id] = .object(Self.figures(status)) }
        answer["models"] = .object(models)
        answer["per_model"] = .array(
            loaded.map { status in
                var figures = Self.figures(status)
                figures["model_id"] = .string(status.model.id)
                figures["backend"] = .string(status.model.info.backend)
                return .object(figures)
            })
        if let process = ProcessFigures.now {
            answer["process_gb"] = .gibibytes(process.residentBytes)
            answer["process_bytes"] = .int(process.residentBytes)
            answer["process_anonymous_bytes"] = .int(process.anonymousBytes)
        }
        return .json(.object(answer))
    }

    /// `memory_gb` is what the model may come to take, `resident_gb` what it takes now: pages of the cache cost memory
    /// when they are first written.
    private static func figures(_ status: ModelStatus) -> JSONObject {
        let resident = status.memory.residentBytes
        return [
            "memory_gb": .gibibytes(status.model.memoryBytes), "memory_bytes": .int(status.model.memoryBytes),
            "resident_gb": .gibibytes(resident), "resident_bytes": .int(resident),
            "weights_bytes": .int(status.memory.weightBytes), "workspace_bytes": .int(status.memory.workspaceBytes),
            "cache_bytes": .int(status.cache.totalBytes), "cache_reserved_bytes": .int(status.cache.reservedBytes),
            "cache_touched_bytes": .int(status.cache.touchedBytes), "loaded": .bool(true),
        ]
    }
}
