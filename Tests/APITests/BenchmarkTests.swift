import API
import Engine
import TestSupport
import Testing
import Weights

@Suite struct BenchmarkTests {
    @Test func decodeSpeedIsCountedOverTheIntervalsBetweenTokens() async throws {
        // 100 ms for the prompt, then 10 ms for each token: 21 tokens with the last, 20 intervals.
        let script = Script("abcdefghijklmnopqrst", microsecondsPerStep: 10_000, microsecondsForPrompt: 100_000)  // nothing to guess
        try await RunningServer.run(script) { server in
            let answer = try await server.post("/admin/benchmark", #"{"model_id":"tiny","runs":2,"max_tokens":64,"prompt":"hello"}"#)
            #expect(answer.status == 200, "\(answer.text)")
            let json = answer.json
            #expect(json["runs"]?.int == 2 && json["results"]?.count == 2)
            for key in ["run", "tokens_generated", "time_to_first_token_ms", "total_time_ms", "tokens_per_second", "speculative"] {
                #expect(json["results"]?[0]?[key] != nil, "\(key)")
            }
            #expect(json["results"]?[0]?["tokens_generated"]?.int == 21)
            let speed = try #require(json["avg_tokens_per_second"]?.number)
            #expect(speed < 100 && speed > 20, "\(speed)")  // below 1 in 10 ms, whatever the machine does besides
            let first = try #require(json["avg_time_to_first_token_ms"]?.number)
            #expect(first >= 100)
            // The prompt's time is in none of the two speeds of the other.
            let total = try #require(json["avg_total_time_ms"]?.number)
            #expect(speed > 21 / (total / 1000))
            for key in ["model_id", "backend_type", "prompt", "max_tokens", "prefill_tokens_per_second", "decode_tokens_per_second"] {
                #expect(json[key] != nil, "\(key)")
            }
            #expect(try await server.post("/admin/benchmark", #"{"model_id":"tiny","runs":6}"#).status == 400)
            #expect(try await server.post("/admin/benchmark", #"{"model_id":"none"}"#).status == 404)
        }
    }

    @Test func aRunIsKeptWithItsFigures() async throws {
        try await RunningServer.run(Script(String(repeating: "one two three ", count: 5), microsecondsPerStep: 500)) { server in
            let reader = try await server.events()
            let answer = try await server.post("/admin/benchmark/run", #"{"model_id":"tiny","runs":3,"warmup_runs":1,"num_output_tokens":50}"#)
            #expect(answer.status == 200, "\(answer.text)")
            let json = answer.json
            for key in [
                "model_id", "backend", "timestamp", "status", "hardware", "lmx_version", "prompt_preview", "stats", "avg_tokens_per_second",
                "avg_time_to_first_token_ms", "p95_tokens_per_second", "total_runs", "ttft_ms", "total_time_ms", "tokens_per_second",
                "p95_ttft_ms", "p95_tps", "prefill_tokens_per_second", "decode_tokens_per_second",
            ] { #expect(json[key] != nil, "\(key)") }
            #expect(json["status"]?.string == "ok" && json["total_runs"]?.int == 3 && json["runs"]?.count == 3)
            for key in ["run_index", "tokens_per_second", "time_to_first_token_ms", "tokens_generated"] {
                #expect(json["runs"]?[2]?[key]?.number != nil, "\(key)")
            }
            for key in [
                "ttft_p50_sec", "ttft_p95_sec", "ttft_mean_sec", "toks_per_sec_p50", "toks_per_sec_p95", "toks_per_sec_mean",
                "prompt_tokens", "output_tokens", "runs_completed", "warmup_runs_discarded", "output_text", "output_token_count",
                "completed_naturally", "repetition_ratio", "coherence_flag", "tool_call", "skills",
            ] { #expect(json["stats"]?[key] != nil, "\(key)") }
            #expect(json["stats"]?["runs_completed"]?.int == 3 && json["stats"]?["warmup_runs_discarded"]?.int == 1)
            #expect(json["stats"]?["output_token_count"]?.int == 50 && json["stats"]?["completed_naturally"]?.bool == false)
            let slow = try #require(json["p95_tokens_per_second"]?.number)
            let mean = try #require(json["avg_tokens_per_second"]?.number)
            #expect(slow <= mean)
            let told = try await reader.collect { $0.event == "benchmark_progress" && $0.data["run"]?.int == 3 }
            #expect(told.count { $0.event == "benchmark_progress" } == 3)

            let results = try await server.get("/admin/benchmark/results?model_id=tiny").json
            #expect(results.count == 1 && results[0] == json)
            #expect(try await server.get("/admin/benchmark/results?model_id=other").json.count == 0)
            let refused = try await server.post("/admin/benchmark/run", #"{"model_id":"none"}"#)
            #expect(refused.status == 409 && refused.json["error"]?["code"]?.string == "model_not_loaded")
            #expect(refused.json["detail"]?.string?.contains("model_not_loaded") == true)
        }
    }

    @Test func theConfigurationIsReadAgainAndToldOf() async throws {
        var closures = Closures()
        closures.reload = {
            var configuration = Configuration()
            configuration.memoryWarningPercent = 70
            return configuration
        }
        try await RunningServer.run(closures: closures) { server in
            let reader = try await server.events()
            let answer = try await server.send("POST", "/admin/config/reload")
            #expect(answer.status == 200 && answer.json["success"]?.bool == true)
            #expect(answer.json["updated"] == .array([.string("memory")]))
            #expect(try await reader.collect { $0.event == "config_reloaded" }.last?.data["memory_threshold"]?.number == 90)
        }
    }
}
