import Weights

/// `GET /admin/models/download/{id}/progress`: how far a download is.
package struct DownloadProgress: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/models/download/{id}/progress"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) throws(APIError) -> Reply {
        let id = call.parameters.first ?? ""
        guard let job = server.downloads.job(id) else { throw Self.unknown(id) }
        return .json(job.json)
    }

    static func unknown(_ id: String) -> APIError {
        APIError(
            404, "download_not_found", type: "invalid_request_error", parameter: "download_id", "there is no download '\(APIError.echo(id))'")
    }
}
