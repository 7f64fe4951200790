/// `GET /admin/presets/{name}`: one of them.
package struct DescribePreset: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/presets/{name}"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) throws -> Reply {
        .json(try server.preset(named: call.parameters[0]).json)
    }
}
