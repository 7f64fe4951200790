import Foundation
import TestSupport
import Testing
import Weights

/// The binary as a server, over a socket, with a tiny model.
@Suite struct ServerTests {
    private let model = Corpus.testdata + "/tiny/llama/hf"

    @Test func aChatIsAnsweredWholeAndStreamed() throws {
        let server = try RunningServer([model])
        defer { server.stop() }
        let request = #"{"model":"auto","messages":[{"role":"user","content":"hello"}],"max_tokens":12,"temperature":0"#
        let whole = try server.client.post("/v1/chat/completions", request + "}")
        #expect(whole.status == 200, "\(whole.text)")
        let document = try JSONValue.parse(whole.body, maximumDepth: 32)
        guard case .array(let choices) = document["choices"], case .string(let content) = choices.first?["message"]?["content"] else {
            Issue.record("no content in \(whole.text)")
            return
        }

        let streamed = try server.client.post("/v1/chat/completions", request + #","stream":true,"stream_options":{"include_usage":true}}"#)
        #expect(streamed.headers["content-type"]?.hasPrefix("text/event-stream") == true)
        let events = streamed.events
        #expect(events.last == "[DONE]")
        var text = ""
        var usage: JSONValue?
        for event in events.dropLast() {
            let chunk = try JSONValue.parse(Array(event.utf8), maximumDepth: 32)
            if case .array(let choices) = chunk["choices"], case .string(let piece) = choices.first?["delta"]?["content"] { text += piece }
            if case .object = chunk["usage"] { usage = chunk["usage"] }
        }
        #expect(text == content)
        #expect(usage == document["usage"])
    }

    @Test func badRequestsGetOneErrorAndTheNextRequestIsAnswered() throws {
        let server = try RunningServer([model])
        defer { server.stop() }
        let chat = "/v1/chat/completions"
        let cases: [(String, Int)] = [
            (#"{"model":"auto","messages":["#, 400),
            (#"{"model":"nobody","messages":[{"role":"user","content":"x"}]}"#, 404),
            (#"{"model":"auto","messages":[{"role":"user","content":"x"}],"temperature":9}"#, 400),
            (#"{"model":"auto","messages":[{"role":"user","content":"x"}],"max_tokens":"many"}"#, 400),
            (#"{"model":"auto"}"#, 400),
            (String(repeating: "[", count: 100_000), 400),
        ]
        for (body, status) in cases {
            let answer = try server.client.post(chat, body)
            #expect(answer.status == status, "\(body.prefix(80)): \(answer.text)")
            let message = try JSONValue.parse(answer.body, maximumDepth: 32)["error"]?["message"]
            guard case .string(let text) = message, !text.isEmpty else {
                Issue.record("no message in \(answer.text)")
                return
            }
        }
        #expect(try server.client.get("/nowhere").status == 404)
        let good = try server.client.post(chat, #"{"model":"auto","messages":[{"role":"user","content":"x"}],"max_tokens":4}"#)
        #expect(good.status == 200, "\(good.text)")
    }

    @Test func modelsAreLoadedAndUnloadedWhileItRuns() throws {
        let folder = Corpus.testdata + "/tiny/llama/gguf"
        let server = try RunningServer(["--models-dir", folder], waitsForModel: false)
        defer { server.stop() }
        let client = server.client
        #expect(try client.get("/readyz").status == 503)
        let chat = #"{"model":"Q4_1","messages":[{"role":"user","content":"x"}],"max_tokens":4}"#
        let early = try client.post("/v1/chat/completions", chat)
        #expect(early.status == 503 && early.text.contains("no-model-loaded"), "\(early.text)")

        let loaded = try client.post("/admin/models/load", #"{"model_id":"Q4_1"}"#)
        #expect(loaded.status == 200 && loaded.text.contains(#""status":"loaded""#), "\(loaded.text)")
        #expect(try client.get("/readyz").status == 200)
        #expect(try client.get("/v1/models").text.contains("Q4_1"))
        #expect(try client.post("/admin/models/load", #"{"model_id":"nobody"}"#).status == 404)

        let unloaded = try client.post("/admin/models/unload", #"{"model_id":"Q4_1"}"#)
        #expect(unloaded.status == 200, "\(unloaded.text)")
        #expect(try client.get("/readyz").status == 503)
        #expect(try client.get("/healthz").status == 200)
    }

    @Test func aBrokenModelInTheFolderIsListedAndLoadingItSaysWhy() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lmx-folder-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try Data("GGUF and no more".utf8).write(to: folder.appendingPathComponent("broken.gguf"))
        let server = try RunningServer(["--models-dir", folder.path], waitsForModel: false)
        defer { server.stop() }
        #expect(try server.client.get("/admin/models").text.contains(#""id":"broken""#))
        let answer = try server.client.post("/admin/models/load", #"{"model_id":"broken"}"#)
        #expect((400..<500).contains(answer.status) && answer.text.contains("broken"), "\(answer.status) \(answer.text)")
        #expect(answer.status != 404)
        #expect(try server.client.get("/healthz").status == 200)
    }

    @Test func twoModelsOfDifferentFormatsAnswerTheSame() throws {
        let server = try RunningServer([model, Corpus.testdata + "/tiny/llama/gguf/F32.gguf"])
        defer { server.stop() }
        while try !server.client.get("/v1/models").text.contains(#""F32""#) { usleep(20_000) }  // the second is loaded after the first
        func answer(_ id: String) throws -> String {
            let body = #"{"model":"\#(id)","prompt":"the quick brown","max_tokens":16,"temperature":0}"#
            let answer = try server.client.post("/v1/completions", body)
            guard case .array(let choices) = try JSONValue.parse(answer.body, maximumDepth: 32)["choices"],
                case .string(let text) = choices.first?["text"]
            else { throw LoopbackClientFailure(answer.text) }
            return text
        }
        #expect(try answer("hf") == answer("F32"))
    }

    @Test func itEndsInOrderOnASignal() throws {
        let server = try RunningServer([model])
        server.process.terminate()
        server.process.waitUntilExit()
        #expect(server.process.terminationReason == .exit)
        #expect(server.process.terminationStatus == 0)
    }

    @Test func theSecondServerOnAPortSaysSo() throws {
        let server = try RunningServer([model])
        defer { server.stop() }
        let outcome = try Binary.run(["serve", "--port", String(server.client.port)])
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains(String(server.client.port)))
    }
}
