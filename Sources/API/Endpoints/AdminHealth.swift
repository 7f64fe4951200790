import Engine
import Weights

/// `GET /admin/health`: whether the machine has room to breathe.
package struct AdminHealth: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/health"
    package static let access = Access.admin
    package init() {}

    /// Above this share of memory in use the server calls itself degraded, in per cent.
    static let degradedPercent = 95.0

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let status = server.engine.status()
        let memory = server.memory()
        let isDegraded = memory.usedPercent > Self.degradedPercent
        return .json(
            .object([
                "status": .string(isDegraded ? "degraded" : "ok"), "version": .string(server.version),
                "reason": isDegraded ? .string("memory usage above \(Int(Self.degradedPercent))%") : .null,
                "memory_usage_percent": .float(memory.usedPercent), "metal": .null, "helpers": .object([:]),
                "models_loaded": .int(status.models.count), "in_flight_requests": .int(status.inFlight),
            ]))
    }
}
