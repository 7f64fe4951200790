import Weights

/// `POST /v1/embeddings`: refused; no model that runs here makes embeddings.
package struct Embeddings: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/v1/embeddings"
    package static let access = Access.client
    package init() {}

    package struct Body: EndpointBody {
        package init(_ fields: Fields) throws(APIError) {
            _ = try fields.required("model", try fields.string("model"))
            guard fields["input"] != nil else { throw .refused("input", "is missing") }
        }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) throws(APIError) -> Reply {
        throw APIError(503, "embedding_unavailable", type: "server_error", "no model that makes embeddings is loaded (this server runs text models)")
    }
}
