import Foundation
import TestSupport
import Testing
import Weights

/// The single page that LMX ships for monitoring: a few calls, and named events.
@Suite struct AdminPageContractTests {
    static let calls: [ContractCall] = [
        ContractCall("POST /admin/models/load", body: #"{"model_id":"Q4_1"}"#),
        ContractCall("GET /admin/memory").with([
            "used_gb: number", "total_unified_memory_gb: number", "total_gb: number", "usage_percent: number", "memory_percent: number",
        ]),
        ContractCall("GET /admin/models", "loaded[].id = Q4_1"),
        ContractCall("GET /admin/models/Q4_1/performance", "use_batching: boolean", "backend_type: string"),
        ContractCall("GET /admin/metrics/json").with([
            "requests.throughput_1m: number", "speculative.accepted_tokens: number", "speculative.rejected_tokens: number",
            "speculative.acceptance_ratio: number?",
        ]),
    ]

    /// What each named event holds; these have no `type`.
    static let events: [String: [Expectation]] = [
        "model_loaded": ["model_id = Q4_1", "format = gguf", "memory_gb: number", "duration_sec: number"],
        "model_unloaded": ["model_id = Q4_1", "memory_freed_gb: number", "reason = manual"],
        "request_completed": ["model_id = Q4_1", "latency_ms: number", "tokens: number", "stream: boolean"],
        "config_reloaded": ["routing_aliases: any", "memory_threshold: number", "log_level: string"],
        "heartbeat": ["timestamp: number"],
    ]

    @Test func everyCallAndEventHoldsItsFields() throws {
        let contract = try ContractServer()
        defer { contract.server.stop() }
        let client = contract.client
        let socket = try client.connect(seconds: 20)
        defer { close(socket) }
        try client.write(Array("GET /admin/events?admin_key=any HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8), to: socket)
        var block = [UInt8](repeating: 0, count: 65536)
        let first = recv(socket, &block, block.count, 0)
        var bytes = Array(block.prefix(max(0, first)))
        try contract.send(Self.calls)
        try contract.send(ContractCall("POST /v1/completions", body: #"{"model":"auto","prompt":"the quick","max_tokens":4}"#))
        try contract.send(ContractCall("POST /admin/config/reload"))
        try contract.send(ContractCall("POST /admin/models/unload"))
        var seen: Set<String> = []
        while !Set(Self.events.keys).isSubset(of: seen) {
            while let end = bytes.firstRange(of: Array("\n\n".utf8)) {
                let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).split(whereSeparator: \.isNewline)
                bytes.removeFirst(end.upperBound)
                guard let event = lines.first(where: { $0.hasPrefix("event: ") }), let data = lines.first(where: { $0.hasPrefix("data: ") }) else { continue }
                let frame = try JSONValue.parse(String(data.dropFirst(6)))
                let name = String(event.dropFirst(7))
                seen.insert(name)
                #expect(frame["type"] == nil)
                #expect((Self.events[name] ?? []).compactMap { $0.complaint(about: frame) } == [], "\(name): \(data)")
            }
            if Set(Self.events.keys).isSubset(of: seen) { break }
            let count = recv(socket, &block, block.count, 0)
            guard count > 0 else {
                Issue.record("the stream ended; seen: \(seen.sorted())")
                return
            }
            bytes += block.prefix(count)
        }
    }
}
