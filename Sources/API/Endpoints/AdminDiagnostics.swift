import Engine
import Weights

/// `GET /admin/diagnostics`: whether all is well, and what went wrong lately.
package struct AdminDiagnostics: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/admin/diagnostics"
    package static let access = Access.admin
    package init() {}

    /// Above this share of failed requests the server calls itself critical.
    static let criticalErrorRate = 0.05

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) -> Reply {
        let status = server.engine.status()
        let figures = server.metrics.now
        let memory = server.memory()
        let failures = status.failures
        let (verdict, reason) = Self.verdict(figures, memory, failures, server.configuration)
        let uptime = JSONValue.float(server.lifecycle.uptime)
        let averageSpeed = JSONValue.float(status.statistics.tokensPerSecond.average)
        let memoryFigures = JSONValue.object(memory.members(threshold: server.configuration.memoryLimitPercent))
        let inference = JSONValue.object([
            "total_requests": .int(figures.requests), "active_requests": .int(status.inFlight),
            "avg_latency_ms": .float(status.statistics.totalTime.average * 1000),
            "error_rate_pct": .float(figures.errorRate * 100), "avg_tokens_per_second": averageSpeed,
            "tokens_generated": .int(status.statistics.completionTokens),
            "total_tokens_processed": .int(status.statistics.promptTokens + status.statistics.completionTokens),
        ])
        return .json(
            .object([
                "timestamp": .float(WallClock.seconds), "version": .string(server.version), "uptime_seconds": uptime,
                "verdict": .string(verdict), "health_verdict": .string(verdict), "reason": .text(reason),
                "memory": memoryFigures, "system_memory": memoryFigures,
                "system": .object([
                    "memory_percent": .float(memory.usedPercent), "memory_gb_used": .gibibytes(memory.usedBytes),
                    "memory_gb_total": .gibibytes(memory.totalBytes), "uptime_seconds": uptime, "python_version": .null,
                    "crash_loop_detected": .bool(false),
                ]),
                "models": .array(status.models.map(Self.model)),
                "models_summary": .object([
                    "loaded_count": .int(status.models.count), "loading_count": .int(status.loading.count),
                    "quarantined_count": .int(failures.count),
                ]),
                "metrics": .object([
                    "total_requests": .int(figures.requests), "avg_tokens_per_second": averageSpeed,
                    "error_rate": .float(figures.errorRate),
                ]),
                "inference": inference, "inference_stats": inference,
                "agents": .object(["active_runs": .int(0), "completed_runs": .int(0), "failed_runs": .int(0)]),
                "recent_errors": server.incidents.json,
            ]))
    }

    private static func model(_ status: ModelStatus) -> JSONValue {
        let info = status.model.info
        return .object([
            "id": .string(info.id), "model_id": .string(info.id), "readiness": .string("routable"),
            "loaded_at": .float(status.model.loadedAt), "requests_total": .int(status.statistics.requests),
            "requests": .int(status.statistics.requests), "errors": .int(status.statistics.errors),
            "backend": .string(info.backend), "backend_type": .string(info.backend), "format": .string(info.format),
            "memory_gb": .gibibytes(status.model.memoryBytes),
        ])
    }

    private static func verdict(
        _ figures: Metrics.Figures, _ memory: Memory, _ failures: [String: String], _ configuration: Configuration
    ) -> (String, String?) {
        if figures.errorRate > criticalErrorRate {
            return ("critical", "\(figures.errors) of \(figures.requests) requests failed")
        }
        if memory.usedPercent >= configuration.memoryLimitPercent {
            return ("degraded", "memory usage above \(Int(configuration.memoryLimitPercent))%")
        }
        if let failed = failures.keys.min() { return ("degraded", "'\(APIError.echo(failed))' could not be loaded") }
        return ("healthy", nil)
    }
}
