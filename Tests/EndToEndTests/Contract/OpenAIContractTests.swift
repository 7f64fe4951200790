import Foundation
import TestSupport
import Testing
import Weights

/// What programs built on the OpenAI libraries need: shapes, errors, the end of a stream.
@Suite struct OpenAIContractTests {
    static let messages = #""messages":[{"role":"user","content":"the quick brown fox"}],"temperature":0"#

    static let calls: [ContractCall] = [
        ContractCall("GET /v1/models", "object = list", "data[].id = hf", "data[].object = model", "data[].created: number", "data[].owned_by: string"),
        ContractCall("GET /v1/models/hf", "id = hf", "object = model", "created: number", "owned_by: string"),
        ContractCall("POST /v1/chat/completions", body: #"{"model":"hf",\#(messages),"max_completion_tokens":5,"n":2,"seed":1}"#).with([
            "id: string", "object = chat.completion", "created: number", "model = hf", "choices[].index: number",
            "choices[].message.role = assistant", "choices[].message.content: string", "choices[].message.tool_calls: any",
            "choices[].finish_reason = length", "usage.prompt_tokens: number", "usage.completion_tokens = 10", "usage.total_tokens: number",
        ]),
        ContractCall("POST /v1/chat/completions", body: #"{"model":"hf",\#(messages),"max_tokens":3,"logprobs":true,"top_logprobs":2}"#).with([
            "choices[].logprobs.content[].token: string", "choices[].logprobs.content[].logprob: number",
            "choices[].logprobs.content[].bytes[]: number", "choices[].logprobs.content[].top_logprobs[].token: string",
        ]),
        ContractCall("POST /v1/completions", body: #"{"model":"hf","prompt":["the quick","brown fox"],"max_tokens":4}"#).with([
            "id: string", "object = text_completion", "created: number", "model = hf", "choices[].text: string", "choices[].index: number",
            "choices[].logprobs: any", "choices[].finish_reason: string", "usage.total_tokens: number",
        ]),
        ContractCall("POST /v1/chat/completions", body: #"{"model":"nobody",\#(messages)}"#, status: 404).with([
            "error.message: string", "error.type = invalid_request_error", "error.param = model", "error.code = model-not-found",
            "error.lmx_code = model_not_found",
        ]),
        ContractCall("POST /v1/chat/completions", body: #"{"model":"hf",\#(messages),"temperature":5}"#.replacing(#""temperature":0,"#, with: ""), status: 400).with([
            "error.message: string", "error.type = invalid_request_error", "error.param = temperature", "error.code = invalid-request",
        ]),
        ContractCall("POST /v1/chat/completions", body: #"{"model":"hf""#, status: 400, "error.code = invalid-request", "error.message: string"),
        ContractCall("GET /v1/chat/completions", status: 405, "error.code = method_not_allowed", "detail: string"),
        ContractCall("POST /v1/nothing", body: "{}", status: 404, "error.code = not_found", "detail: string"),
    ]

    private func server() throws -> ContractServer {
        let contract = try ContractServer([Corpus.testdata + "/tiny/llama/hf"], models: [])
        while try contract.client.get("/readyz").status != 200 { usleep(10_000) }
        return contract
    }

    @Test func everyCallFindsItsFields() throws {
        let contract = try server()
        defer { contract.server.stop() }
        try contract.send(Self.calls)
    }

    @Test func aStreamIsChunksInTheirOrderAndDone() throws {
        let contract = try server()
        defer { contract.server.stop() }
        let answer = try contract.client.post(
            "/v1/chat/completions", #"{"model":"hf",\#(Self.messages),"max_tokens":5,"stream":true,"stream_options":{"include_usage":true}}"#)
        #expect(answer.headers["content-type"]?.hasPrefix("text/event-stream") == true)
        #expect(answer.events.last == "[DONE]")
        let chunks = try answer.events.dropLast().map { try JSONValue.parse($0) }
        let everywhere: [Expectation] = ["id: string", "object = chat.completion.chunk", "created: number", "model = hf", "choices: list", "usage: any"]
        for chunk in chunks { #expect(everywhere.compactMap { $0.complaint(about: chunk) } == []) }
        func complaints(_ chunk: JSONValue?, _ expected: Expectation...) -> [String] { expected.compactMap { $0.complaint(about: chunk ?? .null) } }
        #expect(complaints(chunks.first, "choices[].delta.role = assistant", "choices[].delta.content: string", "choices[].finish_reason = null") == [])
        for chunk in chunks.dropFirst().dropLast(2) {
            #expect(complaints(chunk, "choices[].delta.content: string", "choices[].delta.role = null", "usage = null") == [])
        }
        #expect(complaints(chunks.dropLast().last, "choices[].finish_reason = length", "choices[].delta.content = null") == [])
        #expect(complaints(chunks.last, "usage.prompt_tokens: number", "usage.completion_tokens = 5", "usage.total_tokens: number") == [])
        #expect(chunks.last?["choices"] == .array([]))
    }
}
