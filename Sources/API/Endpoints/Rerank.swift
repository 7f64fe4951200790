import Weights

/// `POST /v1/rerank`: refused; no model that runs here ranks documents.
package struct Rerank: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/v1/rerank"
    package static let access = Access.client
    package init() {}

    package struct Body: EndpointBody {
        package init(_ fields: Fields) throws(APIError) {
            _ = try fields.required("model", try fields.string("model"))
            _ = try fields.required("query", try fields.string("query"))
            _ = try fields.required("documents", try fields.list("documents", upTo: RequestLimits.messages))
        }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) throws(APIError) -> Reply {
        throw APIError(503, "reranking_unavailable", type: "server_error", "no model that ranks documents is loaded (this server runs text models)")
    }
}
