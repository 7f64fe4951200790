import API
import Engine
import TestSupport
import Testing
import Weights

/// Chats over the WebSocket, in both dialects.
@Suite struct SocketTests {
    static func request(_ more: String = "", text: String = "hi") -> String {
        let extra = more.isEmpty ? "" : "," + more
        return #"{"type":"chat.request","model":"tiny","messages":[{"role":"user","content":"\#(text)"}],"temperature":0\#(extra)}"#
    }

    static func plain(_ more: String = "", text: String = "hi") -> String {
        let extra = more.isEmpty ? "" : "," + more
        return #"{"model":"tiny","messages":[{"role":"user","content":"\#(text)"}],"temperature":0\#(extra)}"#
    }

    @Test func theHandshakeIsTheOneOfTheStandard() async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket(headers: ["X-Request-ID": "mine"])
            #expect(socket.status == 101)
            #expect(socket.headers["sec-websocket-accept"] == SocketClient.acceptance)
            #expect(socket.headers["upgrade"]?.lowercased() == "websocket")
            #expect(socket.headers["connection"]?.lowercased() == "upgrade")
            #expect(socket.headers["x-request-id"] == "mine")
            #expect(socket.headers["sec-websocket-extensions"] == nil)
        }
    }

    @Test func aChatIsStreamedInTheTypedDialect() async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket()
            try socket.send(Self.request())
            let messages = try await socket.messages { $0.type == "chat.done" }
            let id = try #require(messages.first?["request_id"]?.string)
            #expect(id.hasPrefix("chatcmpl-"))
            #expect(messages.allSatisfy { $0["request_id"]?.string == id })
            #expect(messages.first?.type == "chat.started")
            #expect(messages.filter { $0.type == "chat.token" }.compactMap { $0["content"]?.string }.joined() == "Hello, wörld 🙂!")
            let done = try #require(messages.last)
            #expect(done["finish_reason"]?.string == "stop")
            #expect(done["model"]?.string == "tiny")
            let usage = try #require(done["usage"])
            #expect((usage["prompt_tokens"]?.int ?? 0) > 0 && (usage["completion_tokens"]?.int ?? 0) > 0)
            #expect(usage["total_tokens"]?.int == (usage["prompt_tokens"]?.int ?? 0) + (usage["completion_tokens"]?.int ?? 0))
        }
    }

    @Test func aChatIsStreamedInThePlainDialect() async throws {
        try await RunningServer.run(Script(microsecondsPerStep: 1000)) { server in
            let socket = try await server.socket()
            try socket.send(Self.plain())
            let messages = try await socket.messages { $0["done"]?.bool == true }
            #expect(messages.dropLast().allSatisfy { $0.keys == ["token"] })
            #expect(messages.compactMap { $0["token"]?.string }.joined() == "Hello, wörld 🙂!")
            #expect((messages.last?["stats"]?["tokens_per_second"]?.number ?? 0) > 0)
            #expect(messages.last?.type == nil)
        }
    }

    @Test func aWholeAnswerComesWithItsEnd() async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket()
            try socket.send(Self.request(#""stream":false,"logprobs":true"#))
            let typed = try await socket.messages { $0.type == "chat.done" }
            #expect(typed.map(\.type) == ["chat.started", "chat.done"])
            #expect(typed.last?["content"]?.string == "Hello, wörld 🙂!")
            #expect(typed.last?["logprobs"]?["content"]?.count ?? 0 > 10)
            try socket.send(Self.plain(#""stream":false"#))
            #expect(try await socket.message()["content"]?.string == "Hello, wörld 🙂!")
        }
    }

    @Test func anAnswerThatIsCutSaysLength() async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket()
            try socket.send(Self.request(#""max_tokens":3"#))
            let messages = try await socket.messages { $0.type == "chat.done" }
            #expect(messages.last?["finish_reason"]?.string == "length")
            #expect(messages.last?["usage"]?["completion_tokens"]?.int == 3)
        }
    }

    @Test func requestsOfOneSocketRunSideBySide() async throws {
        try await RunningServer.run(Script(microsecondsPerStep: 2000)) { server in
            let socket = try await server.socket()
            let ids = (0..<8).map { "request-\($0)" }
            for id in ids { try socket.send(Self.request(#""request_id":"\#(id)""#)) }
            var texts: [String: String] = [:]
            var ended: [String] = []
            var order: [String] = []
            while ended.count < ids.count {
                let message = try await socket.message()
                let id = message["request_id"]?.string ?? ""
                texts[id, default: ""] += message["content"]?.string ?? ""
                if message.type == "chat.token" { order.append(id) }
                if message.type == "chat.done" { ended.append(id) }
            }
            #expect(ids.allSatisfy { texts[$0] == "Hello, wörld 🙂!" })
            #expect(order != order.sorted(), "one after another")
        }
    }

    @Test func plainRequestsAreAnsweredInTurn() async throws {
        try await RunningServer.run(Script("abc", microsecondsPerStep: 1000)) { server in
            let socket = try await server.socket()
            for _ in 0..<3 { try socket.send(Self.plain()) }
            var text = ""
            for _ in 0..<3 {
                for message in try await socket.messages(until: { $0["done"] != nil }) { text += message["token"]?.string ?? "|" }
            }
            #expect(text == "abc|abc|abc|")
        }
    }

    @Test(arguments: [true, false])
    func aCancelledRequestEndsAndSaysWhatItUsed(_ streams: Bool) async throws {
        let script = Script(microsecondsPerStep: 2000, isEndless: true)
        try await RunningServer.run(script) { server in
            let socket = try await server.socket()
            try socket.send(Self.request(#""request_id":"one","stream":\#(streams)"#))
            try socket.send(Self.request(#""request_id":"two""#))
            #expect(try await StreamTests.eventually { server.engine.status().inFlight == 2 && script.steps > 10 })
            try socket.send(#"{"type":"chat.cancel","request_id":"one"}"#)
            let messages = try await socket.messages { $0.type == "chat.done" }
            #expect(messages.last?["request_id"]?.string == "one")
            #expect(messages.last?["finish_reason"]?.string == "cancelled")
            #expect((messages.last?["usage"]?["completion_tokens"]?.int ?? 0) > 0)
            #expect(try await StreamTests.eventually { server.engine.status().inFlight == 1 })
            try socket.send(#"{"type":"chat.cancel"}"#)
            #expect(try await socket.messages { $0.type == "chat.done" }.last?["request_id"]?.string == "two")
            #expect(try await StreamTests.eventually { server.engine.status().inFlight == 0 })
            try socket.send(#"{"type":"chat.cancel","request_id":"one"}"#)
            let late = try await socket.message()
            #expect(late.type == "chat.error" && late["request_id"]?.string == "one")
        }
    }

    @Test func aPromptThatTakesLongIsAccompaniedBySignsOfLife() async throws {
        var configuration = Configuration()
        configuration.keepAlive = .milliseconds(50)
        try await RunningServer.run(Script("x", microsecondsForPrompt: 600_000), configuration: configuration) { server in
            let socket = try await server.socket()
            try socket.send(Self.request())
            let typed = try await socket.messages { $0.type == "chat.done" }
            #expect(typed.count { $0.type == "chat.keepalive" && $0["request_id"]?.string != nil } >= 3)
            try socket.send(Self.plain(text: "another"))
            let plain = try await socket.messages { $0["done"] != nil }
            #expect(plain.count { $0["token"]?.string == "" } >= 3)
        }
    }

    @Test(arguments: ["close", "half", "frame"])
    func aClientThatLeavesEndsItsGenerations(_ manner: String) async throws {
        let script = Script(microsecondsPerStep: 3000, isEndless: true)
        try await RunningServer.run(script) { server in
            var socket: SocketClient? = try await server.socket()
            for _ in 0..<3 { try socket?.send(Self.request()) }
            #expect(try await StreamTests.eventually { server.engine.status().inFlight == 3 && script.steps > 3 })
            switch manner {
            case "half": socket?.halfClose()
            case "frame": try socket?.send(opcode: 8, [0x03, 0xE8])
            default: socket = nil
            }
            #expect(try await StreamTests.eventually { server.engine.status().inFlight == 0 })
            #expect(try await server.get("/healthz").status == 200)
            _ = socket
        }
    }

    @Test func errorsComeWithTheirCodeAndTheSocketLivesOn() async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket()
            let cases: [(String, String, Int)] = [
                (Self.request().replacing("tiny", with: "nobody"), "model-not-found", 404),
                (Self.request(#""temperature":3"#).replacing(#""temperature":0,"#, with: ""), "invalid-request", 400),
                (Self.request(#""n":2"#), "invalid-request", 400),
                (Self.request(#""request_id":3"#), "invalid-request", 400),
                (#"{"type":"chat.request","model":"tiny"}"#, "invalid-request", 400),
                (#"{"type":"chat.request","messages":[]}"#, "invalid-request", 400),
                (#"{"type":"chat.cancel","request_id":"nobody"}"#, "invalid-request", 400),
                (#"{"type":"chat.sing"}"#, "invalid-request", 400), (#"{"type":7}"#, "invalid-request", 400),
                ("{}", "invalid-request", 400), ("[]", "invalid-request", 400), ("", "invalid-request", 400), ("{", "invalid-request", 400),
                (String(repeating: "[", count: 100_000), "invalid-request", 400), ("\"\\ud800\"", "invalid-request", 400),
            ]
            for (text, code, status) in cases {
                try socket.send(text)
                let error = try await socket.message()
                #expect(error.type == "chat.error" && error["code"]?.string == code && error["status"]?.int == status, "\(text.prefix(60)): \(error)")
                #expect(error["error"]?.string?.isEmpty == false)
                #expect(error.keys.contains("request_id"))
            }
            try socket.send(#"{"type":"chat.sing"}"#)
            #expect(try await socket.message()["error"]?.string == "Unknown message type: chat.sing")
            try socket.send(Self.request(#""request_id":"r""#).replacing("tiny", with: "nobody"))
            let unknown = try await socket.message()
            #expect(unknown["error"]?.string == "Model 'nobody' is not loaded" && unknown["request_id"]?.string == "r")

            try socket.send(Self.plain().replacing("tiny", with: "nobody"))
            let plain = try await socket.message()
            #expect(plain["error"]?["code"]?.string == "model-not-found" && plain["error"]?["message"]?.string != nil)

            try socket.send(Self.request())
            #expect(try await socket.messages { $0.type == "chat.done" }.last?["finish_reason"]?.string == "stop")
        }
    }

    @Test func withoutAModelAndWhenOneFailsTheClientIsTold() async throws {
        try await RunningServer.run(models: []) { server in
            let socket = try await server.socket()
            try socket.send(Self.request())
            let error = try await socket.message()
            #expect(error["code"]?.string == "no-model-loaded" && error["error"]?.string?.contains("No model loaded") == true)
        }
        try await RunningServer.run(Script(failsAfter: 3)) { server in
            let socket = try await server.socket()
            try socket.send(Self.request())
            let messages = try await socket.messages { $0.type == "chat.error" }
            #expect(messages.last?["code"]?.string == "internal_error")
            #expect(try await server.get("/admin/metrics/json").json["total_errors"]?.int == 1)
        }
    }

    @Test func theSameIdTwiceAndTooManyAtOnceAreRefused() async throws {
        var options = EngineOptions()
        options.queue = 100
        try await RunningServer.run(Script(microsecondsPerStep: 5000, isEndless: true), options: options) { server in
            let socket = try await server.socket()
            try socket.send(Self.request(#""request_id":"same""#))
            try socket.send(Self.request(#""request_id":"same""#))
            #expect(try await socket.messages { $0.type == "chat.error" }.last?["request_id"]?.string == "same")
            for _ in 0..<64 { try socket.send(Self.request()) }
            #expect(try await socket.messages { $0.type == "chat.error" }.last?["code"]?.string == "rate_limit_exceeded")
        }
    }

    @Test func everythingIsCounted() async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket(headers: ["X-Client-ID": "daemon"])
            try socket.send(Self.request())
            _ = try await socket.messages { $0.type == "chat.done" }
            let figures = try await server.get("/admin/metrics/json").json
            #expect(figures["total_requests"]?.int == 1 && figures["total_stream_requests"]?.int == 1)
            #expect(figures["per_client"]?["daemon"]?["requests"]?.int == 1)
            #expect(server.lines.all.contains { $0.contains("Completion request model=tiny") })
        }
    }
}

extension JSONValue {
    var type: String? { self["type"]?.string }
}

extension RunningServer {
    func socket(_ path: String = "/v1/chat/stream", headers: [String: String] = [:]) async throws -> SocketClient {
        try await blocking { try SocketClient(client, path: path, headers: headers) }
    }
}

extension SocketClient {
    /// The next message; throws when there is none.
    func message() async throws -> JSONValue {
        let frame = try await frame()
        guard frame.opcode == 1, frame.isLast else { throw ClientFailure(description: "no text but \(frame.opcode), \(frame.code ?? 0)") }
        return try JSONValue.parse(frame.payload)
    }

    func frame() async throws -> Frame {
        guard let frame = try await blocking({ try self.next() }) else { throw ClientFailure(description: "the socket ended") }
        return frame
    }

    /// Messages up to and with the first that `condition` holds for.
    func messages(until condition: (JSONValue) -> Bool) async throws -> [JSONValue] {
        var messages: [JSONValue] = []
        while true {
            let message = try await message()
            messages.append(message)
            if condition(message) { return messages }
            if messages.count > 5000 { throw ClientFailure(description: "5000 messages and not the one") }
        }
    }
}
