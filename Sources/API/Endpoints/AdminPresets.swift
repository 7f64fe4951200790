import Weights

/// `GET /admin/presets`: none; requests say themselves what they want.
package struct AdminPresets: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/presets"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        .json(.object(["presets": .array([]), "count": .int(0), "total": .int(0)]))
    }
}
