import API
import Engine
import TestSupport
import Testing
import Weights

/// What goes over a WebSocket below its messages: frames, limits, keys, closing.
@Suite struct SocketFrameTests {
    // MARK: Handshake

    static let handshakes: [([String: String], Int)] = [
        (["Upgrade": ""], 426), (["Upgrade": "h2c"], 426), (["Connection": "keep-alive"], 426), (["Sec-WebSocket-Version": "8"], 426),
        (["Sec-WebSocket-Version": ""], 426), (["Sec-WebSocket-Key": ""], 400), (["Sec-WebSocket-Key": "short"], 400),
        (["Sec-WebSocket-Key": "================================"], 400), (["Host": "evil.example"], 403),
        (["Origin": "http://evil.example"], 403), (["Content-Length": "5"], 400),
        (["Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket"], 101), (["Sec-WebSocket-Extensions": "permessage-deflate"], 101),
    ]

    @Test(arguments: handshakes)
    func aHandshakeThatIsNoneIsRefusedInTheUsualEnvelope(_ headers: [String: String], _ status: Int) async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket(headers: headers)
            #expect(socket.status == status, "\(headers)")
            if status == 426 {
                #expect(socket.headers["sec-websocket-version"] == "13" && socket.headers["upgrade"] == "websocket")
            }
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    @Test func aPlainRequestIsToldWhatThisAddressSpeaks() async throws {
        try await RunningServer.run { server in
            let answer = try await server.get("/v1/chat/stream")
            #expect(answer.status == 426)
            #expect(answer.json["error"]?["message"]?.string?.contains("WebSocket") == true)
            #expect(try await server.post("/v1/chat/stream", "{}").status == 405)
        }
    }

    static let keys: [([String: String], String, Int)] = [
        ([:], "", 401), (["Authorization": "Bearer wrong"], "", 401), (["Authorization": "Bearer client"], "", 101),
        (["X-Api-Key": "client"], "", 101), (["X-Admin-Key": "admin"], "", 101), ([:], "?api_key=client", 101),
        ([:], "?admin_key=admin", 101), ([:], "?api_key=wrong", 401), ([:], "?other=client", 401),
    ]

    @Test(arguments: keys)
    func theKeyIsAskedForAsEverywhere(_ headers: [String: String], _ query: String, _ status: Int) async throws {
        var configuration = Configuration()
        configuration.adminKey = Secret("admin")
        configuration.clientKey = Secret("client")
        try await RunningServer.run(configuration: configuration) { server async throws in
            #expect(try await server.socket("/v1/chat/stream" + query, headers: headers).status == status)
            #expect(try await server.get("/v1/models?api_key=client").status == 401, "in the address of this place only")
        }
    }

    @Test func aRequestThatWantsAnotherProtocolIsAnsweredAndItsConnectionEnds() async throws {
        try await RunningServer.run { server in
            // As clients of HTTP/2 ask; the parser reads nothing behind such a request.
            let answer = try await server.raw(
                "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
            )
            #expect(answer.hasPrefix("HTTP/1.1 200 "))
            #expect(answer.lowercased().contains("connection: close"))
        }
    }

    @Test func theSocketCanBeAskedForAfterOtherRequestsOnTheConnection() async throws {
        try await RunningServer.run { server in
            let answer = try await server.raw(
                "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/chat/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                    + "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \(SocketClient.key)\r\n\r\n", until: "HTTP/1.1 101 ")
            #expect(answer.contains("HTTP/1.1 200 "))
        }
    }

    // MARK: Frames

    /// Bytes of a first frame, and the number that the server closes with.
    static let hostile: [(String, [UInt8], Int)] = [
        ("not masked", [0x81, 0x02, 0x7B, 0x7D], 1002), ("binary", [0x82, 0x80, 0, 0, 0, 0], 1003),
        ("reserved bit", [0xC1, 0x80, 0, 0, 0, 0], 1002), ("unknown kind", [0x83, 0x80, 0, 0, 0, 0], 1002),
        ("unknown control", [0x8B, 0x80, 0, 0, 0, 0], 1002), ("continues nothing", [0x80, 0x80, 0, 0, 0, 0], 1002),
        ("broken ping", [0x09, 0x80, 0, 0, 0, 0], 1002), ("long ping", [0x89, 0xFE, 0x00, 0x7E, 0, 0, 0, 0], 1002),
        ("not UTF-8", [0x81, 0x82, 0, 0, 0, 0, 0xC3, 0x28], 1007),
        ("half a character", [0x81, 0x81, 0, 0, 0, 0, 0xE2], 1007),
        ("too long", [0x81, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0], 1009),
        ("far too long", [0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], 1009),
        ("negative length", [0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], 1009),
        ("message in a message", [0x01, 0x81, 0, 0, 0, 0, 0x7B, 0x81, 0x80, 0, 0, 0, 0], 1002),
        ("close of one byte", [0x88, 0x81, 0, 0, 0, 0, 0x03], 1002), ("close 1005", [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xED], 1002),
        ("close 999", [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE7], 1002), ("close 65535", [0x88, 0x82, 0, 0, 0, 0, 0xFF, 0xFF], 1002),
        ("close with bad text", [0x88, 0x83, 0, 0, 0, 0, 0x03, 0xE8, 0xFF], 1002),
    ]

    @Test func aHostileFrameGetsTheNumberOfItsFaultAndNobodyElseNotices() async throws {
        try await RunningServer.run { server in
            for (name, bytes, code) in Self.hostile {
                let socket = try await server.socket()
                try socket.send(raw: bytes)
                let frame = try await socket.frame()
                #expect(frame.code == code, "\(name): \(frame.opcode) \(frame.code ?? 0)")
                #expect(try await blocking({ try socket.next() }) == nil, "\(name): the connection goes on")
            }
            let socket = try await server.socket()
            try socket.send(SocketTests.request())
            #expect(try await socket.messages { $0.type == "chat.done" }.count > 2)
        }
    }

    @Test func randomBytesNeverEndTheServer() async throws {
        try await RunningServer.run { server in
            var random = SeededRandom(seed: 1)
            for round in 0..<60 {
                let socket = try await server.socket()
                let bytes = (0..<Int.random(in: 1...400, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
                // Every other round begins with a good frame, so that the rest comes in the middle of things.
                let before = round % 2 == 0 ? socket.frame(opcode: 1, Array(SocketTests.request().utf8)) : []
                try socket.send(raw: before + bytes)
                socket.halfClose()
                while try await blocking({ try socket.next() }) != nil {}
            }
            #expect(try await server.get("/healthz").status == 200)
            #expect(try await StreamTests.eventually { server.engine.status().inFlight == 0 })
        }
    }

    @Test func aMessageMayComeInPiecesWithPingsBetween() async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket()
            let bytes = Array(SocketTests.request(text: "wörld 🙂").utf8)
            for (index, start) in stride(from: 0, to: bytes.count, by: 7).enumerated() {
                let piece = Array(bytes[start..<min(start + 7, bytes.count)])
                let isLast = start + 7 >= bytes.count
                try socket.send(opcode: index == 0 ? 1 : 0, piece, isLast: isLast)
                if isLast { break }
                try socket.send(opcode: 9, Array("p\(index)".utf8))
                try socket.send(opcode: 10, [])
                let pong = try await socket.pong()
                #expect(pong.text == "p\(index)")
            }
            #expect(try await socket.messages { $0.type == "chat.done" }.last?["finish_reason"]?.string == "stop")
        }
    }

    @Test func aLongMessageIsReadAndALongerOneIsNot() async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket()
            func message(_ size: Int) -> String {
                let frame = #"{"type":"chat.cancel","request_id":"no","pad":""}"#
                return frame.replacing(#""pad":"""#, with: #""pad":"\#(String(repeating: "x", count: size - frame.utf8.count))""#)
            }
            try socket.send(message(1 << 20))
            #expect(try await socket.message().type == "chat.error")
            let half = Array(message((1 << 20) + 1).utf8)
            try socket.send(opcode: 1, Array(half[..<(1 << 19)]), isLast: false)
            try socket.send(opcode: 0, Array(half[(1 << 19)...]))
            #expect(try await socket.frame().code == 1009)
        }
    }

    @Test func aThousandAndMorePiecesOfOneMessageAreRefused() async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket()
            try socket.send(opcode: 1, [], isLast: false)
            for _ in 0..<1024 { try socket.send(opcode: 0, [], isLast: false) }
            #expect(try await socket.frame().code == 1008)
        }
    }

    @Test func manyMessagesAtOnceAreAnsweredEach() async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket()
            let one = socket.frame(opcode: 1, Array(#"{"type":"chat.cancel","request_id":"no"}"#.utf8))
            try await blocking { try socket.send(raw: [[UInt8]](repeating: one, count: 1000).flatMap(\.self)) }
            for _ in 0..<1000 { #expect(try await socket.message().type == "chat.error") }
        }
    }

    @Test func aClientThatReadsNothingIsGivenUp() async throws {
        try await RunningServer.run { server in
            let socket = try await server.socket()
            let one = socket.frame(opcode: 1, Array("{\"type\":\"\(String(repeating: "x", count: 200))\"}".utf8))
            // Each is answered by an error, and none of these is read.
            try await blocking { for _ in 0..<400 { try socket.send(raw: [[UInt8]](repeating: one, count: 200).flatMap(\.self)) } }
            #expect(try await StreamTests.eventually { server.lines.all.contains { $0.contains("WebSocket client disconnected: too slow") } })
            #expect(try await server.get("/healthz").status == 200)
        }
    }

    // MARK: Closing

    @Test func aCloseIsAnsweredWithItsNumber() async throws {
        try await RunningServer.run { server in
            for (sent, expected) in [([0x03, 0xE8], 1000), ([0x0F, 0xA0] + Array("bye".utf8), 4000), ([], nil)] as [([UInt8], Int?)] {
                let socket = try await server.socket()
                try socket.send(opcode: 8, sent)
                let frame = try await socket.frame()
                #expect(frame.opcode == 8 && frame.code == expected)
                #expect(try await blocking({ try socket.next() }) == nil)
            }
        }
    }

    @Test func anIdleSocketIsClosedAndABusyOneIsNot() async throws {
        var configuration = Configuration()
        configuration.socketIdle = .milliseconds(200)
        try await RunningServer.run(Script("x", microsecondsForPrompt: 600_000), configuration: configuration) { server in
            let idle = try await server.socket()
            #expect(try await idle.frame().code == 1008)
            let busy = try await server.socket()
            try busy.send(SocketTests.request())
            #expect(try await busy.messages { $0.type == "chat.done" }.last?["finish_reason"]?.string == "stop")
        }
    }
}

extension SocketClient {
    fileprivate func pong() async throws -> Frame {
        while true {
            let frame = try await frame()
            if frame.opcode == 10 { return frame }
        }
    }
}
