#if canImport(Glibc)
    internal import Glibc
#endif

/// A small HTTP/1.1 client for tests: one request per connection, to 127.0.0.1, answers read as bytes.
public struct LoopbackClient: Sendable {
    public struct Answer: Sendable {
        public var status: Int
        /// Names in lower case.
        public var headers: [String: String]
        public var body: [UInt8]
        public var text: String { String(decoding: body, as: UTF8.self) }
        /// The data of each server-sent event.
        public var events: [String] {
            text.split(separator: "\n\n").compactMap { frame in
                frame.split(separator: "\n").first { $0.hasPrefix("data: ") }.map { String($0.dropFirst("data: ".count)) }
            }
        }
    }

    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    public let port: Int

    public init(port: Int) { self.port = port }

    public func get(_ path: String, headers: [String: String] = [:], seconds: Int = 60) throws -> Answer {
        try send("GET", path, body: nil, headers: headers, seconds: seconds)
    }

    public func post(_ path: String, _ json: String, headers: [String: String] = [:], seconds: Int = 60) throws -> Answer {
        try send(
            "POST", path, body: Array(json.utf8), headers: ["Content-Type": "application/json"].merging(headers) { $1 }, seconds: seconds)
    }

    public func send(
        _ method: String, _ path: String, body: [UInt8]?, headers: [String: String], seconds: Int = 60
    ) throws -> Answer {
        let socket = try connect(seconds: seconds)
        defer { close(socket) }
        var head = "\(method) \(path) HTTP/1.1\r\nConnection: close\r\n"
        if headers["Host"] == nil { head += "Host: 127.0.0.1:\(port)\r\n" }
        if let body { head += "Content-Length: \(body.count)\r\n" }
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        try write(Array((head + "\r\n").utf8) + (body ?? []), to: socket)
        return try Self.parse(try readAll(socket))
    }

    /// A connected socket; the caller closes it.
    public func connect(seconds: Int = 60) throws -> Int32 {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(socket)
            throw Failure(description: "127.0.0.1:\(port): cannot connect: \(String(cString: strerror(errno)))")
        }
        return socket
    }

    public func write(_ bytes: [UInt8], to socket: Int32) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.send(socket, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
            if count <= 0 { break }  // a server may refuse before it has read everything; its answer is still there to read
            sent += count
        }
    }

    public func readAll(_ socket: Int32) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(socket, &block, block.count, 0)
            if count == 0 { return bytes }
            if count < 0 {
                if !bytes.isEmpty && errno == ECONNRESET { return bytes }
                throw Failure(description: "127.0.0.1:\(port): \(String(cString: strerror(errno))) after \(bytes.count) bytes")
            }
            bytes += block[..<count]
        }
    }

    public static func parse(_ bytes: [UInt8]) throws -> Answer {
        let end: [UInt8] = [13, 10, 13, 10]
        guard let split = bytes.indices.first(where: { bytes[$0...].starts(with: end) }) else {
            throw Failure(description: "no head in an answer of \(bytes.count) bytes")
        }
        let lines = String(decoding: bytes[..<split], as: UTF8.self).split(separator: "\r\n")
        let status = lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        let rest = Array(bytes[(split + 4)...])
        return Answer(status: status, headers: headers, body: headers["transfer-encoding"] == "chunked" ? joined(chunks: rest) : rest)
    }

    private static func joined(chunks bytes: [UInt8]) -> [UInt8] {
        var body: [UInt8] = []
        var place = 0
        while let line = bytes[place...].firstIndex(of: 13), line + 2 <= bytes.count {
            guard let size = Int(String(decoding: bytes[place..<line], as: UTF8.self), radix: 16), size > 0 else { break }
            let start = line + 2
            let end = min(start + size, bytes.count)
            body += bytes[start..<end]
            place = min(end + 2, bytes.count)
        }
        return body
    }
}
