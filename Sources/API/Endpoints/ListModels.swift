import Engine
import Weights

/// `GET /v1/models`: the models that answer now.
package struct ListModels: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/v1/models"
    package static let access = Access.client
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let models = server.engine.models.map(\.publicDescription)
        return .json(.object(["object": .string("list"), "data": .array(models)]))
    }
}
