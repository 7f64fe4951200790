import Weights

/// `GET /admin/quantize`: the jobs of this run of the server.
package struct ListQuantize: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/quantize"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let jobs = server.quantizations.jobs.map { $0.json(position: server.quantizations.position(of: $0.id)) }
        return .json(.object(["jobs": .array(jobs), "count": .int(jobs.count)]))
    }
}
