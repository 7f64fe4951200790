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
            // Models stay until they are unloaded, which is what 0 asks for.
            if let seconds = try fields.number("keep_alive_sec", in: 0...Double(Int32.max)), seconds > 0 {
                throw .unsupported("keep_alive_sec", "models are not unloaded by time (only 0 is supported)")
            }
            _ = try fields.flag("allow_unsupported_runtime")
        }
    }

    package func answer(_ call: Call, _ body: Body, _ server: ServerContext) async throws -> Reply {
        // Ids and paths are looked up in the list of what is in the model folders, never opened as given.
        let known = try await server.knownModels()
        guard let entry = known.first(where: { $0.id == body.id }) ?? known.first(where: { $0.path == body.id }) else {
            if body.wantsDownload {
                throw APIError(
                    403, "downloads_disabled", type: "invalid_request_error", parameter: "auto_download",
                    "The model '\(APIError.echo(body.id))' is not in the model folders, and downloading is off")
            }
            throw APIError.modelNotFound(body.id, parameter: "model_id")
        }
        if let backend = body.backend, (backend == "gguf") != (entry.format == "gguf") {
            throw APIError.refused("backend", "'\(backend)' does not load a \(entry.format) model")
        }
        return .json(Self.json(try await server.loads.load(entry), memory: server.memory().usedBytes))
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
