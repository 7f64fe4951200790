import Engine
import Weights

/// `GET /v1/models/{id}`: one loaded model. Ids may hold slashes, encoded or not.
package struct DescribeModel: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/v1/models/{id}"
    package static let access = Access.client
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) throws -> Reply {
        let id = call.parameters.first ?? ""
        guard let model = server.engine.models.first(where: { $0.id == id }) else { throw APIError.modelNotFound(id) }
        return .json(model.publicDescription)
    }
}
