import Weights

/// `POST /admin/quantize`: begins to round a model of the folders to fewer bits, in the background.
package struct StartQuantize: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/quantize"
    package static let access = Access.admin
    package init() {}

    package struct Body: EndpointBody {
        let source: String
        let output: String?
        let bits: Int
        let group: Int

        package init(_ fields: Fields) throws(APIError) {
            source = try fields.required("source_model", try fields.string("source_model"))
            output = try fields.string("output_path")
            bits = try fields.integer("bits", in: 1...16) ?? 4
            group = try fields.integer("group_size", in: 1...1024) ?? 64
            let mode = try fields.string("mode") ?? "affine"
            guard mode == "affine" else { throw .unsupported("mode", "'\(APIError.echo(mode))' is not written (affine is)") }
            guard [2, 3, 4, 5, 6, 8].contains(bits) else { throw .refused("bits", "\(bits) is none of 2, 3, 4, 5, 6, 8") }
            guard [32, 64, 128].contains(group) else { throw .refused("group_size", "\(group) is none of 32, 64, 128") }
        }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) async throws -> Reply {
        guard let entry = try await server.knownModels().first(where: { $0.id == body.source || $0.path == body.source }) else {
            throw APIError.modelNotFound(body.source, parameter: "source_model")
        }
        let request = QuantizeRequest(source: entry, output: body.output, bits: body.bits, groupSize: body.group)
        let job = try server.quantizations.add(request)
        return .json(job.json(position: server.quantizations.position(of: job.id)))
    }
}
