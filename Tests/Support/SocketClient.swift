#if canImport(Glibc)
    internal import Glibc
#endif

/// A WebSocket to 127.0.0.1 for tests: sends whatever frames it is told to, good or bad, and reads frames as they come.
///
/// `@unchecked Sendable`: a test uses it from one task at a time.
public final class SocketClient: @unchecked Sendable {
    public struct Frame: Sendable, Equatable {
        public var isLast: Bool
        public var opcode: UInt8  // 1 text, 2 binary, 8 close, 9 ping, 10 pong
        public var payload: [UInt8]
        public var text: String { String(decoding: payload, as: UTF8.self) }
        /// The number in a close frame.
        public var code: Int? { opcode == 8 && payload.count >= 2 ? Int(payload[0]) << 8 | Int(payload[1]) : nil }
    }

    /// The example of RFC 6455, section 1.3, and what a server must make of it.
    public static let key = "dGhlIHNhbXBsZSBub25jZQ=="
    public static let acceptance = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    public let status: Int
    public let headers: [String: String]  // names in lower case
    private let client: LoopbackClient
    private let socket: Int32
    private var bytes: [UInt8] = []
    private var mask = SeededRandom(seed: 6455)

    /// Connects and asks for the protocol. `status` says whether the server agreed.
    ///
    /// - Parameter headers: besides those of the protocol, or instead of them; an empty value leaves a field out.
    public init(_ client: LoopbackClient, path: String = "/v1/chat/stream", headers: [String: String] = [:], seconds: Int = 20) throws {
        self.client = client
        socket = try client.connect(seconds: seconds)
        var fields = [
            "Host": "127.0.0.1:\(client.port)", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": Self.key,
        ]
        fields.merge(headers) { $1 }
        var request = "GET \(path) HTTP/1.1\r\n"
        for (name, value) in fields where !value.isEmpty { request += "\(name): \(value)\r\n" }
        try client.write(Array((request + "\r\n").utf8), to: socket)
        var block = [UInt8](repeating: 0, count: 4096)
        var got: [UInt8] = []
        while !got.contains([13, 10, 13, 10]) {
            let count = recv(socket, &block, block.count, 0)
            guard count > 0 else { throw LoopbackClient.Failure(description: "the handshake was not answered") }
            got += block.prefix(count)
        }
        let answer = try LoopbackClient.parse(got)
        (status, self.headers) = (answer.status, answer.headers)
        bytes = answer.body
    }

    deinit { close(socket) }

    // MARK: Sending

    public func send(_ text: String) throws { try send(opcode: 1, Array(text.utf8)) }

    /// - Parameter first: the first byte as it is to be, where it is not the usual one.
    public func send(opcode: UInt8, _ payload: [UInt8], isLast: Bool = true, isMasked: Bool = true, first: UInt8? = nil) throws {
        try client.write(frame(opcode: opcode, payload, isLast: isLast, isMasked: isMasked, first: first), to: socket)
    }

    public func send(raw: [UInt8]) throws { try client.write(raw, to: socket) }

    public func frame(opcode: UInt8, _ payload: [UInt8], isLast: Bool = true, isMasked: Bool = true, first: UInt8? = nil) -> [UInt8] {
        var frame = [first ?? (isLast ? 0x80 : 0) | opcode]
        let bit: UInt8 = isMasked ? 0x80 : 0
        switch payload.count {
        case ...125: frame.append(bit | UInt8(payload.count))
        case ...65535: frame += [bit | 126, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        default: frame += [bit | 127] + (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
        }
        guard isMasked else { return frame + payload }
        let key = (0..<4).map { _ in UInt8(truncatingIfNeeded: mask.next()) }
        return frame + key + payload.enumerated().map { $1 ^ key[$0 % 4] }
    }

    /// Ends the sending half without a word.
    public func halfClose() { shutdown(socket, Int32(SHUT_WR)) }

    // MARK: Receiving

    /// The next frame; nil when the server has ended the connection.
    public func next() throws -> Frame? {
        guard try fill(2) else { return nil }
        var length = Int(bytes[1] & 127)
        var start = 2
        if length == 126 {
            guard try fill(4) else { return nil }
            (length, start) = (Int(bytes[2]) << 8 | Int(bytes[3]), 4)
        } else if length == 127 {
            guard try fill(10) else { return nil }
            (length, start) = (bytes[2..<10].reduce(0) { $0 << 8 | Int($1) }, 10)
        }
        guard try fill(start + length) else { return nil }
        let frame = Frame(isLast: bytes[0] & 128 != 0, opcode: bytes[0] & 15, payload: Array(bytes[start..<(start + length)]))
        bytes.removeFirst(start + length)
        return frame
    }

    private func fill(_ count: Int) throws -> Bool {
        var block = [UInt8](repeating: 0, count: 65536)
        while bytes.count < count {
            let got = recv(socket, &block, block.count, 0)
            if got == 0 || (got < 0 && errno == ECONNRESET) { return false }
            guard got > 0 else { throw LoopbackClient.Failure(description: "socket: \(String(cString: strerror(errno)))") }
            bytes += block.prefix(got)
        }
        return true
    }
}
