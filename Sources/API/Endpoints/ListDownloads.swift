import Weights

/// `GET /admin/models/downloads`: none; this server fetches nothing by itself.
package struct ListDownloads: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/models/downloads"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        .json(.object(["downloads": .array([])]))
    }
}
