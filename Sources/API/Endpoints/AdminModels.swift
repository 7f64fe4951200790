import Engine
import Weights

/// `GET /admin/models`: every model on disk, and the loaded ones with what they are doing.
package struct AdminModels: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/models"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) async throws -> Reply {
        let known = try await server.knownModels()
        let status = server.engine.status()
        let loaded = status.models
        let others = loaded.map(\.model.info).filter { info in !known.contains { $0.id == info.id } }.map(CatalogueEntry.init)
        let all = (known + others).map { entry in
            entry.json(
                loaded: loaded.first { $0.model.id == entry.id }?.model,
                status.states[entry.id] ?? .absent)
        }
        return .json(
            .object([
                "models": .array(all), "loaded": .array(loaded.map(\.json)), "count": .int(loaded.count),
            ]))
    }
}
