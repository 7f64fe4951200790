import Engine
import Weights

/// `GET /admin/metrics/json`: the figures that dashboards show.
package struct AdminMetricsJSON: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/metrics/json"
    package static let access = Access.admin
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let status = server.engine.status()
        let figures = server.metrics.now
        var answer = Self.counters(status, figures)
        answer.members += Self.speeds(status, figures).members
        answer["uptime_seconds"] = .float(server.lifecycle.uptime)
        answer["schema_version"] = .string("2026-03-02")
        answer["loaded_models"] = .int(status.models.count)
        answer["in_flight_requests"] = .int(status.inFlight)
        answer["per_format"] = .object(Self.paths(figures))
        var models = JSONObject()
        for model in status.models {
            let statistics = model.statistics
            models[model.model.id] = .object([
                "requests": .int(statistics.requests), "errors": .int(statistics.errors),
                "prompt_tokens": .int(statistics.promptTokens), "completion_tokens": .int(statistics.completionTokens),
                "cached_tokens": .int(statistics.cachedTokens),
                "avg_tokens_per_second": .float(statistics.tokensPerSecond.average),
            ])
        }
        answer["per_model"] = .object(models)
        var clients = JSONObject()
        for (name, client) in figures.clients.sorted(by: { $0.key < $1.key }) {
            clients[name] = .object([
                "requests": .int(client.requests), "errors": .int(client.errors), "tokens": .int(client.tokens),
                "completion_tokens": .int(client.tokens),
            ])
        }
        answer["per_client"] = .object(clients)
        return .json(.object(answer))
    }

    private static func counters(_ status: EngineStatus, _ figures: Metrics.Figures) -> JSONObject {
        let totals = status.statistics
        let rejected = max(0, totals.proposedTokens - totals.acceptedTokens)
        return [
            "total_requests": .int(figures.requests), "total_errors": .int(figures.errors), "error_count": .int(figures.errors),
            "total_stream_requests": .int(figures.streams), "total_prompt_tokens": .int(totals.promptTokens),
            "total_completion_tokens": .int(totals.completionTokens), "total_tokens_generated": .int(totals.completionTokens),
            "total_tokens": .int(totals.promptTokens + totals.completionTokens), "total_cached_tokens": .int(totals.cachedTokens),
            "error_rate": .float(figures.errorRate),
            "requests": .object([
                "total": .int(figures.requests), "errors": .int(figures.errors), "stream_total": .int(figures.streams),
                "throughput_1m": .float(status.requestsPerMinute / 60),
            ]),
            "tokens": .object([
                "prompt_total": .int(totals.promptTokens), "completion_total": .int(totals.completionTokens),
                "cached_total": .int(totals.cachedTokens),
            ]),
            "speculative": .object([
                "accepted_tokens": .int(totals.acceptedTokens), "rejected_tokens": .int(rejected), "ignored_tokens": .int(0),
                "acceptance_ratio": totals.proposedTokens == 0
                    ? .null : .float(Double(totals.acceptedTokens) / Double(totals.proposedTokens)),
            ]),
        ]
    }

    /// Zeros, not nulls, before the first answer: dashboards format these as numbers.
    private static func speeds(_ status: EngineStatus, _ figures: Metrics.Figures) -> JSONObject {
        let speed = status.statistics.tokensPerSecond
        let first = status.statistics.timeToFirstToken
        let total = status.statistics.totalTime
        return [
            "tokens_per_second": .float(status.throughput), "requests_per_minute": .float(status.requestsPerMinute),
            "avg_tokens_per_second": .float(speed.average), "p50_tokens_per_second": .float(speed.p50),
            "p95_tokens_per_second": .float(speed.p95), "p99_tokens_per_second": .float(speed.p99),
            "avg_prompt_tokens_per_second": .float(status.statistics.promptTokensPerSecond.average),
            "avg_time_to_first_token_ms": .float(first.average * 1000), "p95_time_to_first_token_ms": .float(first.p95 * 1000),
            "avg_total_time_ms": .float(total.average * 1000), "avg_latency_ms": .float(total.average * 1000),
            "p50_latency_ms": .float(total.p50 * 1000), "p95_latency_ms": .float(total.p95 * 1000),
        ]
    }

    /// The native way and the one for compatibility.
    static func paths(_ figures: Metrics.Figures) -> JSONObject {
        var paths = JSONObject()
        for name in ["mlx", "gguf"] {
            let path = figures.paths[name] ?? Metrics.Path()
            paths[name] = .object([
                "requests": .int(path.requests), "prefill_tokens_per_second": .decimal(path.prefillTokensPerSecond),
                "decode_tokens_per_second": .decimal(path.decodeTokensPerSecond),
            ])
        }
        return paths
    }
}
