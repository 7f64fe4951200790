import Weights

/// `GET /admin/presets`: the sets of parameters that the configuration names.
package struct AdminPresets: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/presets"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let presets = server.configuration.presets
        return .json(
            .object(["presets": .array(presets.map(\.json)), "count": .int(presets.count), "total": .int(presets.count)]))
    }
}
