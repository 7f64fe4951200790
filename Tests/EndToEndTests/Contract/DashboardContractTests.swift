import Foundation
import TestSupport
import Testing
import Weights

/// The pages of the current web dashboard, which is served elsewhere and calls this server from the browser.
@Suite struct DashboardContractTests {
    static let origin = "http://localhost:3003"
    static let load = #"{"model_id":"Q4_1","auto_download":true}"#

    static let pages: [ContractCall] = [
        ContractCall("GET /healthz", "status = ok", "version: string"),
        // Models
        ContractCall("GET /admin/models/available", "[].size_bytes: number", "[].repo_id: string"),
        ContractCall(
            "POST /admin/models/load", body: load, "success = true", "model_id = Q4_1", "time_to_load_ms: number", "memory_after_load_gb: number"),
        ContractCall("GET /admin/models/downloads?include_inactive=true", "downloads: list"),
        ContractCall("POST /admin/models/probe", body: #"{"model_id":"Q4_1"}"#, "candidates[].outcome = pass"),
        ContractCall("GET /admin/models/compatibility?limit=200", "rows: list", "total: number"),
        ContractCall("GET /admin/models/Q4_1/performance", "model_id = Q4_1", "backend_type = gguf"),
        ContractCall("GET /admin/presets", "presets: list", "total: number"),
        // Chat
        ContractCall(
            "POST /v1/chat/completions", body: #"{"model":"auto",\#(DaemonContractTests.chat)}"#, "id: string", "object = chat.completion",
            "created: number", "model = Q4_1", "choices[].message.content: string", "choices[].message.role = assistant",
            "choices[].finish_reason: string", "usage.total_tokens: number"),
        // Console
        ContractCall(
            "POST /v1/completions", body: #"{"model":"auto","prompt":"the quick","max_tokens":8}"#, "object = text_completion",
            "choices[].text: string", "choices[].finish_reason: string"),
        ContractCall(
            "POST /v1/messages", body: #"{"model":"auto","max_tokens":8,"messages":[{"role":"user","content":"the quick"}]}"#, "type = message",
            "role = assistant", "content[].type = text", "content[].text: string", "stop_reason: string", "stop_sequence: any",
            "usage.input_tokens: number", "usage.output_tokens: number"),
        ContractCall(
            "POST /v1/responses", body: #"{"model":"auto","input":"the quick","max_output_tokens":8}"#, "id: string", "object = response",
            "status: string", "output_text: string", "output: list"),
        ContractCall(
            "POST /v1/rerank", body: #"{"model":"auto","query":"fox","documents":["the quick","brown fox"],"top_n":1}"#, status: 503,
            "error.code = reranking_unavailable", "error.message: string"),
        // Overview
        ContractCall("GET /admin/status").with([
            "version: string", "uptime_seconds: number", "in_flight_requests: number", "memory.used_gb: number", "memory.total_gb: number",
            "memory.used_percent: number",
        ]),
        ContractCall("GET /admin/models").with([
            "loaded[].id: string", "loaded[].model_id: string", "loaded[].backend: string", "loaded[].backend_type: string",
            "loaded[].memory_gb: number", "loaded[].memory_used_gb: number", "loaded[].loaded_at: number", "loaded[].keep_alive_sec: number?",
            "loaded[].performance: object", "loaded[].request_count: number", "loaded[].last_used_at: number",
            "loaded[].stats.total_tokens_generated: number", "loaded[].stats.avg_tokens_per_second: number",
        ]),
        ContractCall("GET /admin/health", "status: string", "reason: string?"),
        // Metrics
        ContractCall("GET /admin/metrics/json").with([
            "total_requests: number", "avg_tokens_per_second: number", "p50_tokens_per_second: number", "p95_tokens_per_second: number",
            "p99_tokens_per_second: number", "error_rate: number", "avg_time_to_first_token_ms: number", "avg_total_time_ms: number",
            "total_tokens_generated: number", "requests_per_minute: number", "error_count: number", "total_prompt_tokens: number",
        ]),
        // Benchmark
        ContractCall(
            "POST /admin/benchmark/run",
            body: #"{"model_id":"Q4_1","prompt":"the quick brown fox","num_output_tokens":50,"runs":2,"temperature":0,"warmup_runs":1}"#).with([
                "model_id = Q4_1", "backend: string", "timestamp: any", "status: string", "avg_tokens_per_second: number",
                "avg_time_to_first_token_ms: number", "p95_tokens_per_second: number", "total_runs = 2", "runs[].run_index: number",
                "runs[].tokens_per_second: number", "runs[].time_to_first_token_ms: number", "runs[].tokens_generated: number",
                "stats.runs_completed = 2", "stats.warmup_runs_discarded = 1", "stats.ttft_p50_sec: number", "stats.ttft_p95_sec: number",
                "stats.ttft_mean_sec: number", "stats.toks_per_sec_p50: number", "stats.toks_per_sec_p95: number",
                "stats.toks_per_sec_mean: number", "stats.prompt_tokens: number", "stats.output_tokens: number", "stats.output_text: string",
                "stats.completed_naturally: boolean", "stats.repetition_ratio: number", "stats.coherence_flag: string",
                "stats.tool_call: any", "stats.skills: list", "hardware: any", "lmx_version: string", "prompt_preview: string",
            ]),
        ContractCall("GET /admin/benchmark/results", "[].model_id = Q4_1", "[].avg_tokens_per_second: number", "[].runs: list"),
        // Diagnostics
        ContractCall("GET /admin/diagnostics").with([
            "verdict: string", "reason: string?", "uptime_seconds: number", "memory.used_percent: number", "memory.used_gb: number",
            "memory.total_gb: number", "memory.threshold_percent: number", "metrics.total_requests: number",
            "metrics.avg_tokens_per_second: number", "metrics.error_rate: number", "models[].model_id = Q4_1", "models[].backend: string",
            "models[].memory_gb: number", "models[].requests: number", "recent_errors: list",
        ]),
        // Quantize
        ContractCall("GET /admin/quantize", "jobs: list", "count: number"),
        ContractCall("POST /admin/models/unload", body: #"{"model_id":"Q4_1"}"#, "success = true", "model_id = Q4_1"),
        ContractCall("DELETE /admin/models/Q8_0", "success = true", "model_id = Q8_0", "freed_bytes: number"),
    ]

    @Test func everyPageFindsItsFields() throws {
        let contract = try ContractServer(["--profile", "lan", "--host", "127.0.0.1"], headers: ["Origin": Self.origin, "X-Admin-Key": "any"])
        defer { contract.server.stop() }
        for call in Self.pages {
            let answer = try contract.send(call)
            #expect(answer.headers["access-control-allow-origin"] == Self.origin, "\(call.request)")
        }
    }

    @Test func theBrowserIsAllowedToAsk() throws {
        let contract = try ContractServer(["--profile", "lan", "--host", "127.0.0.1"])
        defer { contract.server.stop() }
        for (method, path) in [("POST", "/admin/models/load"), ("DELETE", "/admin/models/x"), ("POST", "/v1/chat/completions"), ("GET", "/admin/status")] {
            let answer = try contract.client.send(
                "OPTIONS", path, body: nil,
                headers: [
                    "Origin": Self.origin, "Access-Control-Request-Method": method,
                    "Access-Control-Request-Headers": "x-admin-key,authorization,x-api-key,content-type",
                ])
            #expect(answer.status == 204)
            #expect(answer.headers["access-control-allow-origin"] == Self.origin)
            #expect(answer.headers["access-control-allow-methods"]?.contains(method) == true)
            for name in ["X-Admin-Key", "Authorization", "X-Api-Key", "Content-Type"] {
                #expect(answer.headers["access-control-allow-headers"]?.contains(name) == true, "\(name)")
            }
        }
        #expect(try contract.client.get("/admin/status", headers: ["Origin": "http://elsewhere.example"]).status == 403)
    }

    @Test func aStreamedChatHasTheLinesThatItReads() throws {
        let contract = try ContractServer(["--profile", "lan", "--host", "127.0.0.1", Corpus.testdata + "/tiny/llama/hf"], models: [])
        defer { contract.server.stop() }
        while try contract.client.get("/readyz").status != 200 { usleep(10_000) }
        let answer = try contract.client.post(
            "/v1/chat/completions", #"{"model":"auto",\#(DaemonContractTests.chat),"stream":true}"#, headers: ["Origin": Self.origin])
        let lines = answer.text.split(separator: "\n")
        #expect(lines.allSatisfy { $0.hasPrefix("data: ") })
        #expect(lines.last == "data: [DONE]")
        let pieces = answer.events.dropLast().compactMap { text -> String? in
            guard case .array(let choices)? = (try? JSONValue.parse(text))?["choices"], case .string(let piece)? = choices.first?["delta"]?["content"]
            else { return nil }
            return piece
        }
        #expect(pieces.joined().isEmpty == false)
    }
}
