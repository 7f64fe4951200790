import Engine
import Weights

/// `POST /admin/models/unload`: frees a model's memory, or ends its load; without a body that of the model loaded last.
package struct UnloadModel: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/models/unload"
    package static let access = Access.admin
    package init() {}

    package struct Body: EndpointBody {
        package static let isOptional = true
        let id: String?

        package init(_ fields: Fields) throws(APIError) {
            id = try fields.first(of: ["model_id", "model", "model_path"])
        }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) async throws -> Reply {
        let report: UnloadReport
        do {
            let last = server.engine.models.last?.id ?? server.engine.status().loading.first?.id
            report = try await server.loads.unload(body.id.map { server.id(named: $0) } ?? last ?? "auto")
        } catch let error as EngineError {
            guard let id = body.id else { throw error }
            throw APIError.modelNotFound(id, parameter: "model_id")
        }
        return .json(
            .object([
                "success": .bool(true), "model_id": .string(report.id), "model": .string(report.id),
                "memory_freed_gb": .gibibytes(report.freedBytes), "freed_vram_gb": .gibibytes(report.freedBytes),
                "memory_freed_bytes": .int(report.freedBytes),
            ]))
    }
}
