import Weights

/// `POST /admin/models/download`: fetches a model from the hub into the model folder, in the background. Off unless configured.
package struct DownloadModel: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/models/download"
    package static let access = Access.admin
    package init() {}

    package struct Body: EndpointBody {
        let request: DownloadRequest

        package init(_ fields: Fields) throws(APIError) {
            var request = DownloadRequest(id: try fields.required("repo_id", try fields.string("repo_id")))
            request.revision = try fields.string("revision") ?? "main"
            request.allow = try fields.strings("allow_patterns") ?? []
            request.ignore = try fields.strings("ignore_patterns") ?? []
            self.request = request
        }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) async throws -> Reply {
        let job = try server.downloads.start(try await server.downloads.plan(body.request))
        return .json(
            .object([
                "download_id": .string(job.id), "repo_id": .string(job.download.repository.id), "model_id": .string(job.download.modelID),
                "estimated_size_bytes": .int(job.download.totalBytes), "status": .string("downloading"),
                "progress_url": .string("/admin/models/download/\(job.id)/progress"),
            ]))
    }
}
