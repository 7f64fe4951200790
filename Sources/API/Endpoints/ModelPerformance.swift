import Engine
import Weights

/// `GET /admin/models/{id}/performance`: what one loaded model does, and under which settings.
package struct ModelPerformance: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/models/{id}/performance"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) throws -> Reply {
        let id = call.parameters.first ?? ""
        guard let status = server.engine.status().models.first(where: { $0.model.id == id }) else {
            throw APIError.modelNotFound(id, parameter: "model_id")
        }
        guard case .object(var answer) = status.json else { return .json(status.json) }
        let statistics = status.statistics
        answer["backend_type"] = .string(status.model.info.pathName)
        answer["in_flight_requests"] = .int(status.inFlight)
        answer["measured"] = .object([
            "tokens_per_second": Self.distribution(statistics.tokensPerSecond),
            "prompt_tokens_per_second": Self.distribution(statistics.promptTokensPerSecond),
            "time_to_first_token_ms": Self.distribution(statistics.timeToFirstToken, times: 1000),
            "total_time_ms": Self.distribution(statistics.totalTime, times: 1000),
            "requests_per_minute": .float(status.requestsPerMinute), "error_rate": .float(statistics.errorRate),
        ])
        answer["global_defaults"] = .object([
            "kv_bits": .null, "kv_group_size": .null, "quantized_kv_start": .null, "prefix_cache_enabled": .bool(true),
            "speculative_model": .null, "speculative_num_tokens": .null, "warmup_on_load": .bool(false), "stream_interval": .int(1),
            "adaptive": .object([:]), "scheduler": .object([:]), "max_concurrent_requests": .int(status.maximumActive),
        ])
        return .json(.object(answer))
    }

    private static func distribution(_ figures: Statistics.Distribution, times factor: Double = 1) -> JSONValue {
        .object([
            "count": .int(figures.count), "average": .float(figures.average * factor), "p50": .float(figures.p50 * factor),
            "p95": .float(figures.p95 * factor), "p99": .float(figures.p99 * factor),
        ])
    }
}
