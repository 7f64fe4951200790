import Weights

/// `GET /admin/models/downloads`: those in work, newest first; with `include_inactive` also those of this run that have ended.
package struct ListDownloads: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/models/downloads"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let wantsAll = ["1", "true"].contains(call.head.query("include_inactive")?.lowercased())
        let jobs = server.downloads.jobs.reversed().filter { wantsAll || $0.state == .downloading }
        return .json(.object(["downloads": .array(jobs.map(\.json))]))
    }
}
