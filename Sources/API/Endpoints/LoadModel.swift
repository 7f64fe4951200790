import Engine
import Weights

/// `POST /admin/models/load`: makes a model of the model folders answer. Goes on when the client leaves.
package struct LoadModel: Endpoint {
    package static let method = Method.post
    package static let path: RoutePattern = "/admin/models/load"
    package static let access = Access.admin
    package init() {}

    package struct Body: EndpointBody {
        let id: String
        let wantsDownload: Bool
        let backend: String?
        /// How long the model stays when nobody uses it; zero: for ever.
        let keepAlive: Duration?

        package init(_ fields: Fields) throws(APIError) {
            id = try fields.required("model_id", try fields.first(of: ["model_id", "model", "model_path"]))
            wantsDownload = try fields.flag("auto_download") ?? false
            backend = try fields.string("backend")
            if let backend, !["vllm-mlx", "mlx-lm", "mlx", "gguf"].contains(backend) {
                throw .refused("backend", "'\(APIError.echo(backend))' is none of vllm-mlx, mlx-lm, mlx, gguf")
            }
            if fields["max_context_length"] != nil {
                throw .unsupported("max_context_length", "the context length is set when the server starts (--context)")
            }
            if let overrides = try fields.fields("performance_overrides"), overrides.object.contains(where: { $0.value != .null }) {
                throw .unsupported("performance_overrides", "is not supported")
            }
            keepAlive = try fields.number("keep_alive_sec", in: 0...Double(Int32.max)).map { .seconds($0) }
            _ = try fields.flag("allow_unsupported_runtime")
        }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) async throws -> Reply {
        // Ids and paths are looked up in the list of what is in the model folders, never opened as given.
        let known = try await server.knownModels()
        guard let entry = Self.entry(body.id, known) else { return try await absent(body, server) }
        if let backend = body.backend, (backend == "gguf") != (entry.format == "gguf") {
            throw APIError.refused("backend", "'\(backend)' does not load a \(entry.format) model")
        }
        return .json(Self.json(try await server.loads.load(entry, keepAlive: body.keepAlive), memory: server.memory().usedBytes))
    }

    /// By id, by path, or a hub's `org/name` by its second part, which is what its download is called.
    private static func entry(_ id: String, _ known: [CatalogueEntry]) -> CatalogueEntry? {
        if let entry = known.first(where: { $0.id == id }) ?? known.first(where: { $0.path == id }) { return entry }
        guard HubRepository.isID(id) else { return nil }
        let name = id.drop { $0 != "/" }.dropFirst()
        return known.first { $0.id == name }
    }

    /// Fetches the model where this is allowed and wanted, or offers to.
    private func absent(_ body: Body, _ server: ServerContext) async throws -> Reply {
        guard server.downloads.isEnabled, HubRepository.isID(body.id) else {
            guard body.wantsDownload else { throw APIError.modelNotFound(body.id, parameter: "model_id") }
            throw APIError(
                403, "downloads_disabled", type: "invalid_request_error", parameter: "auto_download",
                "The model '\(APIError.echo(body.id))' is not in the model folders, and downloading is off")
        }
        let request = DownloadRequest(id: body.id)
        let download = try await server.downloads.plan(request)
        if body.wantsDownload { return .json(try await server.fetchAndLoad(download).loading, status: 202) }
        return .json(
            .object([
                "status": .string("download_required"), "model_id": .string(body.id), "estimated_size_bytes": .int(download.totalBytes),
                "estimated_size_human": .string(DownloadJob.human(download.totalBytes)),
                "confirmation_token": .string(server.downloads.offer(request)), "download_id": .null,
                "message": .string("The model is not in the model folders; confirm to download it"),
                "confirm_url": .string("/admin/models/load/confirm"), "progress_url": .null,
            ]), status: 202)
    }

    /// `memory_after_load_gb` is the memory in use on the whole machine, `vram_gb` what the model takes of it.
    private static func json(_ report: LoadReport, memory: Int) -> JSONValue {
        let model = report.model
        let milliseconds = JSONValue.decimal(report.wasLoaded ? nil : (model.loadSeconds * 1000).rounded())
        return .object([
            "success": .bool(true), "status": .string("loaded"), "model_id": .string(model.id), "model": .string(model.id),
            "memory_after_load_gb": .gibibytes(memory), "memory_after_load_bytes": .int(memory),
            "time_to_load_ms": milliseconds, "load_time_ms": milliseconds,
            "vram_gb": .gibibytes(model.memoryBytes), "vram_bytes": .int(model.memoryBytes),
            "format": .string(model.info.format), "backend": .string(model.info.backend),
        ])
    }
}
