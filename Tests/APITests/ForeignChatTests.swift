import API
import Engine
import TestSupport
import Testing
import Weights

/// Chats in the forms of other protocols.
@Suite struct ForeignChatTests {
    // MARK: /v1/messages

    @Test func aMessageIsAnsweredInItsForm() async throws {
        try await RunningServer.run { server in
            let body = #"{"model":"tiny","max_tokens":100,"system":"Be brief.","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#
            let answer = try await server.post("/v1/messages", body).json
            #expect(answer["type"]?.string == "message" && answer["role"]?.string == "assistant" && answer["model"]?.string == "tiny")
            #expect(answer["id"]?.string?.hasPrefix("msg_") == true)
            #expect(answer["content"]?[0]?["type"]?.string == "text" && answer["content"]?[0]?["text"]?.string == "Hello, wörld 🙂!")
            #expect(answer["stop_reason"]?.string == "end_turn" && answer["stop_sequence"] == .null)
            #expect(answer["usage"]?["input_tokens"]?.int == "Be brief.\nhi\n".utf8.count)
            let cut = try await server.post("/v1/messages", body.replacing("100", with: "3")).json
            #expect(cut["stop_reason"]?.string == "max_tokens" && cut["usage"]?["output_tokens"]?.int == 3)
            let stopped = try await server.post("/v1/messages", body.replacing(#""max_tokens""#, with: #""stop_sequences":["wör"],"max_tokens""#)).json
            #expect(stopped["content"]?[0]?["text"]?.string == "Hello, ")
        }
    }

    @Test func aMessageIsStreamedAsItsEvents() async throws {
        try await RunningServer.run { server in
            let body = #"{"model":"tiny","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#
            let answer = try await server.post("/v1/messages", body)
            let names = answer.text.split(separator: "\n").filter { $0.hasPrefix("event: ") }.map { String($0.dropFirst(7)) }
            #expect(names.prefix(2) == ["message_start", "content_block_start"])
            #expect(names.suffix(3) == ["content_block_stop", "message_delta", "message_stop"])
            let events = answer.text.split(separator: "\n").filter { $0.hasPrefix("data: ") }.map { (try? JSONValue.parse(String($0.dropFirst(6)))) ?? .null }
            #expect(events.map { $0["type"]?.string ?? "" } == names)
            #expect(events.compactMap { $0["delta"]?["text"]?.string }.joined() == "Hello, wörld 🙂!")
            #expect(events.dropLast().last?["delta"]?["stop_reason"]?.string == "end_turn")
        }
    }

    @Test func aRefusalHasTheTypeThatTheFormWants() async throws {
        try await RunningServer.run { server in
            for (fields, status, code) in [
                (#""model":"nobody","messages":[{"role":"user","content":"x"}]"#, 404, "model-not-found"),
                (#""model":"tiny""#, 400, "invalid-request"), (#""model":"tiny","messages":[]"#, 400, "invalid-request"),
                (#""model":"tiny","messages":[{"role":"user","content":"x"}],"temperature":1.5"#, 400, "invalid-request"),
                (#""model":"tiny","messages":[{"role":"user","content":"x"}],"tools":[{"name":"t"}]"#, 400, "invalid-request"),
                (#""model":"tiny","messages":[{"role":"user","content":[{"type":"image"}]}]"#, 400, "invalid-request"),
            ] {
                let answer = try await server.post("/v1/messages", "{\(fields)}")
                #expect(answer.status == status && answer.json["type"]?.string == "error", "\(answer.text)")
                #expect(answer.json["error"]?["code"]?.string == code)
                #expect(answer.json["error"]?["type"]?.string != nil && answer.json["error"]?["message"]?.string != nil)
            }
        }
        try await RunningServer.run(Script(failsAfter: 3)) { server in
            let body = #"{"model":"tiny","stream":true,"messages":[{"role":"user","content":"hi"}]}"#
            let answer = try await server.post("/v1/messages", body)
            #expect(answer.text.contains("event: error\ndata: {") && !answer.text.contains("[DONE]") && !answer.text.contains("message_stop"))
        }
    }

    // MARK: /v1/responses

    @Test(arguments: [
        #""hi""#, #"["hi"]"#, #"[{"role":"user","content":"hi"}]"#,
        #"[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}]"#,
    ])
    func aResponseTakesEveryFormOfInput(_ input: String) async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/responses", #"{"model":"tiny","input":\#(input),"instructions":"Be brief."}"#).json
            #expect(answer["object"]?.string == "response" && answer["status"]?.string == "completed" && answer["error"] == .null)
            #expect(answer["id"]?.string?.hasPrefix("resp-") == true)
            #expect(answer["output_text"]?.string == "Hello, wörld 🙂!")
            let item = answer["output"]?[0]
            #expect(item?["type"]?.string == "message" && item?["content"]?[0]?["text"]?.string == "Hello, wörld 🙂!")
            #expect(answer["usage"]?["input_tokens"]?.int == "Be brief.\nhi\n".utf8.count)
            #expect(answer["usage"]?["total_tokens"]?.int == (answer["usage"]?["input_tokens"]?.int ?? 0) + (answer["usage"]?["output_tokens"]?.int ?? 0))
        }
    }

    @Test func aResponseIsStreamedAsItsEvents() async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/responses", #"{"model":"tiny","input":"hi","stream":true,"max_output_tokens":3}"#)
            let lines = answer.text.split(separator: "\n")
            #expect(lines.last == "data: [DONE]")
            let events = lines.filter { $0.hasPrefix("data: {") }.compactMap { try? JSONValue.parse(String($0.dropFirst(6))) }
            let names = lines.filter { $0.hasPrefix("event: ") }.map { String($0.dropFirst(7)) }
            #expect(events.map { $0["type"]?.string ?? "" } == names)
            #expect(names.first == "response.created" && names.last == "response.completed")
            #expect(events.map { $0["sequence_number"]?.int ?? -1 } == Array(events.indices))
            #expect(events.filter { $0["type"]?.string == "response.output_text.delta" }.compactMap { $0["delta"]?.string }.joined() == "Hel")
            #expect(events.last?["response"]?["status"]?.string == "incomplete")
            #expect(events.last?["response"]?["incomplete_details"]?["reason"]?.string == "max_output_tokens")
        }
    }

    @Test(arguments: [
        #""input":null"#, #""input":[]"#, #""input":[7]"#, #""input":{"a":1}"#, #""input":[{"content":"x"}]"#,
        #""input":[{"type":"function_call_output","output":"x"}]"#, #""input":"x","previous_response_id":"resp-1""#,
        #""input":"x","tools":[{"type":"function"}]"#, #""input":"x","text":{"format":{"type":"json_object"}}"#, #""input":"x","background":true"#,
    ])
    func whatAResponseDoesNotHonourIsRefused(_ fields: String) async throws {
        try await RunningServer.run { server in
            let answer = try await server.post("/v1/responses", #"{"model":"tiny",\#(fields)}"#)
            #expect(answer.status == 400 && answer.json["error"]?["code"]?.string == "invalid-request", "\(answer.text)")
        }
    }

    // MARK: What no model here does

    @Test func embeddingsAndRankingSayThatTheyAreNotHere() async throws {
        try await RunningServer.run { server in
            let embedding = try await server.post("/v1/embeddings", #"{"model":"tiny","input":"x","encoding_format":"base64"}"#)
            #expect(embedding.status == 503 && embedding.json["error"]?["code"]?.string == "embedding_unavailable")
            let ranking = try await server.post("/v1/rerank", #"{"model":"tiny","query":"x","documents":["a","b"]}"#)
            #expect(ranking.status == 503 && ranking.json["error"]?["code"]?.string == "reranking_unavailable")
            #expect(try await server.post("/v1/embeddings", #"{"model":"tiny"}"#).status == 400)
            #expect(try await server.post("/v1/rerank", #"{"model":"tiny","query":"x"}"#).status == 400)
        }
    }
}
