import Engine
import Weights

/// `POST /admin/models/probe`: whether a model could be loaded, seen without loading it.
package struct ProbeModel: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/models/probe"
    package static let access = Access.admin
    package init() {}

    package struct Body: EndpointBody {
        let id: String

        package init(_ fields: Fields) throws(APIError) {
            id = try fields.required("model_id", try fields.first(of: ["model_id", "model"]))
            _ = try fields.number("timeout_sec", in: 1...900)
            _ = try fields.flag("allow_unsupported_runtime")
        }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) async throws -> Reply {
        guard let entry = try await server.knownModels().first(where: { $0.id == body.id || $0.path == body.id }) else {
            throw APIError.modelNotFound(body.id, parameter: "model_id")
        }
        let backend = CatalogueEntry.backend(ofFormat: entry.format)
        let (outcome, reason) = try await Self.outcome(entry, server)
        return .json(
            .object([
                "model_id": .string(entry.id), "recommended_backend": outcome == "fail" ? .null : .string(backend),
                "candidates": .array([
                    .object(["backend": .string(backend), "outcome": .string(outcome), "reason": .text(reason)])
                ]),
            ]))
    }

    private static func outcome(_ entry: CatalogueEntry, _ server: ServerContext) async throws -> (String, String?) {
        if server.engine.models.contains(where: { $0.id == entry.id }) { return ("pass", "it is loaded") }
        guard let probe = server.closures.probe else { return ("unknown", "this server does not look into files") }
        let problem = try await Worker.run { () -> String? in
            do {
                try probe(entry)
                return nil
            } catch {
                return "\(error)"
            }
        }
        return problem.map { ("fail", $0) } ?? ("pass", nil)
    }
}
