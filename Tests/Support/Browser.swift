internal import Foundation
internal import Glibc
public import Weights

/// A page in headless Chromium, driven over Chromium's debugging pipe: messages of JSON, each ended by a zero byte.
///
/// `@unchecked Sendable`: a test uses it from one thread at a time.
public final class Browser: @unchecked Sendable {
    /// `LMX_CHROMIUM`, or where distributions put it; nil where there is none.
    public static let path: String? = {
        let named = getenv("LMX_CHROMIUM").map { String(cString: $0) }
        let usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        return ([named].compactMap { $0 } + usual).first { access($0, X_OK) == 0 }
    }()

    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    private let process = Process()
    private let toBrowser = Pipe()
    private let fromBrowser = Pipe()
    private let folder: String
    private var unread: [UInt8] = []
    private var lastID = 0
    private var session: String?
    /// What the page said on its console and threw, in order.
    public private(set) var complaints: [String] = []

    /// Starts the browser with one empty page.
    public init(width: Int = 1280, height: Int = 900) throws {
        guard let path = Self.path else { throw Failure(description: "no Chromium here (LMX_CHROMIUM)") }
        folder = NSTemporaryDirectory() + "lmx-browser-" + UUID().uuidString
        // The shell hands its own input and output to the browser as descriptors 3 and 4, which is where the pipe is expected.
        let flags = [
            "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
            "--no-proxy-server", "--window-size=\(width),\(height)", "--user-data-dir=\(folder)", "about:blank",
        ]
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", path] + flags
        process.standardInput = toBrowser
        process.standardOutput = fromBrowser
        process.standardError = FileHandle.nullDevice
        try process.run()
        let target = try call("Target.createTarget", ["url": .string("about:blank")])
        guard let id = target["targetId"] else { throw Failure(description: "the browser opened no page") }
        guard case .string(let session)? = try call("Target.attachToTarget", ["targetId": id, "flatten": .bool(true)])["sessionId"] else {
            throw Failure(description: "the browser gave no session")
        }
        self.session = session
        for domain in ["Page", "Runtime", "Log"] { _ = try call(domain + ".enable", [:]) }
        try resize(width: width, height: height)
    }

    deinit { close() }

    public func close() {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        try? FileManager.default.removeItem(atPath: folder)
    }

    // MARK: The page

    public func open(_ address: String) throws { _ = try call("Page.navigate", ["url": .string(address)]) }

    public func resize(width: Int, height: Int, isPhone: Bool = false) throws {
        _ = try call(
            "Emulation.setDeviceMetricsOverride",
            ["width": .int(width), "height": .int(height), "deviceScaleFactor": .int(isPhone ? 2 : 1), "mobile": .bool(isPhone)])
    }

    public func prefersDark(_ isDark: Bool) throws {
        let feature: JSONValue = .object(["name": .string("prefers-color-scheme"), "value": .string(isDark ? "dark" : "light")])
        _ = try call("Emulation.setEmulatedMedia", ["features": .array([feature])])
    }

    /// The value of an expression in the page; promises are waited for.
    @discardableResult
    public func evaluate(_ expression: String) throws -> JSONValue {
        let answer = try call(
            "Runtime.evaluate", ["expression": .string(expression), "awaitPromise": .bool(true), "returnByValue": .bool(true)])
        if let problem = answer["exceptionDetails"] { throw Failure(description: "\(expression): \(problem.serialized().prefix(500))") }
        return answer["result"]?["value"] ?? .null
    }

    /// Waits until an expression is true; throws what `describe` says then when it never is.
    public func wait(for expression: String, seconds: Double = 60, describe: String = "document.body.innerText.slice(0, 1500)") throws {
        let end = Date().addingTimeInterval(seconds)
        while Date() < end {
            if case .bool(true)? = try? evaluate("Boolean(\(expression))") { return }  // throws while the page is not there yet
            usleep(50_000)
        }
        throw Failure(description: "never true within \(seconds) s: \(expression)\n\(try evaluate(describe).serialized())\n\(complaints)")
    }

    /// A picture of the page as PNG: of what is seen, or of all of it.
    public func picture(whole: Bool = false) throws -> [UInt8] {
        let answer = try call("Page.captureScreenshot", ["format": .string("png"), "captureBeyondViewport": .bool(whole)])
        guard case .string(let text)? = answer["data"], let data = Data(base64Encoded: text) else {
            throw Failure(description: "the browser took no picture")
        }
        return Array(data)
    }

    // MARK: Messages

    private func call(_ method: String, _ parameters: JSONObject) throws -> JSONValue {
        lastID += 1
        var message: JSONObject = ["id": .int(lastID), "method": .string(method), "params": .object(parameters)]
        if let session { message["sessionId"] = .string(session) }
        try toBrowser.fileHandleForWriting.write(contentsOf: Data(JSONValue.object(message).serialized().utf8) + [0])
        let end = Date().addingTimeInterval(60)
        while Date() < end {
            let answer = try receive(until: end)
            note(answer)
            guard answer["id"] == .int(lastID) else { continue }
            if let error = answer["error"] { throw Failure(description: "\(method): \(error.serialized())") }
            return answer["result"] ?? .null
        }
        throw Failure(description: "\(method): no answer within a minute")
    }

    private func note(_ message: JSONValue) {
        switch message["method"] {
        case .string("Runtime.exceptionThrown"), .string("Log.entryAdded"): complaints.append(message.serialized())
        default: break
        }
    }

    private func receive(until end: Date) throws -> JSONValue {
        let file = fromBrowser.fileHandleForReading.fileDescriptor
        while true {
            if let zero = unread.firstIndex(of: 0) {
                let message = Array(unread[..<zero])
                unread.removeFirst(zero + 1)
                return try JSONValue.parse(message, maximumDepth: 64)
            }
            var wanted = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
            let time = Int32(max(0, end.timeIntervalSinceNow * 1000))
            guard poll(&wanted, 1, time) > 0 else { throw Failure(description: "the browser is silent") }
            var block = [UInt8](repeating: 0, count: 1 << 16)
            let count = read(file, &block, block.count)
            guard count > 0 else { throw Failure(description: "the browser ended") }
            unread += block.prefix(count)
        }
    }
}
