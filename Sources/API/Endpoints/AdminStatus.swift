import Engine
import Weights

/// `GET /admin/status`: version, time running, models, memory, load.
package struct AdminStatus: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/status"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let status = server.engine.status()
        return .json(
            .object([
                "version": .string(server.version), "uptime_seconds": .float(server.lifecycle.uptime),
                "loaded_models": .int(status.models.count), "models_loaded": .int(status.models.count),
                "models": .array(status.models.map { .string($0.model.id) }),
                "loading": .array(status.loading.map { .object(["id": .string($0.id), "progress": .float($0.progress)]) }),
                "memory": server.memory().json(threshold: server.configuration.memoryLimitPercent),
                "in_flight_requests": .int(status.inFlight), "active_requests": .int(status.active),
                "queued_requests": .int(status.queued),
                "max_concurrent_requests": .int(status.models.map(\.maximumActive).max() ?? 0),
                "tokens_per_second": .float(status.throughput),
            ]))
    }
}
