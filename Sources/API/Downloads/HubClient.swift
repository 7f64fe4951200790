import Dispatch
import Engine

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// The way out: GET requests to a hub, and what comes back as it comes.
///
/// curl does it, a process for each request: the server itself carries no TLS, and what strangers send is taken apart outside of
/// it. Redirects are followed here, because the hub's own answer has fields that the last one lacks, because its key must not
/// go to anybody else, and because an encrypted way may not lead to an open one.
struct HubClient: Sendable {
    let version: String
    /// Without a byte for so long the hub is given up.
    let patience: Duration

    private static let mostRedirects = 5

    /// Follows an address to its contents.
    ///
    /// `head` and `take` are called on a thread that may block, and what they throw ends the request.
    /// - Parameters:
    ///   - fields: header fields of the request.
    ///   - token: for the first address alone.
    ///   - head: told of the answer before its contents.
    ///   - take: given the contents in pieces, in their order.
    func get(
        _ address: String, _ fields: [(String, String)] = [], token: Secret?, head: @escaping @Sendable (HubHead) throws -> Void,
        take: @escaping @Sendable ([UInt8]) throws -> Void
    ) async throws {
        var address = address
        var linked: [String: String] = [:]
        for step in 0...Self.mostRedirects {
            var fields = fields
            if step == 0, let token { fields.append(("Authorization", "Bearer \(token.text)")) }
            let (options, known) = (try options(address, fields), linked)
            let process = CurlProcess()
            let answer = try await withTaskCancellationHandler {
                try await Worker.run {
                    try process.run(options) { answer in
                        if answer.redirect == nil { try head(HubHead(status: answer.status, fields: known.merging(answer.fields) { old, _ in old })) }
                    } take: { answer, bytes in
                        if answer.redirect == nil { try take(bytes) }
                    }
                }
            } onCancel: {
                process.kill()
            }
            try Task.checkCancellation()
            guard let location = answer.redirect else { return }
            for name in ["x-linked-etag", "x-linked-size", "x-repo-commit"] where linked[name] == nil { linked[name] = answer.fields[name] }
            address = try Self.target(location, from: address)
        }
        throw HubFailure(isFinal: true, "more than \(Self.mostRedirects) redirects")
    }

    /// The whole contents, where they are not longer.
    func whole(_ address: String, token: Secret?, atMost limit: Int) async throws -> (HubHead, [UInt8]) {
        let answer = Locked((head: HubHead(status: 0, fields: [:]), bytes: [UInt8]()))
        try await get(address, token: token) { head in
            answer.withLock { $0.head = head }
        } take: { bytes in
            let count = answer.withLock { answer in
                answer.bytes += bytes
                return answer.bytes.count
            }
            if count > limit { throw HubFailure(isFinal: true, "an answer longer than \(limit) bytes") }
        }
        return answer.withLock { $0 }
    }

    /// What curl reads from its standard input: a command line, which may hold the token, is read by every user of the machine.
    private func options(_ address: String, _ fields: [(String, String)]) throws(HubFailure) -> String {
        var lines = [
            "silent", "include", "http1.1", "globoff", "suppress-connect-headers", "proto = \"=http,https\"", "user-agent = \"lmx/\(version)\"",
            "noproxy = \"127.0.0.1,localhost,::1\"", "connect-timeout = \(patience.inSeconds)", "speed-limit = 1",
            "speed-time = \(max(1, Int(patience.inSeconds)))",
        ]
        lines.append("url = \"\(try Self.quoted(address))\"")
        for (name, value) in fields { lines.append("header = \"\(try Self.quoted("\(name): \(value)"))\"") }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func quoted(_ text: String) throws(HubFailure) -> String {
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { throw HubFailure(isFinal: true, "a control character in an address or token") }
        return text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    }

    /// Where a redirect leads; a whole address, or a path on the same host.
    static func target(_ location: String, from address: String) throws(HubFailure) -> String {
        guard location.utf8.count <= 8192, location.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw HubFailure(isFinal: true, "a redirect to no address")
        }
        if location.hasPrefix("https://") { return location }
        if location.hasPrefix("http://") {
            guard address.hasPrefix("http://") else { throw HubFailure(isFinal: true, "a redirect to an open connection") }
            return location
        }
        guard location.hasPrefix("/"), !location.hasPrefix("//") else { throw HubFailure(isFinal: true, "a redirect to no address") }
        let start = address.hasPrefix("https://") ? 8 : 7
        let host = address.utf8.dropFirst(start).prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
        return String(address.prefix(start)) + String(decoding: Array(host), as: UTF8.self) + location
    }
}

/// The head of an answer.
struct HubHead: Sendable {
    let status: Int
    /// Names in lower case; those of the first answer that tell of the file, then those of the last.
    let fields: [String: String]

    var redirect: String? { (301...308).contains(status) && status != 304 ? fields["location"] : nil }
}

/// Why nothing, or not all, came from the hub.
struct HubFailure: Error, CustomStringConvertible {
    var isTimeout = false
    /// Trying again would be of no use.
    let isFinal: Bool
    let description: String

    init(isTimeout: Bool = false, isFinal: Bool, _ description: String) {
        self.isTimeout = isTimeout
        self.isFinal = isFinal
        self.description = description
    }
}

/// One run of curl.
private final class CurlProcess: Sendable {
    private let state = Locked((process: pid_t(0), isKilled: false))

    /// A curl that ends before it has read its options must not end the server.
    private static let ignoresBrokenPipes: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

    /// One start at a time, so that none inherits the pipes of another, which would never see their end.
    private static let starting = Turn()

    private final class Turn: Sendable {
        private let semaphore = DispatchSemaphore(value: 1)
        func lock() { semaphore.wait() }
        func unlock() { semaphore.signal() }
    }

    func kill() {
        state.withLock { state in
            state.isKilled = true
            if state.process > 0 { _ = Self.end(state.process) }
        }
    }

    private static func end(_ process: pid_t) -> Int32 {
        #if canImport(Glibc)
            Glibc.kill(process, SIGKILL)
        #else
            Musl.kill(process, SIGKILL)
        #endif
    }

    /// Blocks until all has come or something went wrong.
    func run(_ options: String, head: (HubHead) throws -> Void, take: (HubHead, [UInt8]) throws -> Void) throws -> HubHead {
        let (output, input) = try start(options)
        defer { close(output) }
        input.map { _ = close($0) }
        var answer: HubHead?
        let result = Result { try read(output, &answer, head, take) }
        if case .failure = result { kill() }
        let code = wait()
        try result.get()
        if state.withLock(\.isKilled) { throw CancellationError() }
        switch code {
        case 0:
            guard let answer else { throw HubFailure(isFinal: true, "the hub's answer is no HTTP") }
            return answer
        case 28: throw HubFailure(isTimeout: true, isFinal: false, "the hub does not answer in time")
        case 16, 18, 52, 55, 56, 92: throw HubFailure(isFinal: false, "the connection broke (curl \(code))")
        case 6, 7: throw HubFailure(isFinal: false, "the hub is not to be reached (curl \(code))")
        case 35, 51, 58, 60, 77, 83, 90, 91: throw HubFailure(isFinal: true, "the hub cannot prove who it is (curl \(code))")
        case 127: throw HubFailure(isFinal: true, "curl is not installed")
        default: throw HubFailure(isFinal: true, "curl ends with \(code)")
        }
    }

    /// Starts curl and hands it its options; gives the end of its output.
    private func start(_ options: String) throws -> (output: Int32, input: Int32?) {
        _ = Self.ignoresBrokenPipes
        var output: [Int32] = [-1, -1]
        var input: [Int32] = [-1, -1]
        Self.starting.lock()
        defer { Self.starting.unlock() }
        guard pipe(&output) == 0 else { throw HubFailure(isFinal: false, "no pipe to be had") }
        guard pipe(&input) == 0 else {
            for end in output { close(end) }
            throw HubFailure(isFinal: false, "no pipe to be had")
        }
        for end in output + input { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input[0], 0)
        posix_spawn_file_actions_adddup2(&actions, output[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)

        var arguments: [UnsafeMutablePointer<CChar>?] = ["curl", "-q", "--config", "-"].map { (text: String) in strdup(text) }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        var process = pid_t(0)
        let code = posix_spawnp(&process, "curl", &actions, nil, arguments, environ)
        close(input[0])
        close(output[1])
        guard code == 0 else {
            close(input[1])
            close(output[0])
            throw HubFailure(isFinal: true, code == ENOENT ? "curl is not installed" : String(cString: strerror(code)))
        }
        let isKilled = state.withLock { state in
            state.process = process
            return state.isKilled
        }
        if isKilled { _ = Self.end(process) }
        // A few hundred bytes, which a pipe takes at once; a process that has gone already is seen by its output's end.
        let bytes = Array(options.utf8)
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { write(input[1], $0.baseAddress.map { $0 + written }, bytes.count - written) }
            if count <= 0 { break }
            written += count
        }
        return (output[0], input[1])
    }

    private func wait() -> Int32 {
        let process = state.withLock { state in
            defer { state.process = 0 }
            return state.process
        }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : -1
    }

    private func read(
        _ output: Int32, _ answer: inout HubHead?, _ head: (HubHead) throws -> Void, _ take: (HubHead, [UInt8]) throws -> Void
    ) throws {
        var block = [UInt8](repeating: 0, count: 1 << 16)
        var text: [UInt8] = []  // of the head
        while true {
            let count = readBlock(output, &block)
            if count == 0 { return }
            if let answer {
                try take(answer, Array(block[..<count]))
                continue
            }
            text += block[..<count]
            while answer == nil, let end = Self.end(of: text) {
                let found = Self.head(text[..<end])
                text.removeFirst(end)
                if let found, found.status >= 200 {
                    answer = found
                    try head(found)
                    if !text.isEmpty { try take(found, text) }
                }
            }
            if answer == nil, text.count > 1 << 17 { throw HubFailure(isFinal: true, "a head without end") }
        }
    }

    private func readBlock(_ output: Int32, _ block: inout [UInt8]) -> Int {
        while true {
            #if canImport(Glibc)
                let count = Glibc.read(output, &block, block.count)
            #else
                let count = Musl.read(output, &block, block.count)
            #endif
            if count >= 0 { return count }
            if errno != EINTR { return 0 }
        }
    }

    /// Where the empty line after a head ends.
    private static func end(of text: [UInt8]) -> Int? { text.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound }

    private static func head(_ bytes: ArraySlice<UInt8>) -> HubHead? {
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\r\n")
        guard let first = lines.first, first.hasPrefix("HTTP/"), let status = Int(first.split(separator: " ").dropFirst().first ?? "") else {
            return nil
        }
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            let name = line[..<colon].lowercased()
            if fields[name] == nil { fields[name] = String(value) }
        }
        return HubHead(status: status, fields: fields)
    }
}
