import Foundation
import TestSupport
import Testing
import Weights

/// The dashboard in a real browser, against the real binary and a tiny model.
@Suite(.serialized, .enabled(if: Browser.path != nil, "Chromium is not present"))
struct DashboardTests {
    private let folder = Corpus.testdata + "/tiny/llama/gguf"

    @Test func itShowsWhatTheServerDoesAndComesBackWhenTheServerDoes() throws {
        let server = try RunningServer(["--models-dir", folder], waitsForModel: false)
        defer { server.stop() }
        let port = server.client.port
        let browser = try Browser()
        defer { browser.close() }
        try browser.open("http://127.0.0.1:\(port)/")

        // What the first events say.
        try browser.wait(for: "document.querySelector('#health').dataset.state === 'empty'")
        try browser.wait(for: "/^\\d+ %$/.test(document.querySelector('#gauge-percent').textContent)")
        try browser.wait(for: "document.querySelector('#gauge-fill').getAttribute('stroke-dasharray') !== '0 100'")
        try browser.wait(for: "document.querySelectorAll('#models tbody button').length > 2")
        try browser.wait(for: "document.querySelector('#version').textContent !== ''")

        // Load by its button; the row says so.
        try browser.evaluate("document.querySelector('button[data-model=\"Q4_1\"]').click()")
        try browser.wait(for: "document.querySelector('button[data-model=\"Q4_1\"]')?.textContent === 'Unload'")
        try browser.wait(for: "document.querySelector('#health').dataset.state === 'ready'")
        try browser.wait(for: "document.querySelector('#chat-model').value === 'Q4_1'")

        // A chat streams, with its speed beside it, and the graph fills.
        try Self.chat(browser, "Say something long.")
        try browser.wait(for: "/tokens\\/s/.test(document.querySelector('#chat-speed').textContent)")
        try browser.wait(for: "document.querySelector('.message.assistant').textContent.length > 5")
        try browser.wait(for: "document.querySelector('#graph-line').getAttribute('d').split('L').length > 3")
        try browser.wait(for: "Number(/peak ([0-9.]+)/.exec(document.querySelector('#graph-summary').textContent)?.[1]) > 0", seconds: 30)
        try browser.wait(for: "/GGUF/.test(document.querySelector('#formats tbody').textContent)")

        // The server goes, and comes back at the same place.
        server.stop()
        try browser.wait(for: "document.querySelector('#health').dataset.state === 'lost'", seconds: 40)
        let second = try RunningServer(["--models-dir", folder, folder + "/F32.gguf"], port: port)
        defer { second.stop() }
        try browser.wait(for: "document.querySelector('#health').dataset.state === 'ready'", seconds: 40)
        try browser.wait(for: "document.querySelector('button[data-model=\"F32\"]')?.textContent === 'Unload'")

        try browser.evaluate("document.querySelector('button[data-model=\"F32\"]').click()")
        try browser.wait(for: "document.querySelector('button[data-model=\"F32\"]')?.textContent === 'Load'")
        try browser.wait(for: "document.querySelector('#health').dataset.state === 'empty'")
        let complaints = browser.complaints.filter { !$0.contains("ERR_CONNECTION_REFUSED") && !$0.contains("ERR_INCOMPLETE") }
        #expect(complaints.isEmpty, "\(complaints)")
    }

    /// A browser's own WebSocket, from a page of this server, which its policy allows to connect here only.
    @Test func aBrowsersWebSocketCarriesChats() throws {
        let server = try RunningServer([Corpus.testdata + "/tiny/llama/hf"])
        defer { server.stop() }
        let browser = try Browser()
        defer { browser.close() }
        try browser.open("http://127.0.0.1:\(server.client.port)/")
        try browser.evaluate(
            """
            window.said = []; window.end = null;
            window.socket = new WebSocket(`ws://${location.host}/v1/chat/stream`);
            socket.onmessage = (event) => said.push(JSON.parse(event.data));
            socket.onclose = (event) => (end = event.code);
            socket.onopen = () => {
              const chat = { model: "auto", messages: [{ role: "user", content: "the quick brown fox" }], max_tokens: 8 };
              socket.send(JSON.stringify({ type: "chat.request", request_id: "a", ...chat }));
              socket.send(JSON.stringify({ type: "chat.request", request_id: "b", ...chat }));
              socket.send(JSON.stringify(chat));
            };
            """)
        try browser.wait(for: "said.filter((message) => message.type === 'chat.done').map((message) => message.request_id).sort().join() === 'a,b'")
        try browser.wait(for: "said.some((message) => message.done && message.stats.tokens > 0)")
        try browser.evaluate("socket.close(1000)")
        try browser.wait(for: "end === 1000")
        #expect(browser.complaints.isEmpty, "\(browser.complaints)")
    }

    private static func chat(_ browser: Browser, _ text: String) throws {
        try browser.evaluate(
            """
            document.querySelector('#chat-input').value = '\(text)';
            document.querySelector('#chat-form').requestSubmit();
            """)
    }
}
