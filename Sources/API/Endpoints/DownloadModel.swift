import Weights

/// `POST /admin/models/download`: refused; this server fetches nothing by itself.
package struct DownloadModel: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/models/download"
    package static let access = Access.admin
    package init() {}

    package struct Body: EndpointBody {
        package init(_ fields: Fields) throws(APIError) { _ = try fields.required("repo_id", try fields.string("repo_id")) }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) throws(APIError) -> Reply {
        throw APIError(
            403, "downloads_disabled", type: "invalid_request_error", parameter: "repo_id",
            "downloading is off (put the model into a model folder)")
    }
}
