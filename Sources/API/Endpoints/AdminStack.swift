import Engine
import Weights

/// `GET /admin/stack`: which model the names `auto` and `default` mean now.
package struct AdminStack: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/stack"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let models = server.engine.models
        let last = JSONValue.text(models.last?.id)
        let role = JSONValue.object(["preferences": .array([]), "resolved_model": last, "loaded": .bool(!models.isEmpty)])
        return .json(
            .object([
                "roles": .object(["auto": role, "default": role]), "helper_nodes": .object([:]),
                "loaded_models": .array(models.map { .string($0.id) }), "default_model": last,
                "backends": .object([
                    "mlx-lm": .object(["available": .bool(true)]), "gguf": .object(["available": .bool(true)]),
                ]),
                "stack_presets": .object([:]),
            ]))
    }
}
