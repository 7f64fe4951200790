import Engine
import Weights

/// `GET /admin/stack`: which models `auto`, `default` and the aliases mean now.
package struct AdminStack: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/stack"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let models = server.engine.models
        var roles = JSONObject()
        for name in ["auto", "default"] + server.configuration.aliases.keys.sorted() {
            let id = server.id(named: name)
            let isLoaded = models.contains { $0.id == id }
            roles[name] = .object([
                "preferences": .array((server.configuration.aliases[name] ?? []).map { .string($0) }),
                "resolved_model": isLoaded ? .string(id) : .null, "loaded": .bool(isLoaded),
            ])
        }
        let standard = server.id(named: "auto")
        return .json(
            .object([
                "roles": .object(roles), "helper_nodes": .object([:]),
                "loaded_models": .array(models.map { .string($0.id) }), "default_model": models.contains { $0.id == standard } ? .string(standard) : .null,
                "backends": .object([
                    "mlx-lm": .object(["available": .bool(true)]), "gguf": .object(["available": .bool(true)]),
                ]),
                "stack_presets": .object([:]),
            ]))
    }
}
