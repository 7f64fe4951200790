import API
import Engine
import TestSupport
import Testing
import Weights

@Suite struct RefusalTests {
    /// A body, and the field that the answer has to name.
    static let badChats: [(String, String)] = [
        (#""temperature":-0.1"#, "temperature"), (#""temperature":2.5"#, "temperature"), (#""temperature":"hot""#, "temperature"),
        (#""temperature":1e400"#, ""), (#""top_p":1.5"#, "top_p"), (#""top_p":[]"#, "top_p"), (#""top_k":-2"#, "top_k"),
        (#""top_k":1.5"#, "top_k"), (#""min_p":2"#, "min_p"), (#""repetition_penalty":0"#, "repetition_penalty"),
        (#""presence_penalty":3"#, "presence_penalty"), (#""frequency_penalty":-2.01"#, "frequency_penalty"),
        (#""n":0"#, "n"), (#""n":17"#, "n"), (#""n":9223372036854775808"#, "n"), (#""n":true"#, "n"),
        (#""max_tokens":0"#, "max_tokens"), (#""max_tokens":-1"#, "max_tokens"), (#""max_tokens":1.5"#, "max_tokens"),
        (#""max_completion_tokens":"many""#, "max_completion_tokens"), (#""seed":1.5"#, "seed"), (#""seed":1e300"#, "seed"),
        (#""stream":"yes""#, "stream"), (#""stream":1"#, "stream"), (#""stream_options":{"include_usage":true}"#, "stream_options"),
        (#""stream":true,"stream_options":{"include_usage":1}"#, "stream_options.include_usage"),
        (#""stop":3"#, "stop"), (#""stop":[1]"#, "stop"), (#""stop":"""#, "stop"), (#""logprobs":3"#, "logprobs"),
        (#""top_logprobs":3"#, "top_logprobs"), (#""logprobs":true,"top_logprobs":21"#, "top_logprobs"),
        (#""logit_bias":[]"#, "logit_bias"), (#""logit_bias":{"x":1}"#, "logit_bias"), (#""logit_bias":{"1":101}"#, "logit_bias.1"),
        (#""logit_bias":{"-1":1}"#, "logit_bias"), (#""num_ctx":100"#, "num_ctx"),
        (#""response_format":{"type":"json_object"}"#, "response_format"), (#""response_format":"json""#, "response_format"),
        (#""tools":{}"#, "tools"), (#""tools":[1]"#, "tools[0]"), (#""tool_choice":"required""#, "tool_choice"),
        (#""tool_choice":{"type":"function","function":{"name":"f"}}"#, "tool_choice"), (#""functions":[]"#, "functions"),
        (#""grammar":"root ::= x""#, "grammar"), (#""guided_json":{}"#, "guided_json"), (#""chat_template":"x""#, "chat_template"),
        (#""chat_template_kwargs":{"messages":[]}"#, "chat_template_kwargs"), (#""modalities":["audio"]"#, "modalities"),
    ]

    @Test func everyNumberAndTypeOutOfItsRangeIsA400ThatNamesTheField() async throws {
        try await RunningServer.run { server in
            for (more, field) in Self.badChats {
                let answer = try await server.post("/v1/chat/completions", ChatTests.body(more).replacing(#""temperature":0,"#, with: ""))
                #expect(answer.status == 400, "\(more)")
                #expect(answer.json["error"]?["code"]?.string == "invalid-request", "\(more)")
                if !field.isEmpty {
                    #expect(answer.json["error"]?["param"]?.string == field, "\(more)")
                    #expect(answer.json["error"]?["message"]?.string?.hasPrefix(field) == true, "\(more)")
                }
            }
        }
    }

    @Test(arguments: [
        ("messages", #""x""#), ("messages", "[]"), ("messages", "null"), ("messages[0]", "[1]"),
        ("messages[0].role", #"[{"content":"x"}]"#), ("messages[0].role", #"[{"role":1,"content":"x"}]"#),
        ("messages[0].content", #"[{"role":"user"}]"#), ("messages[0].content", #"[{"role":"user","content":7}]"#),
        ("messages[0].content[0]", #"[{"role":"user","content":["x"]}]"#),
        ("messages[0].content[0].type", #"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]"#),
        ("messages[0].content[0].text", #"[{"role":"user","content":[{"type":"text"}]}]"#),
        ("messages[1].tool_calls[0].function", #"[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"1"}]}]"#),
    ])
    func aBadMessageIsNamedByItsPlace(_ field: String, _ messages: String) async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/chat/completions", #"{"model":"tiny","messages":\#(messages)}"#)
            #expect(answer.status == 400)
            #expect(answer.json["error"]?["param"]?.string == field)
        }
    }

    @Test func aMissingModelFieldIsNamed() async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/chat/completions", #"{"messages":[{"role":"user","content":"x"}]}"#)
            #expect(answer.status == 400)
            #expect(answer.json["error"]?["param"]?.string == "model")
        }
    }

    @Test func unknownFieldsAndNullsAreIgnored() async throws {
        try await RunningServer.run { server in
            let more = #""user":"u","metadata":{"a":[1]},"surprise":{"deep":[[1]]},"stop":null,"seed":null,"tools":null,"response_format":{"type":"text"},"tool_choice":"auto""#
            let answer = try await server.post("/v1/chat/completions", ChatTests.body(more))
            #expect(answer.status == 200)
        }
    }

    @Test(arguments: [
        #""prompt":5"#, #""prompt":[]"#, #""prompt":[1.5]"#, #""prompt":[-1]"#, #""prompt":[9000]"#, #""prompt":[true]"#, #""prompt":{}"#,
        #""prompt":"x","best_of":2"#, #""prompt":"x","logprobs":21"#, #""prompt":"x","logprobs":true"#, #""prompt":"x","suffix":1"#,
        #""prompt":"x","echo":1"#, #""prompt":"x","echo":true,"logprobs":1"#, #""prompt":"x","max_tokens":0"#, #""prompt":"""#,
        #""prompt":"x","response_format":{"type":"json_object"}"#, #""suffix":"x""#,
    ])
    func aBadCompletionIsA400(_ fields: String) async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/completions", #"{"model":"tiny",\#(fields)}"#)
            #expect(answer.status == 400, "\(answer.text)")
            #expect(answer.json["error"]?["type"]?.string == "invalid_request_error")
        }
    }

    @Test(arguments: [
        "", "{", "[]", "1", "null", #""x""#, #"{"model":"tiny""#, #"{"model":"tiny",}"#, "{'model':1}", "{\"model\":\"\u{1}\"}",
        #"{"model":"\ud800"}"#, #"{"a":NaN}"#, #"{"a":01}"#, #"{"model":"tiny","model":"tiny"}"#, "\u{FEFF}{}",
    ])
    func aBodyThatIsNoJSONObjectIsA400(_ body: String) async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/chat/completions", body)
            #expect(answer.status == 400, "\(answer.text)")
            #expect(answer.json["error"]?["code"]?.string == "invalid-request")
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    @Test func bytesThatAreNoTextAreA400() async throws {
        try await RunningServer.run { server in
            let body = Array(#"{"model":""#.utf8) + [0xFF, 0xFE] + Array(#""}"#.utf8)
            let answer = try await server.send(
                "POST", "/v1/chat/completions", body: body, headers: ["Content-Type": "application/json"])
            #expect(answer.status == 400)
        }
    }

    @Test(arguments: [("[", "]"), (#"{"a":"#, "}")])
    func deepNestingIsRefusedAndShallowIsNot(_ open: String, _ close: String) async throws {
        try await RunningServer.run { server in
            for (depth, status) in [(60, 200), (70, 400), (100_000, 400)] {
                let deep = String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth)
                let answer = try await server.post("/v1/chat/completions", ChatTests.body(#""unknown":\#(deep)"#))
                #expect(answer.status == status, "depth \(depth)")
            }
        }
    }

    @Test func aLargeBodyIsRefusedBeforeItIsRead() async throws {
        try await RunningServer.run { server in
            // Announced, and never sent.
            let announced = try await server.raw(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 8388609\r\n\r\n")
            #expect(announced.hasPrefix("HTTP/1.1 413 "))
            #expect(announced.contains("request_too_large"))
            #expect(announced.lowercased().contains("connection: close"))
            // Sent in chunks that do not say how many come.
            let piece = String(repeating: "x", count: 1 << 20)
            let chunk = "100000\r\n\(piece)\r\n"
            let chunked = try await server.raw(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + String(repeating: chunk, count: 9))
            #expect(chunked.hasPrefix("HTTP/1.1 413 "))
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    @Test func aBodyOfTheLargestSizeIsRead() async throws {
        try await RunningServer.run { server in
            let filler = String(repeating: "x", count: (8 << 20) - ChatTests.body(#""f":"""#).utf8.count)
            let answer = try await server.post("/v1/chat/completions", ChatTests.body(#""f":"\#(filler)""#))
            #expect(answer.status == 200)
        }
    }

    @Test(arguments: ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
    func aBodyThatIsNotDeclaredJSONIsA415(_ type: String) async throws {
        try await RunningServer.run { server in
            let answer = try await server.send(
                "POST", "/v1/chat/completions", body: Array(ChatTests.body().utf8), headers: type.isEmpty ? [:] : ["Content-Type": type])
            #expect(answer.status == 415)
            #expect(answer.json["error"]?["code"]?.string == "unsupported_media_type")
        }
    }

    @Test func aTypeWithParametersIsStillJSON() async throws {
        try await RunningServer.run { server in
            let answer = try await server.post(
                "/v1/chat/completions", ChatTests.body(), headers: ["Content-Type": "Application/JSON; charset=utf-8"])
            #expect(answer.status == 200)
        }
    }

    @Test func unknownPathsAndMethodsAreRefusedInTheEnvelope() async throws {
        try await RunningServer.run { server in
            for path in ["/v1", "/v1/nothing", "/healthz/", "/v1/models/", "/v1/models/%zz", "/v1/models/%00"] {
                let answer = try await server.get(path)
                #expect(answer.status == 404, "\(path)")
                #expect(answer.json["error"]?["code"]?.string == "not_found")
                #expect(answer.json["detail"]?.string?.hasPrefix("Not Found") == true)
            }
            for (method, path, allow) in [("GET", "/v1/chat/completions", "POST"), ("DELETE", "/healthz", "GET"), ("PATCH", "/admin/models", "GET")] {
                let answer = try await server.send(method, path)
                #expect(answer.status == 405, "\(path)")
                #expect(answer.headers["allow"] == allow)
                #expect(answer.json["error"]?["code"]?.string == "method_not_allowed")
            }
        }
    }

    @Test func aLongAddressIsA414() async throws {
        try await RunningServer.run { server in
            let answer = try await server.get("/v1/models/" + String(repeating: "x", count: 9000))
            #expect(answer.status == 414)
        }
    }

    @Test func tooManyHeaderFieldsAreRefused() async throws {
        try await RunningServer.run { server in
            let fields = (0..<1100).map { "X-\($0): y\r\n" }.joined()
            let answer = try await server.raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\(fields)\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
            let large = try await server.raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: \(String(repeating: "y", count: 100_000))\r\n\r\n")
            #expect(large.hasPrefix("HTTP/1.1 400 "))
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    @Test func whatIsNoHTTPIsRefused() async throws {
        try await RunningServer.run { server in
            let answer = try await server.raw("hello\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    @Test(arguments: [
        #""max_context_length":100"#, #""performance_overrides":{"kv_bits":8}"#, #""keep_alive_sec":-1"#,
        #""backend":"tensorrt""#, #""backend":"mlx""#, #""auto_download":"yes""#,
    ])
    func aLoadRefusesWhatItDoesNotHonour(_ field: String) async throws {
        try await RunningServer.run(models: [], disk: ["one"]) { server in
            let answer = try await server.post("/admin/models/load", #"{"model_id":"one",\#(field)}"#)
            #expect(answer.status == 400, "\(answer.text)")
            #expect(answer.json["error"]?["param"]?.string.map { field.contains($0) } == true)
        }
    }

    @Test func aFullQueueIsA429WithARetryTime() async throws {
        let script = Script(microsecondsPerStep: 20_000, isEndless: true)
        var options = EngineOptions()
        options.parallel = 1
        options.queue = 1
        try await RunningServer.run(script, options: options) { server in
            var sockets: [Int32] = []
            for _ in 0..<2 {
                sockets.append(try await server.open("/v1/chat/completions", ChatTests.body(#""stream":true"#), awaiting: 1))
            }
            let answer = try await server.post("/v1/chat/completions", ChatTests.body())
            #expect(answer.status == 429)
            #expect(answer.headers["retry-after"] == "5")
            #expect(answer.json["error"]?["code"]?.string == "rate_limit_exceeded")
            #expect(answer.json["code"]?.string == "rate_limited")
            let many = try await server.post("/v1/chat/completions", ChatTests.body(#""n":16"#))
            #expect(many.status == 429)
            for socket in sockets { closeSocket(socket) }
        }
    }
}
