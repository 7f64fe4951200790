import API
import Engine
import TestSupport
import Testing
import Weights

@Suite struct DashboardTests {
    @Test func itsFilesAreServedWithTheirTypesAndAStrictPolicy() async throws {
        var configuration = Configuration()
        configuration.adminKey = Secret("a")
        configuration.clientKey = Secret("b")
        try await RunningServer.run(configuration: configuration) { server in
            let page = try await server.get("/")
            #expect(page.status == 200 && page.text.hasPrefix("<!doctype html>"))
            let policy = try #require(page.headers["content-security-policy"])
            for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src data:", "frame-ancestors 'none'"] {
                #expect(policy.contains(part), "\(part)")
            }
            #expect(!policy.contains("unsafe"))
            #expect(page.headers["x-content-type-options"] == "nosniff")
            // Whatever the page names is there, and nothing of it is anybody else's.
            var names: [String] = []
            var texts = [page.text]
            while let text = texts.popLast() {
                #expect(!text.contains("http://") || text.contains("www.w3.org/2000/svg"))
                for name in Self.names(in: text) where !names.contains(name) {
                    names.append(name)
                    let file = try await server.get("/dashboard/" + name)
                    #expect(file.status == 200, "\(name)")
                    #expect(file.headers["content-type"] == (name.hasSuffix(".css") ? "text/css" : "text/javascript") + "; charset=utf-8")
                    #expect(file.headers["content-security-policy"] == policy)
                    texts.append(file.text)
                }
            }
            #expect(names.sorted() == ["app.js", "chat.js", "graph.js", "live.js", "markdown.js", "models.js", "server.js", "style.css"])
            for path in ["/dashboard/none.js", "/dashboard/", "/dashboard/index.html", "/dashboard/../Server.swift", "/dashboard/%2e%2e"] {
                #expect(try await server.get(path).status == 404, "\(path)")
            }
        }
    }

    /// What follows `/dashboard/` in a text.
    private static func names(in text: String) -> [String] {
        text.components("/dashboard/").dropFirst().map { String($0.prefix { $0.isLetter || $0 == "." }) }.filter { !$0.isEmpty }
    }

    @Test func anUnchangedFileIsNotSentAgain() async throws {
        try await RunningServer.run { server in
            let first = try await server.get("/")
            let tag = try #require(first.headers["etag"])
            let again = try await server.get("/", headers: ["If-None-Match": "\"other\", W/\(tag)"])
            #expect(again.status == 304 && again.body.isEmpty)
            #expect(try await server.get("/", headers: ["If-None-Match": "\"other\""]).status == 200)
            #expect(try await server.send("HEAD", "/").body.isEmpty)
            let other = try await server.get("/dashboard/style.css")
            #expect(other.headers["etag"] != tag)
        }
    }

    /// What a model writes to harm: every one of these would run or load something if it became markup.
    static let hostile = """
        # Title <img src=x onerror="window.hurt=1">

        <script>window.hurt = 2</script> **bold <b onclick=1>** `<i>code</i>` *em*

        - [good](https://example.org/a) [bad](javascript:window.hurt=3) [data](data:text/html,<script>1</script>)
        - <svg onload="window.hurt=4">

        | a | b |
        |---|---|
        | <iframe src="javascript:parent.hurt=5"> | 2 |

        ```html
        <script>window.hurt = 6</script>
        ```
        </div></section><h1>escaped</h1>
        """

    @Test(.enabled(if: Browser.path != nil, "Chromium is not present"))
    func aChatShowsMarkdownAndInjectsNothing() async throws {
        try await RunningServer.run(Script(Self.hostile, microsecondsPerStep: 1000)) { server in
            try await blocking {
                let browser = try Browser()
                defer { browser.close() }
                try browser.open("http://127.0.0.1:\(server.port)/")
                try browser.wait(for: "document.querySelector('#chat-model').value === 'tiny'")
                try browser.evaluate(
                    "document.querySelector('#chat-input').value = 'hello'; document.querySelector('#chat-form').requestSubmit()")
                try browser.wait(for: "document.querySelector('.message.assistant')?.textContent.includes('escaped')")
                try browser.wait(for: "!document.querySelector('#chat-send').hidden")
                let count = { (selector: String) in
                    try browser.evaluate("document.querySelectorAll('.message.assistant \(selector)').length").int
                }
                for (selector, expected) in [
                    ("h3", 1), ("strong", 1), ("em", 1), ("li", 2), ("table", 1), ("td", 2), ("pre code", 1), ("a", 1),
                    ("script", 0), ("img", 0), ("svg", 0), ("iframe", 0), ("b", 0), ("i", 0), ("h1", 0),
                ] { #expect(try count(selector) == expected, "\(selector)") }
                #expect(try browser.evaluate("document.querySelector('.message.assistant a').href").string == "https://example.org/a")
                #expect(try browser.evaluate("document.querySelector('.message.assistant a').rel").string == "noopener noreferrer nofollow")
                #expect(try browser.evaluate("typeof window.hurt").string == "undefined")
                #expect(try browser.evaluate("document.querySelector('.message.user').textContent").string == "hello")
                #expect(browser.complaints.isEmpty, "\(browser.complaints)")
            }
        }
    }

    @Test(.enabled(if: Browser.path != nil, "Chromium is not present"))
    func aLoadShowsItsProgressAndAFailureItsReason() async throws {
        let gate = Gate()
        try await RunningServer.run(
            models: [], disk: ["slow", "bad"],
            loader: { entry, progress in
                if entry.id == "bad" { throw ModelError(.truncated, at: "bad.gguf", "ends early") }
                try progress(0.37)
                gate.wait()
                return try Script().loaded(entry.id)
            }
        ) { server in
            try await blocking {
                let browser = try Browser()
                defer { browser.close() }
                try browser.open("http://127.0.0.1:\(server.port)/")
                try browser.wait(for: "document.querySelector('button[data-model=slow]')")
                try browser.evaluate("document.querySelector('button[data-model=slow]').click()")
                try browser.wait(for: "document.querySelector('#models progress')?.value === 0.37")
                // A page that is opened meanwhile sees it, too.
                try browser.open("http://127.0.0.1:\(server.port)/?again")
                try browser.wait(for: "document.querySelector('#models progress')?.value === 0.37")
                gate.open()
                try browser.wait(for: "document.querySelector('button[data-model=slow]')?.textContent === 'Unload'")
                try browser.evaluate("document.querySelector('button[data-model=bad]').click()")
                try browser.wait(for: "document.querySelector('#models-message').textContent.includes('ends early')")
                try browser.wait(for: "document.querySelector('#errors').textContent.includes('ends early')", seconds: 30)
            }
        }
    }

    @Test(.enabled(if: Browser.path != nil, "Chromium is not present"))
    func aServerWithAKeyAsksForItAndTheKeyStaysInTheTab() async throws {
        var configuration = Configuration()
        configuration.adminKey = Secret("open sesame")
        configuration.clientKey = Secret("other")
        try await RunningServer.run(configuration: configuration) { server in
            try await blocking {
                let browser = try Browser()
                defer { browser.close() }
                try browser.open("http://127.0.0.1:\(server.port)/")
                try browser.wait(for: "document.querySelector('#health-text').textContent.includes('key')")
                try browser.evaluate("document.querySelector('#key-open').click()")
                try browser.wait(for: "document.querySelector('#key-dialog').open")
                try browser.evaluate(
                    "document.querySelector('#key-input').value = 'open sesame'; document.querySelector('#key-dialog button[value=save]').click()")
                try browser.wait(for: "document.querySelector('#health').dataset.state === 'ready'")
                #expect(try browser.evaluate("localStorage.length").int == 0)
                #expect(try browser.evaluate("location.href.includes('sesame')").bool == false)
                try browser.evaluate("document.querySelector('#chat-input').value = 'hi'; document.querySelector('#chat-form').requestSubmit()")
                try browser.wait(for: "document.querySelector('.message.assistant')?.textContent.includes('Hello')")
            }
        }
    }
}

extension String {
    /// The pieces between the places where `separator` stands.
    fileprivate func components(_ separator: String) -> [Substring] {
        var pieces: [Substring] = []
        var rest = self[...]
        while let range = rest.firstRange(of: separator) {
            pieces.append(rest[..<range.lowerBound])
            rest = rest[range.upperBound...]
        }
        return pieces + [rest]
    }
}
