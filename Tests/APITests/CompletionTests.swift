import API
import TestSupport
import Testing
import Weights

@Suite struct CompletionTests {
    static func body(_ more: String = "", prompt: String = #""abc""#) -> String {
        #"{"model":"tiny","prompt":\#(prompt),"temperature":0\#(more.isEmpty ? "" : ",")\#(more)}"#
    }

    @Test func aWholeAnswerHasTheDocumentedShapeAndNoTemplate() async throws {
        try await RunningServer.run(template: nil) { server in
            let answer = try await server.post("/v1/completions", Self.body())
            #expect(answer.status == 200)
            #expect(answer.json.keys == ["id", "object", "created", "model", "choices", "usage"])
            #expect(answer.json["id"]?.string?.hasPrefix("cmpl-") == true)
            #expect(answer.json["object"]?.string == "text_completion")
            let expected: JSONValue = .object([
                "text": .string("Hello, wörld 🙂!"), "index": .int(0), "logprobs": .null, "finish_reason": .string("stop"),
            ])
            #expect(answer.json["choices"]?[0] == expected)
            #expect(answer.json["usage"]?["prompt_tokens"]?.int == 3)
        }
    }

    @Test func aStreamBeginsEmptyAndEndsWithTheSuffix() async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/completions", Self.body(#""stream":true,"max_tokens":5,"suffix":"~""#))
            let choices = answer.chunks.compactMap { $0["choices"]?[0] }
            #expect(choices.first?["text"]?.string == "")
            #expect(choices.last?["text"]?.string == "~")
            #expect(choices.last?["finish_reason"]?.string == "length")
            #expect(choices.compactMap { $0["text"]?.string }.joined() == "Hello~")
            #expect(answer.events.last == "[DONE]")
        }
    }

    @Test func echoPutsThePromptBeforeTheAnswer() async throws {
        try await RunningServer.run { server in
            let whole = try await server.post("/v1/completions", Self.body(#""echo":true,"max_tokens":5"#))
            #expect(whole.json["choices"]?[0]?["text"]?.string == "abcHello")
            let stream = try await server.post("/v1/completions", Self.body(#""echo":true,"max_tokens":5,"stream":true"#))
            #expect(stream.chunks.first?["choices"]?[0]?["text"]?.string == "abc")
            let none = try await server.post("/v1/completions", Self.body(#""echo":true,"max_tokens":0"#))
            #expect(none.json["choices"]?[0]?["text"]?.string == "abc")
            #expect(none.json["usage"]?["completion_tokens"]?.int == 0)
        }
    }

    @Test func promptsMayBeManyAndMayBeTokens() async throws {
        try await RunningServer.run { server in
            let many = try await server.post("/v1/completions", Self.body(#""n":2,"max_tokens":5"#, prompt: #"["a","bc"]"#))
            #expect(many.json["choices"]?.count == 4)
            #expect(many.json["usage"]?["prompt_tokens"]?.int == 3)
            for prompt in ["[97,98,99]", "[[97,98,99]]"] {
                let tokens = try await server.post("/v1/completions", Self.body(#""echo":true,"max_tokens":5"#, prompt: prompt))
                #expect(tokens.json["choices"]?[0]?["text"]?.string == "abcHello")
            }
        }
    }

    @Test func logProbabilitiesAreParallelLists() async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/completions", Self.body(#""logprobs":2,"max_tokens":3"#))
            #expect(answer.status == 200)
            let logprobs = answer.json["choices"]?[0]?["logprobs"]
            #expect(logprobs?["tokens"] == .array([.string("H"), .string("e"), .string("l")]))
            #expect(logprobs?["text_offset"] == .array([.int(0), .int(1), .int(2)]))
            #expect(logprobs?["token_logprobs"]?.count == 3)
            #expect(logprobs?["top_logprobs"]?[0]?.keys == ["H", "z"])
        }
    }
}
