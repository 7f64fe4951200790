import Foundation
import TestSupport
import Testing
import Weights

/// The older web dashboard: a gauge, a graph of 300 samples, the list of models, a heartbeat.
@Suite struct OldDashboardContractTests {
    static let calls: [ContractCall] = [
        ContractCall("GET /v1/models", "data: list"),
        ContractCall("GET /admin/status", "version: string", "uptime_seconds: number"),
        ContractCall("POST /admin/models/load", body: #"{"model_path":"Q4_1","quantization":"Q4_1"}"#, "success = true", "model_id = Q4_1"),
        ContractCall("POST /v1/completions", body: #"{"model":"auto","prompt":"the quick","max_tokens":8}"#),
        ContractCall("GET /admin/memory", "total_gb: number", "used_gb: number"),
        ContractCall("GET /admin/metrics/json").with([
            "avg_latency_ms: number", "p95_latency_ms: number", "tokens_per_second: number", "total_tokens: number", "loaded_models: number",
            "in_flight_requests: number",
        ]),
        ContractCall("GET /admin/diagnostics").with([
            "verdict: string", "system_memory.used_gb: number", "system_memory.total_gb: number", "models[].id: string",
            "inference_stats.total_requests: number", "recent_errors: list",
        ]),
        ContractCall("POST /admin/benchmark/run", body: #"{"model_id":"Q4_1","num_output_tokens":50,"runs":1,"warmup_runs":0}"#).with([
            "ttft_ms: number", "total_time_ms: number", "tokens_per_second: number", "p95_ttft_ms: number", "p95_tps: number",
        ]),
        ContractCall("POST /admin/models/unload", body: #"{"model_id":"Q4_1"}"#, "success = true"),
    ]

    @Test func everyCallFindsItsFields() throws {
        let contract = try ContractServer(headers: ["X-Admin-Key": "any"])
        defer { contract.server.stop() }
        try contract.send(Self.calls)
    }

    /// What each kind of unnamed frame must hold; it pushes `data` into its charts unseen.
    static let frames: [String: [Expectation]] = [
        "status": [
            "data.vram_used_gb: number", "data.vram_total_gb: number", "data.loaded_models: list", "data.active_requests: number",
            "data.uptime_seconds: number", "data.tokens_per_second: number?", "data.temperature_celsius: number?",
        ],
        "throughput": ["data.timestamp: number", "data.tokensPerSecond: number", "tokens_per_second: number", "active_requests: number", "model: string"],
        "memory": ["vram_used_gb: number", "vram_total_gb: number", "pct: number"],
        "vram": ["used_gb: number", "total_gb: number"],
        "heartbeat": ["uptime: number"],
        "model_event": ["action: string", "model: string"],
        "model_status": ["model: string", "state: string"],
    ]

    @Test func itsStreamHoldsWhatItDraws() throws {
        let contract = try ContractServer()
        defer { contract.server.stop() }
        let client = contract.client
        let socket = try client.connect(seconds: 20)
        defer { close(socket) }
        try client.write(Array("GET /admin/events HTTP/1.1\r\nHost: localhost\r\nX-Admin-Key: any\r\n\r\n".utf8), to: socket)
        try contract.send(ContractCall("POST /admin/models/load", body: #"{"model_path":"Q4_1"}"#))
        let body = #"{"model":"auto","prompt":"the quick brown","max_tokens":400,"temperature":0}"#
        let chat = Thread { _ = try? client.post("/v1/completions", body) }
        chat.start()

        var seen: Set<String> = []
        var loaded = false
        var text: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65536)
        while !Set(Self.frames.keys).isSubset(of: seen) || !loaded {
            let count = recv(socket, &block, block.count, 0)
            guard count > 0 else {
                Issue.record("the stream ended; seen: \(seen.sorted()), with a model in the status: \(loaded)")
                return
            }
            text += block.prefix(count)
            while let end = text.firstRange(of: Array("\n\n".utf8)) {
                let lines = String(decoding: text[..<end.lowerBound], as: UTF8.self).split(whereSeparator: \.isNewline)
                text.removeFirst(end.upperBound)
                guard !lines.contains(where: { $0.hasPrefix("event: ") }), let data = lines.first(where: { $0.hasPrefix("data: ") }) else { continue }
                let frame = try JSONValue.parse(String(data.dropFirst(6)))
                guard case .string(let type)? = frame["type"] else {
                    Issue.record("an unnamed frame without a type: \(data)")
                    continue
                }
                seen.insert(type)
                #expect((Self.frames[type] ?? []).compactMap { $0.complaint(about: frame) } == [], "\(data)")
                if type == "status", case .array(let models)? = frame["data"]?["loaded_models"], let model = models.first {
                    loaded = true
                    let expected: [Expectation] = [
                        "id: string", "name: string", "vram_gb: number", "quantization: string?", "context_length: number", "loaded_at: string",
                    ]
                    #expect(expected.compactMap { $0.complaint(about: model) } == [])
                }
            }
        }
    }
}
