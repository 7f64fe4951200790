import API
import Foundation
import Engine
import TestSupport
import Testing
import Weights

@Suite struct StreamTests {
    /// Waits until `condition` holds, for five seconds at most.
    static func eventually(_ condition: @Sendable () async throws -> Bool) async throws -> Bool {
        for _ in 0..<250 {
            if try await condition() { return true }
            try await Task.sleep(for: .milliseconds(20))
        }
        return false
    }

    @Test(arguments: [true, false])
    func aClientThatLeavesEndsItsGeneration(_ streams: Bool) async throws {
        let script = Script(microsecondsPerStep: 5000, isEndless: true)
        try await RunningServer.run(script) { server in
            let socket = try await server.open("/v1/chat/completions", ChatTests.body(#""stream":\#(streams)"#), awaiting: streams ? 500 : 0)
            #expect(try await Self.eventually { server.engine.status().inFlight == 1 && script.steps > 0 })
            closeSocket(socket)
            #expect(try await Self.eventually { server.engine.status().inFlight == 0 })
            let steps = script.steps
            try await Task.sleep(for: .milliseconds(100))
            #expect(script.steps <= steps + 1)
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    @Test func aClientThatLeavesDuringALongPromptEndsIt() async throws {
        // 64 tokens per step: the prompt alone takes 25 steps.
        let script = Script(microsecondsForPrompt: 40_000)
        try await RunningServer.run(script) { server in
            let long = String(repeating: "x", count: 1600)
            let body = #"{"model":"tiny","messages":[{"role":"user","content":"\#(long)"}],"stream":true}"#
            let socket = try await server.open("/v1/chat/completions", body, awaiting: 1)
            closeSocket(socket)
            #expect(try await Self.eventually { server.engine.status().inFlight == 0 })
            #expect(script.steps < 20)
        }
    }

    @Test func silenceOnAStreamIsBrokenByComments() async throws {
        var configuration = Configuration()
        configuration.keepAlive = .milliseconds(50)
        try await RunningServer.run(Script(microsecondsForPrompt: 1_500_000), configuration: configuration) { server in
            let answer = try await server.post("/v1/chat/completions", ChatTests.body(#""stream":true,"max_tokens":3"#))
            let comments = answer.text.components(separatedBy: ": keep-alive\n\n").count - 1
            #expect(comments >= 2)
            #expect(answer.events.last == "[DONE]")
            #expect(answer.chunks.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }.joined() == "Hel")
        }
    }

    @Test func aStreamThatFailsEndsWithTheErrorInItsEnvelopeAndThenDone() async throws {
        try await RunningServer.run(Script(failsAfter: 4)) { server in
            let answer = try await server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#))
            #expect(answer.status == 200)
            #expect(answer.events.last == "[DONE]")
            let error = try #require(answer.chunks.last)
            #expect(error["error"]?["code"]?.string == "internal_error")
            #expect(error["error"]?["message"]?.string == "Internal server error")
            let text = answer.chunks.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }.joined()
            #expect(text == "Hell")
            let whole = try await server.post("/v1/chat/completions", ChatTests.body())
            #expect(whole.status == 500)
            #expect(whole.json["error"]?["type"]?.string == "internal_server_error")
        }
    }

    @Test func anUnloadEndsARunningStreamWithAnError() async throws {
        var configuration = Configuration()
        configuration.unloadGrace = .milliseconds(50)
        try await RunningServer.run(Script(microsecondsPerStep: 5000, isEndless: true), configuration: configuration) { server in
            async let stream = server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#))
            #expect(try await Self.eventually { server.engine.status().inFlight == 1 })
            #expect(try await server.post("/admin/models/unload", #"{"model_id":"tiny"}"#).status == 200)
            let answer = try await stream
            #expect(answer.chunks.last?["error"]?["code"]?.string == "no-model-loaded")
            #expect(answer.events.last == "[DONE]")
        }
    }

    @Test func sixteenStreamsAtOnceAreEachWhole() async throws {
        try await RunningServer.run(Script(microsecondsPerStep: 500)) { server in
            try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        let answer = try await server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#))
                        #expect(answer.events.last == "[DONE]")
                        return answer.chunks.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }.joined()
                    }
                }
                for try await text in group { #expect(text == "Hello, wörld 🙂!") }
            }
        }
    }

    @Test func noChunkHoldsHalfACharacter() async throws {
        try await RunningServer.run(Script("日本語 👩‍👩‍👧 é")) { server in
            let answer = try await server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#))
            #expect(!answer.text.contains("\u{FFFD}"))
            #expect(answer.chunks.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }.joined() == "日本語 👩‍👩‍👧 é")
        }
    }

    @Test func oneConnectionCarriesManyRequests() async throws {
        try await RunningServer.run { server in
            let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            let last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            let body = ChatTests.body(#""max_tokens":3"#)
            let chat = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            let answer = try await server.raw(get + chat + get + chat + last)
            #expect(answer.components(separatedBy: "HTTP/1.1 200 ").count - 1 == 5)
        }
    }

    @Test func aRefusedBodyDoesNotSpoilTheConnection() async throws {
        try await RunningServer.run { server in
            let bad = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{x}"
            let last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            let answer = try await server.raw(bad + last)
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
            #expect(answer.contains("HTTP/1.1 200 "))
        }
    }

    @Test func aClientThatAsksFirstIsToldToGoOn() async throws {
        try await RunningServer.run { server in
            let body = ChatTests.body(#""max_tokens":3"#)
            let answer = try await server.raw(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
                    + "Connection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            #expect(answer.hasPrefix("HTTP/1.1 100 Continue"))
            #expect(answer.contains("HTTP/1.1 200 "))
        }
    }
}
