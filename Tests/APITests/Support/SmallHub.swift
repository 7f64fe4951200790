import API
import Dispatch
import Engine
import Glibc
import Synchronization
import TestSupport
import Weights

/// A model hub of a few lines on a loopback port: lists repositories, gives their files in parts, and misbehaves when told to.
final class SmallHub: Sendable {
    struct File: Sendable {
        var name: String
        var bytes: [UInt8]
        /// Listed with a SHA-256, else with git's sum; nil: with neither, so that only the ETag has it.
        var isLarge: Bool? = true
        var claimedSize: Int?
    }

    struct State {
        var files: [File] = []
        /// Bytes of a body after which the connection is closed, and how often that happens.
        var cutAfter = Int.max
        var cuts = 0
        /// How many answers have a wrong byte.
        var corruptions = 0
        /// Status of answers about this file.
        var refusals: [String: Int] = [:]
        /// Status of answers to requests for a part of a file.
        var partStatus: Int?
        /// Answers to nothing.
        var isMute = false
        /// Contents come from another host name.
        var redirectsTo: String?
        var requests: [(path: String, range: String?, authorization: String?, host: String?)] = []
    }

    static let commit = "0123456789abcdef0123456789abcdef01234567"
    let state = Locked(State())
    let port: Int
    private let listener: Int32

    var address: String { "http://127.0.0.1:\(port)" }
    var paths: [String] { state.withLock { $0.requests.map(\.path) } }
    var ranges: [String] { state.withLock { $0.requests.compactMap(\.range) } }

    init(_ files: [File]) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, length) == 0 && listen(listener, 16) == 0 && getsockname(listener, address, &length) == 0
            }
        }
        guard bound else { throw ClientFailure(description: "no port for the hub") }
        self.listener = listener
        port = Int(UInt16(bigEndian: place.sin_port))
        let state = state
        state.withLock { $0.files = files }
        let queue = DispatchQueue(label: "hub", attributes: .concurrent)
        queue.async {
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                queue.async {
                    Self.answer(connection, state)
                    close(connection)
                }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    // MARK: One request for each connection

    private static func answer(_ connection: Int32, _ state: Locked<State>) {
        var head = ""
        var byte: UInt8 = 0
        while !head.hasSuffix("\r\n\r\n") {
            guard recv(connection, &byte, 1, 0) == 1, head.utf8.count < 10_000 else { return }
            head.unicodeScalars.append(UnicodeScalar(byte))
        }
        func field(_ name: String) -> String? {
            for line in head.split(separator: "\r\n") where line.lowercased().hasPrefix(name + ": ") { return String(line.dropFirst(name.count + 2)) }
            return nil
        }
        let words = head.split(separator: " ")
        let path = words.count > 1 ? String(words[1]) : ""
        let range = field("range")
        state.withLock { $0.requests.append((path, range, field("authorization"), field("host"))) }
        while state.withLock(\.isMute) { usleep(5000) }
        let now = state.withLock { $0 }
        if path.hasPrefix("/api/models/org/model/revision/main") { return send(connection, 200, list(now.files)) }
        let name = path.split(separator: "/").last.map(String.init) ?? ""
        guard let file = now.files.first(where: { $0.name == name || $0.name.hasSuffix("/" + name) }) else {
            return send(connection, 404, Array("none".utf8))
        }
        if range != nil, let status = now.partStatus { return send(connection, status, []) }
        if let status = now.refusals[name] { return send(connection, status, []) }
        let tag = file.isLarge == true ? sum(.sha256, file.bytes) : gitSum(file.bytes)
        if path.hasPrefix("/org/model/resolve/\(commit)/") {
            let host = now.redirectsTo ?? field("host") ?? ""
            return send(connection, 302, [], ["Location: http://\(host)/cdn/\(name)", "X-Linked-Etag: \"\(tag)\""])
        }
        var bytes = file.bytes
        let isCorrupt = state.withLock { state in
            defer { state.corruptions = max(0, state.corruptions - 1) }
            return state.corruptions > 0
        }
        if isCorrupt, !bytes.isEmpty { bytes[bytes.count - 1] ^= 1 }
        var fields: [String] = []
        var status = 200
        if let range, let start = Int(range.dropFirst("bytes=".count).dropLast()) {
            guard start < bytes.count else { return send(connection, 416, []) }
            fields.append("Content-Range: bytes \(start)-\(bytes.count - 1)/\(bytes.count)")
            bytes.removeFirst(start)
            status = 206
        }
        let cut = state.withLock { state -> Int in
            guard state.cuts > 0 else { return .max }
            state.cuts -= 1
            return state.cutAfter
        }
        send(connection, status, bytes, fields, cut: cut)
    }

    private static func send(_ connection: Int32, _ status: Int, _ body: [UInt8], _ fields: [String] = [], cut: Int = .max) {
        var head = "HTTP/1.1 \(status) X\r\nContent-Length: \(body.count)\r\nConnection: close\r\n"
        for field in fields { head += field + "\r\n" }
        for part in [Array((head + "\r\n").utf8), Array(body.prefix(cut))] {
            var sent = 0
            while sent < part.count {
                let count = part.withUnsafeBytes { Glibc.send(connection, $0.baseAddress! + sent, part.count - sent, Int32(MSG_NOSIGNAL)) }
                guard count > 0 else { return }
                sent += count
            }
        }
    }

    private static func list(_ files: [File]) -> [UInt8] {
        let siblings = files.map { file in
            var entry: JSONObject = ["rfilename": .string(file.name), "size": .int(file.claimedSize ?? file.bytes.count)]
            if file.isLarge == false { entry["blobId"] = .string(gitSum(file.bytes)) }
            if file.isLarge == true {
                entry["lfs"] = .object([
                    "sha256": .string(sum(.sha256, file.bytes)), "size": .int(file.claimedSize ?? file.bytes.count), "pointerSize": .int(134),
                ])
            }
            return JSONValue.object(entry)
        }
        return Array(JSONValue.object(["id": .string("org/model"), "sha": .string(commit), "siblings": .array(siblings)]).serialized().utf8)
    }

    private static func sum(_ kind: Digest.Kind, _ bytes: [UInt8]) -> String {
        var digest = Digest(kind)
        digest.update(bytes)
        return digest.hex
    }

    private static func gitSum(_ bytes: [UInt8]) -> String { sum(.sha1, Array("blob \(bytes.count)".utf8) + [0] + bytes) }
}
