import Weights

/// `POST /admin/quantize/{id}/cancel`: ends a job, between two pieces of its work.
package struct CancelQuantize: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/quantize/{id}/cancel"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) throws(APIError) -> Reply {
        let id = call.parameters.first ?? ""
        guard let (job, outcome) = server.quantizations.cancel(id) else {
            throw APIError(404, "job_not_found", type: "invalid_request_error", parameter: "job_id", "there is no job '\(APIError.echo(id))'")
        }
        return .json(
            .object([
                "job_id": .string(id), "status": .string(job.state.rawValue), "reason": .string(outcome.rawValue),
                "cancelled": .bool(outcome == .cancelled),
            ]), status: outcome == .cancelling ? 202 : 200)
    }
}
