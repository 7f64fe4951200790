/// `GET /admin/events`: what goes on, as it happens, as server-sent events.
package struct AdminEvents: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/events"
    package static let access = Access.admin
    /// A browser's EventSource cannot send header fields.
    package static let keyParameters = ["admin_key", "x_admin_key"]
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) throws(APIError) -> Reply {
        if call.head.method == "HEAD" { return .text("", type: "text/event-stream; charset=utf-8") }
        return .events(
            try server.events.listen(
                after: call.head.fields["last-event-id"], keepAlive: server.configuration.heartbeat + .seconds(5),
                greeting: { Monitor.greeting(server) }))
    }
}
