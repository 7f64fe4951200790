/// The methods that some path answers to.
package enum Method: String, Sendable { case get = "GET", post = "POST", delete = "DELETE" }

/// Header fields of a request: names in lower case, in the order of their arrival.
package struct HeaderFields: Sendable {
    private let fields: [(name: String, value: String)]

    package init(_ fields: [(name: String, value: String)]) {
        self.fields = fields.map { ($0.name.lowercased(), $0.value) }
    }

    package subscript(name: String) -> String? { fields.first { $0.name == name }?.value }
    func count(of name: String) -> Int { fields.count { $0.name == name } }
}

/// The head of one request as the rest of the server sees it: no type of the HTTP library in it.
package struct RequestHead: Sendable {
    package var method: String
    package var target: String  // path and query as sent
    package var host: String?  // the Host field, port included
    package var fields: HeaderFields

    package init(method: String, target: String, host: String?, fields: HeaderFields) {
        self.method = method
        self.target = target
        self.host = host
        self.fields = fields
    }

    /// The path as sent, percent-encoding untouched.
    var path: Substring { target.prefix { $0 != "?" && $0 != "#" } }

    /// What the client calls itself, for counting.
    var client: String? {
        guard let name = fields["x-client-id"] ?? fields["x-openclaw-agent-id"], !name.isEmpty else { return nil }
        return String(name.prefix(64))
    }

    /// A parameter behind the question mark, decoded; nil where it is not there.
    func query(_ name: String) -> String? {
        let query = target.dropFirst(path.utf8.count).dropFirst().prefix { $0 != "#" }
        for pair in query.split(separator: "&") {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard RoutePattern.decoded(sides[0].utf8) == name else { continue }
            return sides.count == 2 ? RoutePattern.decoded(sides[1].utf8.map { $0 == UInt8(ascii: "+") ? UInt8(ascii: " ") : $0 }) : ""
        }
        return nil
    }
}

/// What an endpoint is told about its request besides the body.
package struct Call: Sendable {
    package let head: RequestHead
    package let parameters: [String]  // of the path, percent-decoded, in order
    package let requestID: String
    /// The port the server listens on.
    package let port: Int

    var client: String? { head.client }
}

enum Identifier {
    private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")

    /// `prefix` and 22 random letters or digits.
    static func make(_ prefix: String) -> String {
        var generator = SystemRandomNumberGenerator()
        return prefix + String((0..<22).compactMap { _ in letters.randomElement(using: &generator) })
    }

    /// The client's own id when it is harmless as a header value, else a new one.
    static func ofRequest(_ given: String?) -> String {
        guard let given, !given.isEmpty, given.utf8.count <= RequestLimits.requestIDBytes,
            given.utf8.allSatisfy({ isPlain($0) })
        else { return make("req-") }
        return given
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
            UInt8(ascii: ":"), UInt8(ascii: "/"), UInt8(ascii: "+"), UInt8(ascii: "="):
            true
        default: false
        }
    }
}
