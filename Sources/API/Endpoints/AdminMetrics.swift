/// `GET /metrics` and `GET /admin/metrics`: every counter, as Prometheus reads it.
package struct AdminMetrics: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/metrics"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        .text(ServerMetrics.text(server), type: Exposition.type)
    }
}
