import API
import Engine
import Foundation
import TestSupport
import Testing
import Weights

@Suite struct MetricsTests {
    @Test func aHistogramPutsABoundIntoTheRangeBelowIt() {
        var histogram = Histogram([1, 2, 5])
        for value in [0.5, 1, 1.5, 2, 5, 7, 100] { histogram.observe(value) }
        #expect(histogram.counts == [2, 2, 1, 2])
        #expect(histogram.count == 7 && histogram.sum == 117)
        var other = Histogram([1, 2, 5])
        other.observe(3)
        histogram.add(other)
        #expect(histogram.counts == [2, 2, 2, 2] && histogram.sum == 120)
    }

    @Test func labelsAndNumbersAreWrittenAsPrometheusReadsThem() {
        var page = Exposition()
        page.family("a", .gauge, "line \\ \"one\"\nline two")
        page.sample("a", [("name", "C:\\x \"y\"\nz"), ("other", "é")], 0.25)
        page.sample("a", [], .nan)
        page.sample("a", [], .infinity)
        page.sample("a", [], 1e20)
        #expect(page.text == #"""
            # HELP a line \\ "one"\nline two
            # TYPE a gauge
            a{name="C:\\x \"y\"\nz",other="é"} 0.25
            a NaN
            a +Inf
            a 1e+20

            """#)
    }

    /// Every sample as `name{labels}` → value; every line is checked to be well formed.
    static func samples(_ text: String) throws -> [String: Double] {
        var samples: [String: Double] = [:]
        var families: Set<String> = []
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# HELP ") { continue }
            if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ")
                #expect(words.count == 4 && ["counter", "gauge", "histogram"].contains(words[3]), "\(line)")
                #expect(families.insert(String(words[2])).inserted, "\(line)")
                continue
            }
            let space = try #require(line.lastIndex(of: " "))
            let name = String(line[..<space])
            let value = try #require(["NaN": Double.nan, "+Inf": .infinity][line[line.index(after: space)...]] ?? Double(line[line.index(after: space)...]), "\(line)")
            #expect(samples[name] == nil, "\(line)")
            samples[name] = value
            let plain = name.prefix { $0 != "{" }
            let family = ["_bucket", "_sum", "_count"].first { plain.hasSuffix($0) && families.contains(String(plain.dropLast($0.count))) }
            #expect(families.contains(String(plain.dropLast(family?.count ?? 0))), "\(line) has no family")
        }
        return samples
    }

    @Test func whatWasServedIsCounted() async throws {
        try await RunningServer.run(Script("abc", microsecondsPerStep: 2000), models: ["a\"b"]) { server in
            let id = #"a\"b"#
            let body = #"{"model":"\#(id)","messages":[{"role":"user","content":"hi"}]"#
            for headers in [["X-Client-ID": "one"], ["X-Client-ID": "one"], [:]] {
                #expect(try await server.post("/v1/chat/completions", body + "}", headers: headers).status == 200)
            }
            #expect(try await server.post("/v1/chat/completions", body + #","stream":true}"#).status == 200)
            #expect(try await server.post("/v1/chat/completions", "{}").status == 400)
            let answer = try await server.get("/metrics")
            #expect(answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            let samples = try Self.samples(answer.text)
            #expect(samples["lmx_requests_total"] == 5)
            #expect(samples["lmx_errors_total"] == 0)  // a bad request is its sender's
            #expect(samples["lmx_stream_requests_total"] == 1)
            #expect(samples["lmx_completion_tokens_total"] == 16)
            #expect(samples["lmx_model_requests_total{model=\"\(id)\"}"] == 4)
            #expect(samples["lmx_model_tokens_total{model=\"\(id)\"}"] == 16)
            #expect(samples["lmx_client_requests_total{client=\"one\"}"] == 2)
            #expect(samples["lmx_client_tokens_total{client=\"one\"}"] == 8)
            #expect(samples["lmx_http_requests_total{method=\"POST\",route=\"/v1/chat/completions\",status=\"200\"}"] == 4)
            #expect(samples["lmx_http_requests_total{method=\"POST\",route=\"/v1/chat/completions\",status=\"400\"}"] == 1)
            #expect(samples["lmx_format_requests_total{format=\"gguf\"}"] == 4)
            #expect((samples["lmx_format_decode_tokens_per_second{format=\"gguf\"}"] ?? 0) > 0)
            #expect(samples["lmx_format_decode_tokens_per_second{format=\"mlx\"}"]?.isNaN == true)
            #expect(samples["lmx_speculative_acceptance_ratio"] != nil)
            for name in [
                "lmx_request_duration_seconds", "lmx_e2e_request_latency_seconds", "lmx_time_to_first_token_seconds",
                "lmx_request_queue_time_seconds", "lmx_request_prefill_time_seconds", "lmx_request_decode_time_seconds",
            ] {
                #expect(samples["\(name)_count{model=\"\(id)\"}"] == 4, "\(name)")
                #expect(samples["\(name)_bucket{model=\"\(id)\",le=\"+Inf\"}"] == 4, "\(name)")
            }
            #expect(samples["lmx_inter_token_latency_seconds_count{model=\"\(id)\"}"] == 8)
            #expect((samples["lmx_inter_token_latency_seconds_sum{model=\"\(id)\"}"] ?? 0) > 0.008)
            for bound in ["0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60"] {
                #expect(samples["lmx_request_duration_seconds_bucket{model=\"\(id)\",le=\"\(bound)\"}"] != nil, "\(bound)")
            }
            #expect(try await server.get("/admin/metrics").status == 200)
        }
    }

    @Test func figuresForDashboardsAreNumbersBeforeTheFirstAnswer() async throws {
        try await RunningServer.run { server in
            let json = try await server.get("/admin/metrics/json").json
            for key in [
                "total_requests", "total_errors", "total_stream_requests", "total_prompt_tokens", "total_completion_tokens",
                "uptime_seconds", "avg_tokens_per_second", "p50_tokens_per_second", "p95_tokens_per_second", "p99_tokens_per_second",
                "error_rate", "avg_time_to_first_token_ms", "avg_total_time_ms", "total_tokens_generated", "requests_per_minute",
                "error_count", "tokens_per_second", "total_tokens", "avg_latency_ms", "p95_latency_ms", "loaded_models",
                "in_flight_requests",
            ] { #expect(json[key]?.number != nil, "\(key)") }
            for key in ["requests", "tokens", "speculative", "per_model", "per_client", "per_format"] { #expect(json[key] != nil, "\(key)") }
            #expect(json["schema_version"]?.string == "2026-03-02")
            for key in ["total", "errors", "stream_total", "throughput_1m"] { #expect(json["requests"]?[key]?.number != nil, "\(key)") }
            #expect(json["per_format"]?["mlx"]?["requests"]?.int == 0)
            #expect(json["per_format"]?["gguf"]?["decode_tokens_per_second"] == .null)
        }
    }

    @Test func errorsOfTheServerAreCountedAndOnesOfClientsAreNot() async throws {
        try await RunningServer.run(Script(failsAfter: 2)) { server in
            #expect(try await server.post("/v1/chat/completions", ChatTests.body()).status == 500)
            _ = try await server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#))
            #expect(try await server.post("/v1/chat/completions", ChatTests.body(model: "none")).status == 404)
            let samples = try Self.samples(try await server.get("/metrics").text)
            #expect(samples["lmx_requests_total"] == 3)
            #expect(samples["lmx_errors_total"] == 2)
            #expect(samples["lmx_model_errors_total{model=\"tiny\"}"] == 2)
            let json = try await server.get("/admin/diagnostics").json
            #expect(json["verdict"]?.string == "critical" && json["health_verdict"]?.string == "critical")
            #expect(json["recent_errors"]?[0]?["category"]?.string == "internal_error")
            #expect(json["recent_errors"]?[0]?["timestamp"]?.number != nil)
        }
    }

    @Test func namesFromOutsideAreBounded() async throws {
        try await RunningServer.run { server in
            for number in 0..<130 {
                _ = try await server.post("/v1/completions", "{}", headers: ["X-Client-ID": "client-\(number)"])
            }
            let samples = try Self.samples(try await server.get("/metrics").text)
            #expect(samples.keys.count { $0.hasPrefix("lmx_client_requests_total") } <= 101)
            #expect(samples["lmx_client_requests_total{client=\"other\"}"] == 30)
            _ = try await server.send("PATCH", "/some/where")
            let text = try await server.get("/metrics").text
            #expect(!text.contains("PATCH") && !text.contains("/some/where"))
        }
    }
}
