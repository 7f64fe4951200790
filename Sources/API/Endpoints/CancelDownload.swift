import Weights

/// `POST /admin/models/download/{id}/cancel`: ends a download and gives back what it wrote.
package struct CancelDownload: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/models/download/{id}/cancel"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) async throws -> Reply {
        let id = call.parameters.first ?? ""
        guard let job = await server.downloads.cancel(id) else { throw DownloadProgress.unknown(id) }
        return .json(job.json)
    }
}
