import Weights

/// `GET /admin/quantize/{id}`: one job.
package struct DescribeQuantize: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/quantize/{id}"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let id = call.parameters.first ?? ""
        guard let job = server.quantizations.job(id) else {
            // Not a 404: clients read the member.
            return .json(.object(["error": .string("Job not found"), "job_id": .string(APIError.echo(id))]))
        }
        return .json(job.json(position: server.quantizations.position(of: id)))
    }
}
