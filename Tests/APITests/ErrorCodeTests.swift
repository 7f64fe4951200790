import API
import Engine
import TestSupport
import Testing
import Weights

/// The documented codes, each by what really causes it, over every way in; and one envelope for every refusal.
@Suite struct ErrorCodeTests {
    /// What the envelope of an answer says: status, `error.code`, `code`.
    struct Refusal: Equatable, CustomStringConvertible {
        var status: Int
        var code: String?
        var clientCode: String?
        var description: String { "\(status) \(code ?? "–") \(clientCode ?? "–")" }

        init(_ status: Int, _ code: String, _ clientCode: String) {
            self.status = status
            self.code = code
            self.clientCode = clientCode
        }

        init(_ answer: LoopbackClient.Answer) {
            status = answer.status
            code = answer.json["error"]?["code"]?.string
            clientCode = answer.json["code"]?.string
        }
    }

    static func isEnvelope(_ value: JSONValue) -> Bool {
        let required = ["message", "type", "param", "code"]
        guard let error = value["error"], Set(value.keys) == ["error", "code", "detail"] else { return false }
        return Set(required).isSubset(of: error.keys) && Set(error.keys).isSubset(of: required + ["lmx_code"])
            && error["message"]?.string?.isEmpty == false && error["type"]?.string != nil && value["detail"] == error["message"]
    }

    /// The same chat whole, as a stream and on a socket, and the raw completion.
    static func everyWay(_ server: RunningServer, model: String = "tiny") async throws -> [Refusal] {
        let whole = try await server.post("/v1/chat/completions", ChatTests.body(model: model))
        let raw = try await server.post("/v1/completions", #"{"model":"\#(model)","prompt":"x"}"#)
        let stream = try await server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#, model: model))
        let socket = try await server.socket()
        try socket.send(SocketTests.request().replacing("tiny", with: model))
        let message = try await socket.messages { $0.type == "chat.error" }.last
        let over = Refusal(message?["status"]?.int ?? 0, message?["code"]?.string ?? "", Refusal(whole).clientCode ?? "")
        return [Refusal(whole), Refusal(raw), Refusal(stream), over]
    }

    @Test func withoutAnyModelItIsNoModelLoaded() async throws {
        try await RunningServer.run(models: []) { server in
            let refusals = try await Self.everyWay(server)
            #expect(refusals.allSatisfy { $0 == Refusal(503, "no-model-loaded", "server_error") }, "\(refusals)")
            let ready = try await server.get("/readyz")
            #expect(ready.status == 503 && ready.json["error"]?.string == "no-model-loaded")
        }
    }

    @Test func anUnknownNameBesideALoadedModelIsModelNotFound() async throws {
        try await RunningServer.run { server in
            let refusals = try await Self.everyWay(server, model: "nobody")
            #expect(refusals.allSatisfy { $0 == Refusal(404, "model-not-found", "not_found") }, "\(refusals)")
            #expect(Refusal(try await server.get("/v1/models/nobody")) == Refusal(404, "model-not-found", "not_found"))
            for path in ["load", "unload", "probe"] {
                let answer = try await server.post("/admin/models/\(path)", #"{"model_id":"nobody"}"#)
                #expect(Refusal(answer) == Refusal(404, "model-not-found", "not_found"), "\(path)")
            }
        }
    }

    @Test func aBadFieldIsInvalidRequest() async throws {
        try await RunningServer.run { server async throws in
            let bodies = ["/v1/chat/completions", "/v1/completions", "/admin/models/load", "/admin/models/probe", "/admin/benchmark", "/admin/quantize"]
            for path in bodies {
                for body in ["", "{", "[]", "{}", #"{"model":7,"model_id":7,"source_model":7}"#] {
                    #expect(Refusal(try await server.post(path, body)) == Refusal(400, "invalid-request", "invalid_request"), "\(path) \(body)")
                }
            }
        }
    }

    @Test func anAnswerThatTakesLongerThanItMayIsATimeout() async throws {
        var configuration = Configuration()
        configuration.answerTime = .milliseconds(150)
        let script = Script(microsecondsPerStep: 5000, isEndless: true)
        try await RunningServer.run(script, configuration: configuration) { server in
            let whole = try await server.post("/v1/chat/completions", ChatTests.body())
            #expect(Refusal(whole) == Refusal(504, "lmx-timeout", "timeout"))
            #expect(whole.json["error"]?["message"]?.string?.contains("timed out") == true)
            let stream = try await server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#))
            #expect(stream.status == 200 && stream.events.last == "[DONE]")
            #expect(stream.chunks.last?["error"]?["code"]?.string == "lmx-timeout" && stream.chunks.count > 3)
            let socket = try await server.socket()
            try socket.send(SocketTests.request())
            #expect(try await socket.messages { $0.type == "chat.error" }.last?["code"]?.string == "lmx-timeout")
            #expect(try await StreamTests.eventually { server.engine.status().inFlight == 0 })
            #expect(try await server.get("/admin/diagnostics").json["recent_errors"]?[0]?["category"]?.string == "lmx-timeout")
        }
    }

    @Test func memoryThatRunsOutUnderAnAnswerIsOOMUnloaded() async throws {
        let gauge = MemoryTests.Gauge(50)
        let script = Script(microsecondsPerStep: 5000, isEndless: true)
        try await RunningServer.run(script, configuration: EventTests.quick, memory: { gauge.memory }) { server in
            let socket = try await server.socket()
            try socket.send(SocketTests.request())
            async let whole = server.post("/v1/chat/completions", ChatTests.body())
            async let stream = server.post("/v1/chat/completions", ChatTests.body(#""stream":true"#))
            #expect(try await StreamTests.eventually { server.engine.status().inFlight == 3 })
            gauge.set(95)
            let refused = Refusal(try await whole)
            #expect(refused == Refusal(503, "oom-unloaded", "server_error"))
            let error = try await stream.chunks.last
            #expect(error?["error"]?["code"]?.string == "oom-unloaded")
            #expect(try await socket.messages { $0.type == "chat.error" }.last?["code"]?.string == "oom-unloaded")
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    // MARK: The envelope

    @Test func everyRefusalHasTheSameEnvelope() async throws {
        var configuration = Configuration()
        configuration.adminKey = Secret("admin")
        configuration.clientKey = Secret("client")
        try await RunningServer.run(configuration: configuration) { server in
            let json = ["Content-Type": "application/json"]
            let open = ["X-Admin-Key": "admin"]
            let cases: [(String, String, String?, [String: String], Refusal)] = [
                ("GET", "/nowhere", nil, open, Refusal(404, "not_found", "not_found")),
                ("GET", "/v1/", nil, open, Refusal(404, "not_found", "not_found")),
                ("POST", "/v1/nothing", "{}", json, Refusal(404, "not_found", "not_found")),
                ("GET", "/v1/chat/completions", nil, open, Refusal(405, "method_not_allowed", "invalid_request")),
                ("POST", "/healthz", "{}", json, Refusal(405, "method_not_allowed", "invalid_request")),
                ("PUT", "/v1/models", "{}", json, Refusal(405, "method_not_allowed", "invalid_request")),
                ("PATCH", "/v1/models", nil, [:], Refusal(405, "method_not_allowed", "invalid_request")),
                ("POST", "/v1/chat/completions", "{}", open, Refusal(415, "unsupported_media_type", "invalid_request")),
                ("POST", "/v1/chat/completions", "{", open.merging(json) { $1 }, Refusal(400, "invalid-request", "invalid_request")),
                ("GET", "/v1/models", nil, [:], Refusal(401, "invalid_api_key", "unauthorized")),
                ("GET", "/admin/models", nil, [:], Refusal(403, "invalid_admin_key", "unauthorized")),
                ("GET", "/healthz", nil, ["Host": "evil.example"], Refusal(403, "forbidden_host", "unauthorized")),
                ("GET", "/healthz", nil, ["Origin": "http://evil.example"], Refusal(403, "forbidden_origin", "unauthorized")),
                ("GET", "/" + String(repeating: "x", count: 9000), nil, [:], Refusal(414, "uri_too_long", "invalid_request")),
                ("GET", "/v1/chat/stream", nil, open, Refusal(426, "upgrade_required", "invalid_request")),
                ("DELETE", "/admin/models/tiny", nil, open, Refusal(403, "delete_disabled", "unauthorized")),
                ("GET", "/admin/models/nobody/performance", nil, open, Refusal(404, "model-not-found", "not_found")),
            ]
            for (method, path, body, headers, expected) in cases {
                let answer = try await server.send(method, path, body: body.map { Array($0.utf8) }, headers: headers)
                #expect(Refusal(answer) == expected, "\(method) \(path.prefix(40))")
                #expect(Self.isEnvelope(answer.json), "\(method) \(path.prefix(40)): \(answer.text)")
                #expect(answer.headers["content-type"] == "application/json" && answer.headers["x-request-id"] != nil)
            }
        }
    }
}
