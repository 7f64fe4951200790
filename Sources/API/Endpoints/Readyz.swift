import Engine
import Weights

/// `GET /readyz`: whether a request would be answered by a model.
package struct Readyz: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/readyz"
    package static let access = Access.open
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let models = server.engine.models
        if server.lifecycle.isDraining { return unready("shutting down", error: "shutting-down", models.count, server) }
        guard let model = models.last else { return unready("no models loaded", error: "no-model-loaded", 0, server) }
        return .json(
            .object([
                "status": .string("ready"), "ready": .bool(true), "version": .string(server.version),
                "models_loaded": .int(models.count), "model": .string(model.id),
                "vram_gb": .gibibytes(model.memoryBytes), "vram_bytes": .int(model.memoryBytes),
            ]))
    }

    private func unready(_ reason: String, error: String, _ models: Int, _ server: ServerContext) -> Reply {
        .json(
            .object([
                "status": .string("unavailable"), "ready": .bool(false), "reason": .string(reason), "error": .string(error),
                "models_loaded": .int(models), "version": .string(server.version),
            ]), status: 503)
    }
}
