import API
import Engine
import Synchronization
import TestSupport
import Testing
import Weights

@Suite struct MemoryTests {
    @Test func aFigureThatTremblesAroundAThresholdIsOneAlarm() {
        var watch = MemoryWatch(warning: 85, limit: 90)
        let figures = [50, 84.9, 85, 84, 86, 84.5, 89.9, 82.9, 85.1, 90, 95, 89, 86, 82, 91]
        let alarms = figures.map { watch.observe($0) }
        #expect(
            alarms == [
                nil, nil, .warning, nil, nil, nil, nil, nil, .warning, .critical, .critical, nil, nil, nil, .critical,
            ])
    }

    /// Memory that a test sets, in per cent of 100 GiB.
    final class Gauge: Sendable {
        private let percent: Atomic<Int>
        init(_ percent: Int) { self.percent = Atomic(percent) }
        func set(_ value: Int) { percent.store(value, ordering: .relaxed) }
        var memory: Memory {
            Memory(totalBytes: 100 << 30, availableBytes: (100 - percent.load(ordering: .relaxed)) << 30)
        }
    }

    @Test func aWarningIsToldOnceInBothDialectsAndInTheLog() async throws {
        let gauge = Gauge(50)
        try await RunningServer.run(configuration: EventTests.quick, memory: { gauge.memory }) { server in
            let reader = try await server.events()
            _ = try await reader.collect { $0.type == "memory" }
            gauge.set(86)
            let frames = try await reader.collect { $0.event == "memory_warning" }
            let unnamed = try #require(frames.last { $0.type == "memory_warning" }?.data)
            #expect(unnamed["message"]?.string == "Memory usage exceeds warning threshold")
            #expect(unnamed["vram_used_gb"]?.number == 86 && unnamed["vram_total_gb"]?.number == 100 && unnamed["pct"]?.number == 86)
            let named = frames.last?.data
            #expect(named?["usage_percent"]?.number == 86 && named?["threshold"]?.number == 85 && named?["available_gb"]?.number == 14)
            #expect(server.lines.all.contains("WARNING:  Memory usage at 86.0% (86.0/100.0 GB)"))
            let more = try await reader.collect { $0.event == "heartbeat" }
            #expect(!more.contains { $0.type == "memory_warning" })
            #expect(server.engine.models.count == 1)
        }
    }

    @Test func pastTheLimitAModelGoesAndTheServerLivesOn() async throws {
        let gauge = Gauge(50)
        let script = Script(microsecondsPerStep: 5000, isEndless: true)
        try await RunningServer.run(script, models: ["idle", "busy"], disk: [], configuration: EventTests.quick, memory: { gauge.memory }) {
            server in
            let reader = try await server.events()
            async let stream = server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#, model: "busy"))
            #expect(try await StreamTests.eventually { server.engine.status().active == 1 })
            async let whole = server.post("/v1/chat/completions", ChatTests.body(model: "busy"))
            #expect(try await StreamTests.eventually { server.engine.status().inFlight == 2 })
            gauge.set(93)
            // The idle one first, then the busy one, for memory does not come down.
            let frames = try await reader.collect { $0.event == "model_unloaded" && $0.data["model_id"]?.string == "busy" }
            let critical = frames.filter { $0.type == "memory_critical" }
            #expect(critical.map { $0.data["model"]?.string } == ["idle", "busy"])
            #expect(critical.first?.data["message"]?.string == "OOM threshold reached, unloading model")
            #expect(critical.first?.data["action"]?.string == "model_unloaded" && critical.first?.data["pct"]?.number == 93)
            #expect(frames.last?.data["reason"]?.string == "memory")
            let error = try await stream.chunks.last?["error"]
            #expect(error?["code"]?.string == "oom-unloaded")
            let refused = try await whole
            #expect(refused.status == 503 && refused.json["error"]?["code"]?.string == "oom-unloaded")
            #expect(server.lines.all.contains("ERROR:    Memory critical at 93.0% — unloading model"))
            #expect(try await server.get("/healthz").status == 200)
            #expect(try await server.get("/readyz").status == 503)
            let text = try await server.get("/metrics").text
            #expect(text.contains(#"lmx_model_evictions_total{model="busy",reason="memory"} 1"#))
            gauge.set(40)
            #expect(try await server.post("/admin/models/load", #"{"model_id":"busy"}"#).status == 200)
            #expect(try await server.get("/readyz").status == 200)
        }
    }
}
