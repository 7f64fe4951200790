import Weights

/// `POST /admin/presets/reload`: reads the configuration again, presets and all.
package struct ReloadPresets: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/presets/reload"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) async throws -> Reply {
        _ = try await server.reloadConfiguration()
        return .json(.object(["success": .bool(true), "presets_loaded": .int(server.configuration.presets.count)]))
    }
}
