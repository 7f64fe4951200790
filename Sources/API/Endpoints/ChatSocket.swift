import Weights

/// `GET /v1/chat/stream`: a WebSocket that carries chats, many at once if the client wants.
package struct ChatSocket: Endpoint {
    package static let method = Method.get
    package static let path: RoutePattern = "/v1/chat/stream"
    package static let access = Access.client
    /// A browser's WebSocket cannot send header fields.
    package static let keyParameters = ["api_key", "admin_key", "x_admin_key"]
    package init() {}

    package func answer(_ call: Call, _ body: NoBody, _ server: ServerContext) throws(APIError) -> Reply {
        let fields = call.head.fields
        guard call.head.method == "GET", Self.holds(fields["upgrade"], "websocket"), Self.holds(fields["connection"], "upgrade") else {
            throw APIError(
                426, "upgrade_required", type: "invalid_request_error",
                "this address speaks WebSocket (send Upgrade: websocket, or use POST /v1/chat/completions)")
        }
        guard fields["sec-websocket-version"] == "13", fields.count(of: "sec-websocket-version") == 1 else {
            throw APIError(426, "upgrade_required", type: "invalid_request_error", "Sec-WebSocket-Version: only 13 is spoken here")
        }
        guard fields.count(of: "sec-websocket-key") == 1, let key = fields["sec-websocket-key"], Self.isKey(key) else {
            throw .malformed("Sec-WebSocket-Key: must be 16 bytes in base64, once")
        }
        guard (fields["content-length"] ?? "0") == "0", fields["transfer-encoding"] == nil else {
            throw .malformed("a request for a WebSocket has no body")
        }
        if server.lifecycle.isDraining { throw .shuttingDown }
        return .socket { socket in await ChatSession(call: call, server: server, socket: socket).run() }
    }

    /// Whether a list of words separated by commas has this one, in either case.
    private static func holds(_ list: String?, _ word: String) -> Bool {
        list?.lowercased().split { $0 == "," || $0 == " " || $0 == "\t" }.contains { $0 == word } ?? false
    }

    private static func isKey(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count == 24, bytes.suffix(2).elementsEqual("==".utf8) else { return false }
        return bytes.dropLast(2).allSatisfy { byte in
            switch UnicodeScalar(byte) {
            case "A"..."Z", "a"..."z", "0"..."9", "+", "/": true
            default: false
            }
        }
    }
}
