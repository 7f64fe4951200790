import Weights

/// `POST /admin/config/reload`: reads the configuration again, as far as it can change while the server runs.
package struct ReloadConfiguration: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/config/reload"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) async throws -> Reply {
        let updated = try await Worker.run { try server.closures.reload?() ?? [] }
        server.events.tell(
            LiveEvent(
                named: "config_reloaded",
                [
                    "routing_aliases": .array([]), "memory_threshold": .float(server.configuration.memoryLimitPercent),
                    "log_level": .string("INFO"), "updated": .array(updated.map { .string($0) }),
                ]))
        return .json(.object(["success": .bool(true), "updated": .array(updated.map { .string($0) })]))
    }
}
