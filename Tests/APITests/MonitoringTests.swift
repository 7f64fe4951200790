import API
import Engine
import Foundation
import TestSupport
import Testing
import Weights

/// The dashboards and alert rules that come with the project.
@Suite struct MonitoringTests {
    private static let folder = Corpus.packageFolder + "/docs/grafana"

    /// Every metric that a query names.
    static func series(in query: String) -> Set<String> {
        var names: Set<String> = []
        for word in query.split(whereSeparator: { !($0.isLetter || $0.isNumber || $0 == "_" || $0 == ":") })
        where word.hasPrefix("lmx_") || word.hasPrefix("process_") { names.insert(String(word)) }
        return names
    }

    static func queries() throws -> [String] {
        let dashboard = try JSONValue.parse(
            try String(contentsOfFile: folder + "/lmx-dashboard.json", encoding: .utf8), maximumDepth: 64)
        var queries: [String] = []
        func collect(_ value: JSONValue) {
            switch value {
            case .object(let object):
                for member in object {
                    if ["expr", "query"].contains(member.key), case .string(let text) = member.value { queries.append(text) }
                    collect(member.value)
                }
            case .array(let list): list.forEach(collect)
            default: break
            }
        }
        collect(dashboard)
        let rules = try String(contentsOfFile: folder + "/lmx-alerts.yaml", encoding: .utf8)
        for line in rules.split(separator: "\n") {
            let text = line.drop { $0 == " " }
            if text.hasPrefix("expr: ") { queries.append(String(text.dropFirst(6))) }
        }
        return queries
    }

    @Test func everySeriesThatIsQueriedExists() async throws {
        let queries = try Self.queries()
        #expect(queries.count > 50)
        try await RunningServer.run(models: ["tiny"], disk: ["other", "bad"], loader: { entry, _ in
            if entry.id == "bad" { throw ModelError(.truncated, at: "bad", "ends early") }
            return try Script().loaded(entry.id)
        }) { server in
            #expect(try await server.post("/v1/chat/completions", ChatTests.body()).status == 200)
            for id in ["other", "bad"] { _ = try await server.post("/admin/models/load", #"{"model_id":"\#(id)"}"#) }
            let text = try await server.get("/metrics").text
            let samples = Set(try MetricsTests.samples(text).keys.map { String($0.prefix { $0 != "{" }) })
            for query in queries {
                for name in Self.series(in: query) {
                    // No model has been unloaded unasked here: the family is there without a sample.
                    #expect(samples.contains(name) || (name == "lmx_model_evictions_total" && text.contains("# TYPE \(name) ")), "\(name) in \(query)")
                }
            }
            // What older dashboards and alert rules query, whatever ours do.
            for name in [
                "lmx_request_latency_p95_seconds", "lmx_model_error_rate", "lmx_model_queue_wait_seconds",
                "lmx_model_load_duration_seconds", "lmx_model_readiness_state", "lmx_model_tokens_per_second",
                "lmx_model_compatibility_fail_total", "lmx_agent_runs_total", "lmx_speculative_acceptance_ratio", "lmx_uptime_seconds",
                "lmx_loaded_models", "lmx_memory_used_gb", "lmx_memory_total_gb", "lmx_in_flight_requests", "lmx_concurrent_limit",
                "lmx_queued_requests", "lmx_prompt_tokens_total", "lmx_stream_requests_total", "lmx_errors_total", "lmx_requests_total",
                "lmx_speculative_rejected_tokens_total", "lmx_speculative_ignored_tokens_total",
            ] { #expect(samples.contains(name), "\(name)") }
        }
    }
}
