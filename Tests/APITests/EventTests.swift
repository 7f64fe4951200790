import API
import Engine
import TestSupport
import Testing
import Weights

@Suite struct EventTests {
    /// A server whose seconds are short.
    static var quick: Configuration {
        var configuration = Configuration()
        configuration.pulse = .milliseconds(50)
        configuration.heartbeat = .milliseconds(400)
        return configuration
    }

    @Test func theFirstFrameComesAtOnceAndSaysHowThingsStand() async throws {
        try await RunningServer.run { server in
            let start = ContinuousClock.now
            let reader = try await server.events()
            let first = try await reader.collect { $0.type == "vram" }
            #expect(ContinuousClock.now - start < .seconds(2))
            #expect(reader.head.contains("text/event-stream"))
            #expect(first.map(\.type) == ["status", "memory", "vram"])
            let status = first[0].data["data"]
            for key in ["vram_used_gb", "vram_total_gb", "loaded_models", "active_requests", "tokens_per_second", "uptime_seconds"] {
                #expect(status?[key] != nil, "\(key)")
            }
            let model = status?["loaded_models"]?[0]
            #expect(model?["id"]?.string == "tiny" && model?["name"]?.string == "tiny")
            #expect(model?["loaded_at"]?.string?.hasSuffix("Z") == true)
            #expect(first[1].data["vram_used_gb"] != nil && first[1].data["vram_total_gb"] != nil && first[1].data["pct"] != nil)
            #expect(first[2].data["used_gb"] != nil && first[2].data["total_gb"] != nil)
        }
    }

    @Test func heartbeatsComeInBothDialects() async throws {
        try await RunningServer.run(configuration: Self.quick) { server in
            let frames = try await server.events().collect { $0.event == "heartbeat" }
            let unnamed = frames.first { $0.type == "heartbeat" }
            #expect(unnamed?.event == nil && unnamed?.data["uptime"] != nil)
            #expect(frames.last?.data["timestamp"] != nil && frames.last?.data["type"] == nil)
        }
    }

    @Test func throughputIsToldWhileThereIsSomeAndComesDownToZero() async throws {
        try await RunningServer.run(Script(String(repeating: "x", count: 100), microsecondsPerStep: 10_000), configuration: Self.quick) {
            server in
            let reader = try await server.events()
            async let answer = server.post("/v1/chat/completions", ChatTests.body())
            let frames = try await reader.collect { $0.event == "request_completed" }
            let busy = frames.filter { $0.type == "throughput" }
            #expect(!busy.isEmpty)
            let frame = try #require(busy.last { $0.data["active_requests"]?.int == 1 })
            #expect(frame.data["model"]?.string == "tiny")
            #expect((frame.data["tokens_per_second"]?.number ?? 0) > 0)
            #expect(frame.data["tokens_per_sec"] == frame.data["tokens_per_second"])
            #expect(frame.data["data"]?["tokensPerSecond"] == frame.data["tokens_per_second"])
            #expect((frame.data["data"]?["timestamp"]?.int ?? 0) > 1_600_000_000_000)
            let completed = frames.last?.data
            #expect(completed?["model_id"]?.string == "tiny" && completed?["tokens"]?.int == 101)
            #expect(completed?["stream"]?.bool == false && completed?["latency_ms"] != nil)
            let after = try await reader.collect { $0.type == "throughput" && $0.data["tokens_per_second"]?.number == 0 }
            #expect(after.last?.data["active_requests"]?.int == 0)
            #expect(try await answer.status == 200)
        }
    }

    @Test func anAnswerThatIsShorterThanAPulseIsToldToo() async throws {
        var slow = Self.quick
        slow.pulse = .milliseconds(300)
        try await RunningServer.run(Script("ab"), configuration: slow) { server in
            let reader = try await server.events()
            #expect(try await server.post("/v1/chat/completions", ChatTests.body()).status == 200)
            let frames = try await reader.collect { $0.type == "throughput" }
            #expect((frames.last?.data["tokens_per_second"]?.number ?? 0) > 0)
        }
    }

    @Test func aLoadIsToldFromItsBeginningToItsEnd() async throws {
        try await RunningServer.run(
            models: [], disk: ["one"],
            loader: { entry, progress in
                for step in 0...200 { try progress(Double(step) / 200) }
                return try Script().loaded(entry.id)
            }
        ) { server in
            let reader = try await server.events()
            #expect(try await server.post("/admin/models/load", #"{"model_id":"one"}"#).status == 200)
            let frames = try await reader.collect { $0.event == "model_loaded" }
            let told = frames.filter { $0.type == "model_event" }
            #expect(told.allSatisfy { $0.data["model"]?.string == "one" && $0.event == nil })
            let progress = told.filter { $0.data["action"]?.string == "loading" }.compactMap { $0.data["progress"]?.number }
            #expect(progress.first == 0 && progress.last == 1 && progress == progress.sorted())
            #expect(progress.count == 101)  // once per hundredth, not once per step
            #expect(told.last?.data["action"]?.string == "loaded")
            #expect(told.last?.data["vram_gb"] != nil && told.last?.data["load_time_ms"] != nil)
            #expect(frames.last?.data["model_id"]?.string == "one" && frames.last?.data["format"]?.string == "gguf")
            #expect(frames.last?.data["memory_gb"] != nil && frames.last?.data["duration_sec"] != nil)

            #expect(try await server.post("/admin/models/unload", #"{"model_id":"one"}"#).status == 200)
            let gone = try await reader.collect { $0.event == "model_unloaded" }
            #expect(gone.contains { $0.type == "model_event" && $0.data["action"]?.string == "unloaded" })
            #expect(gone.last?.data["reason"]?.string == "manual" && gone.last?.data["memory_freed_gb"] != nil)
        }
    }

    @Test func aLoadThatFailsIsToldWithItsReason() async throws {
        try await RunningServer.run(models: [], disk: ["bad"], loader: { _, _ in throw ModelError(.truncated, at: "bad.gguf", "ends early") }) {
            server in
            let reader = try await server.events()
            #expect(try await server.post("/admin/models/load", #"{"model_id":"bad"}"#).status == 409)
            let frames = try await reader.collect { $0.data["action"]?.string == "failed" }
            #expect(frames.last?.data["reason"]?.string == "bad.gguf: ends early")
            #expect(frames.last?.data["model"]?.string == "bad")
        }
    }

    @Test func aReaderThatComesBackGetsWhatItMissedOnceAndInOrder() async throws {
        try await RunningServer.run(models: [], disk: ["one", "two"]) { server in
            let reader = try await server.events()
            #expect(try await server.post("/admin/models/load", #"{"model_id":"one"}"#).status == 200)
            let last = try #require(try await reader.collect { $0.event == "model_loaded" }.last?.id)
            #expect(try await server.post("/admin/models/load", #"{"model_id":"two"}"#).status == 200)
            #expect(try await server.post("/admin/models/unload", #"{"model_id":"two"}"#).status == 200)

            let again = try await server.events(headers: ["Last-Event-ID": last])
            let missed = try await again.collect { $0.type == "status" }.dropLast()
            let events = missed.filter { $0.type == "model_event" }.map { $0.data["action"]?.string }
            #expect(events == ["loading", "loaded", "unloaded"])
            #expect(missed.allSatisfy { ($0.data["model"] ?? $0.data["model_id"])?.string == "two" })
            let numbers = missed.compactMap { $0.id?.split(separator: "-").last.flatMap { Int($0) } }
            #expect(numbers.count == missed.count && numbers == numbers.sorted())

            // A number of another run of the server: everything kept is news.
            let stranger = try await server.events(headers: ["Last-Event-ID": "zzzzzz-9999"])
            let all = try await stranger.collect { $0.type == "status" }
            #expect(all.contains { $0.data["model"]?.string == "one" })
            // Nonsense and no number at all: only how things stand.
            let fresh = try await server.events(headers: ["Last-Event-ID": "nonsense"])
            #expect(try await fresh.collect { $0.type == "status" }.count == 1)
        }
    }

    @Test func aReaderThatReadsNothingIsLetGoAndNobodyWaitsForIt() async throws {
        try await RunningServer.run { server in
            let sleeper = try await server.events()
            let reader = try await server.events()
            let text = String(repeating: "x", count: 100_000)
            let start = ContinuousClock.now
            for number in 0..<400 {
                server.hub.tell(LiveEvent(type: "filler", ["number": .int(number), "text": .string(text)]))
                // The one that reads gets time to read.
                _ = try await reader.collect { $0.data["number"]?.int == number }
            }
            #expect(ContinuousClock.now - start < .seconds(15))
            #expect(server.lines.all.contains("WARNING:  SSE client disconnected: too slow, 256 KiB unread"))
            #expect(try await server.get("/healthz").status == 200)
            await #expect(throws: (any Error).self) { try await sleeper.collect { $0.data["number"]?.int == 399 } }
        }
    }

    @Test func oneReaderTooManyIsRefused() async throws {
        try await RunningServer.run { server in
            var readers: [EventReader] = []
            for _ in 0..<RequestLimits.eventReaders {
                let reader = try await server.events()
                _ = try await reader.collect { $0.type == "status" }  // it is in place
                readers.append(reader)
            }
            let refused = try await server.get("/admin/events")
            #expect(refused.status == 503)
            #expect(refused.json["error"]?["code"]?.string == "overloaded")
            #expect(refused.headers["retry-after"] == "10")
            readers.removeAll()
            #expect(try await StreamTests.eventually { (try? await server.events()) .map { $0.head.contains("200 OK") } == true })
        }
    }

    @Test func theAdminKeyMayStandInTheAddressOfTheEventsOnly() async throws {
        var configuration = Configuration()
        configuration.adminKey = Secret("s3 cret")
        try await RunningServer.run(configuration: configuration) { server async throws in
            #expect(try await server.get("/admin/events").status == 403)
            #expect(try await server.get("/admin/events?admin_key=wrong").status == 403)
            for path in ["/admin/events?admin_key=s3%20cret", "/admin/events?since=0&x_admin_key=s3+cret"] {
                #expect(try await server.events(path).head.contains("200 OK"), "\(path)")
            }
            #expect(try await server.get("/admin/status?admin_key=s3%20cret").status == 403)
            #expect(try await server.events(headers: ["Authorization": "Bearer s3 cret"]).head.contains("200 OK"))
            #expect(!server.lines.all.contains { $0.contains("s3") })
        }
    }
}
