import Engine
import Weights

extension ServedModel {
    /// The model as `/v1/models` shows it.
    var publicDescription: JSONValue {
        .object([
            "id": .string(id), "object": .string("model"), "created": .int(Int(loadedAt)), "owned_by": .string("local"),
            "context_length": .int(contextLength),
        ])
    }
}

extension ModelInfo {
    /// The name that clients know the engine for this format by.
    var backend: String { CatalogueEntry.backend(ofFormat: format) }
}

extension CatalogueEntry {
    static func backend(ofFormat format: String) -> String { format == "gguf" ? "gguf" : "mlx-lm" }

    /// The model as the list of all models on disk shows it.
    func json(loaded: ServedModel?, _ state: ModelState) -> JSONValue {
        .object([
            "id": .string(id), "path": .string(path), "loaded": .bool(loaded != nil),
            "vram_gb": .gibibytes(loaded?.memoryBytes), "vram_bytes": .count(loaded?.memoryBytes), "format": .string(format),
            "quantization": .text(quantization), "size_bytes": .int(sizeBytes), "state": .string(state.word),
            "progress": .decimal(state.progress), "reason": .text(state.reason),
        ])
    }

    init(_ info: ModelInfo) {
        self.init(id: info.id, path: info.path, format: info.format, quantization: info.quantization, sizeBytes: info.sizeBytes)
    }
}

extension ModelState {
    /// Ready, or about to be.
    var isUsable: Bool {
        switch self {
        case .ready, .loading: true
        case .absent, .draining, .failed: false
        }
    }

    /// Something of it is in memory.
    var isInUse: Bool { isUsable || self == .draining }

    var word: String {
        switch self {
        case .absent: "absent"
        case .loading: "loading"
        case .ready: "ready"
        case .draining: "draining"
        case .failed: "failed"
        }
    }

    var progress: Double? { if case .loading(let share) = self { share } else { nil } }
    var reason: String? { if case .failed(let reason) = self { reason } else { nil } }
}

extension ModelStatus {
    /// The model as the list of loaded models shows it, under the names of every dialect of clients.
    var json: JSONValue {
        let info = model.info
        let memory = JSONValue.gibibytes(model.memoryBytes)
        return .object([
            "id": .string(model.id), "model_id": .string(model.id), "name": .string(model.id), "loaded": .bool(true),
            "backend": .string(info.backend), "backend_type": .string(info.backend), "format": .string(info.format),
            "architecture": .string(info.architecture), "quantization": .text(info.quantization), "path": .string(info.path),
            "size_bytes": .int(info.sizeBytes),
            "memory_gb": memory, "memory_used_gb": memory, "vram_gb": memory, "memory_bytes": .int(model.memoryBytes),
            "loaded_at": .float(model.loadedAt), "last_used_at": .decimal(lastUsedAt), "keep_alive_sec": .decimal(keepAlive),
            "context_length": .int(model.contextLength), "use_batching": .bool(true),
            "request_count": .int(statistics.requests), "in_flight_requests": .int(inFlight),
            "performance": .object([:]), "performance_overrides": .object([:]),
            "speculative": .object([
                "requested": .bool(speculation != .off), "active": .bool(statistics.proposedTokens > 0), "reason": .null,
                "draft_model": .null, "num_tokens": .null,
                "telemetry": .object([
                    "proposed_tokens": .int(statistics.proposedTokens), "accepted_tokens": .int(statistics.acceptedTokens),
                ]),
            ]),
            "cache": .object([
                "bytes": .int(cache.totalBytes), "reserved_bytes": .int(cache.reservedBytes), "touched_bytes": .int(cache.touchedBytes),
                "cached_prompt_tokens": .int(statistics.cachedTokens),
            ]),
            "readiness": .object(["state": .string("routable"), "reason": .null, "crash_count": .int(0)]),
            "stats": .object([
                "total_requests": .int(statistics.requests), "total_tokens_generated": .int(statistics.completionTokens),
                "avg_tokens_per_second": .float(statistics.tokensPerSecond.average), "last_used_at": .decimal(lastUsedAt),
            ]),
        ])
    }
}
