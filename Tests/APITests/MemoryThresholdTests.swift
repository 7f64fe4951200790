import API
import Engine
import TestSupport
import Testing
import Weights

/// Both thresholds, crossed by memory that is really there: the server has a budget, and this process fills it.
@Suite(.serialized) struct MemoryThresholdTests {
    /// Memory that was written to.
    private final class Ballast: Sendable {
        private let blocks = Locked<[[UInt8]]>([])
        func add(_ bytes: Int) {
            let block = [UInt8](repeating: 1, count: max(0, bytes))
            blocks.withLock { $0.append(block) }
        }
    }

    @Test func aWarningThenAModelGivenUpAndItsMemoryReallyBack() async throws {
        let own = try #require(MemoryGauge().processBytes())
        let total = max(own * 3, own + 768 << 20)
        let gauge = MemoryGauge(configuredBytes: total)
        guard gauge.read()?.totalBytes == total, let reading = gauge.read(), reading.usedBytes < total / 2 else {
            print("memory thresholds: not present, a machine with \(total) free bytes")
            return
        }
        var options = EngineOptions()
        options.memory = gauge
        let model = 192 << 20
        let script = Script(microsecondsPerStep: 5000, isEndless: true, ballastBytes: model)
        let ballast = Ballast()
        let fill: @Sendable (Double) -> Void = { percent in
            ballast.add(Int(Double(total) * percent / 100) - (gauge.processBytes() ?? total))
        }
        try await RunningServer.run(
            script, models: ["big"], options: options, configuration: EventTests.quick, memory: { Memory(gauge.read()) }
        ) { server in
            let reader = try await server.events()
            async let stream = server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#, model: "big"))
            #expect(try await StreamTests.eventually { server.engine.status().active == 1 })
            async let whole = server.post("/v1/chat/completions", ChatTests.body(model: "big"))
            #expect(try await StreamTests.eventually { server.engine.status().inFlight == 2 })

            fill(86.5)
            let warned = try await reader.collect { $0.type == "memory_warning" || $0.type == "memory_critical" }
            let warning = try #require(warned.last)
            #expect(warning.type == "memory_warning" && (85..<90).contains(warning.data["pct"]?.number ?? 0))
            #expect(server.engine.models.count == 1)
            let refused = try await server.post("/admin/models/load", #"{"model_id":"none"}"#)
            #expect(refused.status == 404)

            fill(91.5)
            let before = try #require(gauge.processBytes())
            let frames = try await reader.collect { $0.event == "model_unloaded" }
            let critical = try #require(frames.first { $0.type == "memory_critical" }?.data)
            #expect((90..<95).contains(critical["pct"]?.number ?? 0) && critical["action"]?.string == "model_unloaded")
            let after = try #require(gauge.processBytes())
            print("memory thresholds: of \(total) bytes \(before) used, \(after) after the model of \(model) went")
            #expect(before - after > model * 97 / 100, "\(before) - \(after)")
            #expect(try await stream.chunks.last?["error"]?["code"]?.string == "oom-unloaded")
            let answer = try await whole
            #expect(answer.status == 503 && answer.json["error"]?["code"]?.string == "oom-unloaded")
            #expect(try await server.get("/healthz").status == 200)
            #expect(server.lines.all.contains { $0.hasPrefix("WARNING:  Memory usage at 8") })
            #expect(server.lines.all.contains { $0.hasPrefix("ERROR:    Memory critical at 9") && $0.hasSuffix("% — unloading model") })
        }
    }
}
