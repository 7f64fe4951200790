import Weights

/// `POST /admin/models/load/confirm`: agrees to the download that a load of an absent model was told of; it is loaded then.
package struct ConfirmDownload: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/models/load/confirm"
    package static let access = Access.admin
    package init() {}

    package struct Body: EndpointBody {
        let word: String
        package init(_ fields: Fields) throws(APIError) {
            word = try fields.required("confirmation_token", try fields.string("confirmation_token"))
        }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) async throws -> Reply {
        let request = try server.downloads.take(offer: body.word)
        return .json(try await server.fetchAndLoad(try await server.downloads.plan(request)).loading, status: 202)
    }
}

extension ServerContext {
    /// Fetches a model and loads it when it is in place, whoever waits for that.
    func fetchAndLoad(_ download: Download) async throws -> DownloadJob {
        try downloads.start(download) { [self] id in
            guard let entry = try? await knownModels().first(where: { $0.id == id }) else { return }
            _ = try? await loads.load(entry)
        }
    }
}
