import Weights

/// `GET /healthz`: the process lives and answers. Looks at nothing else.
package struct Healthz: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/healthz"
    package static let access = Access.open
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        .json(.object(["status": .string("ok"), "version": .string(server.version)]))
    }
}
