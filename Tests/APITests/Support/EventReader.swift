import API
import Foundation
import Glibc
import TestSupport
import Weights

/// One connection to the live events: reads frames as they come.
///
/// `@unchecked Sendable`: a test reads from one task at a time.
final class EventReader: @unchecked Sendable {
    struct Frame: Sendable {
        var id: String?
        var event: String?
        var data: JSONValue

        var type: String? { data["type"]?.string }
    }

    private let socket: Int32
    private var bytes: [UInt8] = []
    private(set) var head = ""

    /// Connects and reads the header of the answer.
    init(_ client: LoopbackClient, path: String = "/admin/events", headers: [String: String] = [:]) throws {
        socket = try client.connect(seconds: 10)
        var request = "GET \(path) HTTP/1.1\r\nHost: localhost\r\n"
        for (name, value) in headers { request += "\(name): \(value)\r\n" }
        try client.write(Array((request + "\r\n").utf8), to: socket)
        while head.isEmpty {
            if let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) {
                head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
                bytes.removeFirst(end.upperBound)
            } else {
                try receive()
            }
        }
    }

    deinit { close(socket) }

    /// The next frame that is no comment.
    func next() throws -> Frame {
        while true {
            // Chunk sizes of the transfer coding stand on lines of their own between the frames.
            if let end = bytes.firstRange(of: Array("\n\n".utf8)) {
                let text = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
                bytes.removeFirst(end.upperBound)
                var frame = Frame(data: .null)
                for line in text.split(whereSeparator: \.isNewline) {
                    if line.hasPrefix("id: ") { frame.id = String(line.dropFirst(4)) }
                    if line.hasPrefix("event: ") { frame.event = String(line.dropFirst(7)) }
                    if line.hasPrefix("data: ") { frame.data = (try? JSONValue.parse(String(line.dropFirst(6)))) ?? .null }
                }
                if frame.data != .null { return frame }
            } else {
                try receive()
            }
        }
    }

    /// Frames up to and with the first that `condition` holds for.
    func frames(until condition: (Frame) -> Bool) throws -> [Frame] {
        var frames: [Frame] = []
        while true {
            let frame = try next()
            frames.append(frame)
            if condition(frame) { return frames }
            if frames.count > 5000 { throw ClientFailure(description: "5000 frames and not the one") }
        }
    }

    private func receive() throws {
        var block = [UInt8](repeating: 0, count: 65536)
        let count = recv(socket, &block, block.count, 0)
        guard count > 0 else { throw ClientFailure(description: count == 0 ? "the stream ended" : String(cString: strerror(errno))) }
        bytes += block.prefix(count)
    }
}

extension RunningServer {
    func events(_ path: String = "/admin/events", headers: [String: String] = [:]) async throws -> EventReader {
        try await blocking { try EventReader(client, path: path, headers: headers) }
    }
}

extension EventReader {
    func collect(until condition: @escaping @Sendable (Frame) -> Bool) async throws -> [Frame] {
        try await blocking { try self.frames(until: condition) }
    }
}
