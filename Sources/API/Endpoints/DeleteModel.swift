import Engine
import Weights

/// `DELETE /admin/models/{id}`: takes a model that is not in use from the model folders.
package struct DeleteModel: Endpoint {
    package static let method = Method.delete
    package static let path: RoutePattern = "/admin/models/{id}"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) async throws -> Reply {
        let id = call.parameters.first ?? ""
        if id.hasPrefix("/") || id.split(separator: "/").contains("..") {
            throw APIError.refused("model_id", "is the id of a model, not a path")
        }
        // Only what the model folders list is ever deleted, never a path as given.
        guard let entry = try await server.listedModels().first(where: { $0.id == id }) else {
            throw APIError.modelNotFound(id, parameter: "model_id")
        }
        guard let remove = server.closures.remove else {
            throw APIError(
                403, "delete_disabled", type: "permission_error", parameter: "model_id", "this server does not delete models")
        }
        if server.engine.state(of: id).isInUse || server.downloads.isFetching(id) {
            throw APIError(
                409, "model_in_use", type: "conflict", parameter: "model_id",
                "The model '\(APIError.echo(id))' is in use (unload it first)")
        }
        let freed: Int
        do {
            freed = try await Worker.run { try remove(entry) }
        } catch {
            server.log(LogLine(.error, "Model not deleted: \(id): \(error)", event: "model_delete_failed", ["model_id": .string(id)]))
            throw APIError(409, "model_not_deleted", type: "conflict", parameter: "model_id", "\(error)")
        }
        server.engine.forget(id)
        server.log(LogLine(.info, "Model deleted: \(id)", event: "model_deleted", ["model_id": .string(id)]))
        return .json(
            .object([
                "success": .bool(true), "model_id": .string(id), "freed_bytes": .int(freed), "freed_gb": .gibibytes(freed),
            ]))
    }
}
