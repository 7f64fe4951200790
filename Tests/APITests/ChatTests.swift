import API
import TestSupport
import Testing
import Weights

@Suite struct ChatTests {
    static func body(_ more: String = "", model: String = "tiny") -> String {
        #"{"model":"\#(model)","messages":[{"role":"user","content":"Hi"}],"temperature":0\#(more.isEmpty ? "" : ",")\#(more)}"#
    }

    @Test func aWholeAnswerHasTheDocumentedShape() async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/chat/completions", Self.body())
            #expect(answer.status == 200)
            let json = answer.json
            #expect(json.keys == ["id", "object", "created", "model", "choices", "usage"])
            #expect(json["id"]?.string?.hasPrefix("chatcmpl-") == true)
            #expect(json["id"]?.string?.count == 9 + 22)
            #expect(json["object"]?.string == "chat.completion")
            #expect(json["model"]?.string == "tiny")
            let choice = json["choices"]?[0]
            #expect(choice?["message"] == .object([
                "role": .string("assistant"), "content": .string("Hello, wörld 🙂!"), "tool_calls": .null,
            ]))
            #expect(choice?["finish_reason"]?.string == "stop")
            #expect(json["usage"]?["prompt_tokens"]?.int == 3)  // "Hi" and a line break, one token per byte
            let tokens = "Hello, wörld 🙂!".utf8.count + 1
            #expect(json["usage"]?["completion_tokens"]?.int == tokens)
            #expect(json["usage"]?["total_tokens"]?.int == tokens + 3)
        }
    }

    @Test func aStreamIsRoleThenTextThenFinishThenUsageThenDone() async throws {
        try await RunningServer.run { server in
            let answer = try await server.post(
                "/v1/chat/completions", Self.body(#""stream":true,"stream_options":{"include_usage":true}"#))
            #expect(answer.status == 200)
            #expect(answer.headers["content-type"]?.hasPrefix("text/event-stream") == true)
            #expect(answer.events.last == "[DONE]")
            let chunks = answer.chunks
            #expect(chunks.allSatisfy { $0["object"]?.string == "chat.completion.chunk" })
            #expect(Set(chunks.compactMap { $0["id"]?.string }).count == 1)

            let empty = JSONValue.object(["role": .null, "content": .null, "tool_calls": .null])
            #expect(chunks.first?["choices"]?[0]?["delta"] == .object([
                "role": .string("assistant"), "content": .string(""), "tool_calls": .null,
            ]))
            let usage = try #require(chunks.last)
            #expect(usage["choices"] == .array([]))
            #expect(usage["usage"]?["prompt_tokens"]?.int == 3)
            let finish = chunks[chunks.count - 2]
            #expect(finish["choices"]?[0]?["delta"] == empty)
            #expect(finish["choices"]?[0]?["finish_reason"]?.string == "stop")

            let texts = chunks.dropFirst().dropLast(2)
            #expect(texts.allSatisfy { $0["choices"]?[0]?["delta"]?["role"] == .null })
            #expect(texts.allSatisfy { $0["usage"] == .null })
            #expect(texts.allSatisfy { $0["choices"]?[0]?["finish_reason"] == .null })
            #expect(texts.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }.joined() == "Hello, wörld 🙂!")
        }
    }

    @Test func aStreamWithoutIncludeUsageHasNoUsageChunk() async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/chat/completions", Self.body(#""stream":true"#))
            #expect(answer.chunks.allSatisfy { $0["usage"] == .null && $0["choices"]?.count == 1 })
        }
    }

    @Test(arguments: ["max_tokens", "max_completion_tokens"])
    func aBoundOnTokensEndsWithLength(_ field: String) async throws {
        try await RunningServer.run { server in
            let whole = try await server.post("/v1/chat/completions", Self.body(#""\#(field)":5"#))
            #expect(whole.json["choices"]?[0]?["message"]?["content"]?.string == "Hello")
            #expect(whole.json["choices"]?[0]?["finish_reason"]?.string == "length")
            let stream = try await server.post("/v1/chat/completions", Self.body(#""\#(field)":5,"stream":true"#))
            #expect(stream.chunks.last?["choices"]?[0]?["finish_reason"]?.string == "length")
        }
    }

    @Test func aStopStringEndsTheAnswerAndIsNotPartOfIt() async throws {
        try await RunningServer.run { server in
            for stop in [#""wör""#, #"["nothing","wör"]"#] {
                let answer = try await server.post("/v1/chat/completions", Self.body(#""stop":\#(stop)"#))
                #expect(answer.json["choices"]?[0]?["message"]?["content"]?.string == "Hello, ")
                #expect(answer.json["choices"]?[0]?["finish_reason"]?.string == "stop")
            }
        }
    }

    @Test func severalChoicesShareOnePromptInTheUsage() async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/chat/completions", Self.body(#""n":3,"max_tokens":5,"seed":7"#))
            #expect(answer.json["choices"]?.count == 3)
            for index in 0..<3 { #expect(answer.json["choices"]?[index]?["index"]?.int == index) }
            #expect(answer.json["usage"]?["prompt_tokens"]?.int == 3)
            #expect(answer.json["usage"]?["completion_tokens"]?.int == 15)

            let stream = try await server.post("/v1/chat/completions", Self.body(#""n":3,"max_tokens":5,"stream":true"#))
            for index in 0..<3 {
                let mine = stream.chunks.compactMap { $0["choices"]?[0] }.filter { $0["index"]?.int == index }
                #expect(mine.compactMap { $0["delta"]?["content"]?.string }.joined() == "Hello")
                #expect(mine.last?["finish_reason"]?.string == "length")
            }
        }
    }

    @Test func logProbabilitiesComeWithTheirTokens() async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/chat/completions", Self.body(#""logprobs":true,"top_logprobs":2,"max_tokens":2"#))
            let content = answer.json["choices"]?[0]?["logprobs"]?["content"]
            #expect(content?.count == 2)
            #expect(content?[0]?["token"]?.string == "H")
            #expect(content?[0]?["bytes"] == .array([.int(72)]))
            #expect(content?[0]?["top_logprobs"]?.count == 2)
            let without = try await server.post("/v1/chat/completions", Self.body(#""max_tokens":2"#))
            #expect(without.json["choices"]?[0]?["logprobs"] == .null)
        }
    }

    @Test func partsOfTypeTextAreJoined() async throws {
        try await RunningServer.run { server in
            let answer = try await server.post(
                "/v1/chat/completions",
                #"{"model":"tiny","messages":[{"role":"user","content":[{"type":"text","text":"ab"},{"type":"text","text":"cd"}]}]}"#)
            #expect(answer.status == 200)
            #expect(answer.json["usage"]?["prompt_tokens"]?.int == 6)
        }
    }

    @Test func autoMeansTheModelLoadedLast() async throws {
        try await RunningServer.run(models: ["one", "org/two"]) { server in
            for name in ["auto", "default", "org/two"] {
                let answer = try await server.post("/v1/chat/completions", Self.body(model: name))
                #expect(answer.json["model"]?.string == "org/two")
            }
        }
    }

    @Test func aModelWithoutTemplateRefusesChatAndSaysWhy() async throws {
        try await RunningServer.run(template: nil) { server in
            let answer = try await server.post("/v1/chat/completions", Self.body())
            #expect(answer.status == 400)
            #expect(answer.json["error"]?["message"]?.string?.contains("no chat template") == true)
        }
    }

    @Test func aTemplateThatRaisesIsA400WithItsWords() async throws {
        try await RunningServer.run(template: "{{ raise_exception('roles must alternate') }}") { server in
            let answer = try await server.post("/v1/chat/completions", Self.body())
            #expect(answer.status == 400)
            #expect(answer.json["error"]?["message"]?.string?.contains("roles must alternate") == true)
            #expect(answer.json["error"]?["param"]?.string == "messages")
        }
    }

    @Test func aPromptBeyondTheContextIsRefusedWithBothNumbers() async throws {
        try await RunningServer.run { server in
            let long = String(repeating: "x", count: 3000)
            let answer = try await server.post(
                "/v1/chat/completions", #"{"model":"tiny","messages":[{"role":"user","content":"\#(long)"}]}"#)
            #expect(answer.status == 400)
            #expect(answer.json["error"]?["code"]?.string == "invalid-request")
            #expect(answer.json["error"]?["message"]?.string?.contains("3001") == true)
            #expect(answer.json["error"]?["message"]?.string?.contains("2048") == true)
        }
    }

    @Test func aRequestIsReportedToTheOperator() async throws {
        try await RunningServer.run { server in
            _ = try await server.post("/v1/chat/completions", Self.body(#""max_tokens":5"#))
            #expect(server.lines.all.contains { $0.hasPrefix("INFO:     Completion request model=tiny tokens=5 speed=") })
        }
    }
}
