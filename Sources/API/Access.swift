/// Who may use an endpoint.
package enum Access: Sendable {
    case open  // everybody
    case client  // whoever holds the API key, or the admin key, where one is set
    case admin  // whoever holds the admin key, where one is set
}

/// A key of the configuration, compared in a time that says nothing about its letters.
public struct Secret: Sendable, Equatable {
    private let bytes: [UInt8]

    /// Nil for an empty key, which would let everybody in.
    public init?(_ text: String) {
        guard !text.isEmpty else { return nil }
        bytes = Array(text.utf8)
    }

    /// For the one who sends it on. Never to be shown.
    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Takes time by the length of `candidate` alone.
    package func matches(_ candidate: String?) -> Bool {
        guard let candidate else { return false }
        var difference = candidate.utf8.count ^ bytes.count
        for (index, byte) in candidate.utf8.enumerated() { difference |= Int(byte ^ bytes[index % bytes.count]) }
        return difference == 0
    }
}

/// Decides over a request before anything of it is acted on: its Host, its Origin, its keys.
///
/// A browser sends requests on behalf of any page it shows. So in the `local` profile the Host must be a name of this
/// machine's loopback (a page cannot reach us under its own name, DNS rebinding included), and in every profile an
/// Origin must be our own or a listed one. A request without Origin is no browser's and is judged by its keys.
package struct Gatekeeper: Sendable {
    let profile: Profile
    let adminKey: Secret?
    let clientKey: Secret?
    let hosts: [String]  // accepted besides the loopback names
    let origins: [String]  // accepted besides our own
    let machine: String  // host name of this machine

    static let loopback = ["localhost", "127.0.0.1", "[::1]"]
    static let dashboards = ["http://localhost:3003", "http://localhost:3004"]

    package init(_ configuration: Configuration, machine: String) {
        profile = configuration.profile
        adminKey = configuration.adminKey
        clientKey = configuration.clientKey
        hosts = configuration.allowedHosts.map { $0.lowercased() }
        origins = configuration.allowedOrigins.map { $0.lowercased() } + (profile == .lan ? Self.dashboards : [])
        self.machine = machine.lowercased()
    }

    /// Refuses a foreign Host or Origin. To be asked before routing.
    func admit(_ head: RequestHead) throws(APIError) {
        guard head.fields.count(of: "host") <= 1 else { throw .malformed("more than one Host field") }
        if checksHost {
            guard let host = head.host.flatMap(Self.name), isOurs(host) else {
                throw APIError(
                    403, "forbidden_host", type: "permission_error",
                    "Host '\(APIError.echo(head.host ?? ""))' is not a name of this server (allowed: \(listedHosts))")
            }
        }
        guard head.fields.count(of: "origin") <= 1 else { throw .malformed("more than one Origin field") }
        if let origin = head.fields["origin"]?.lowercased(), !isOwn(origin, host: head.host), listed(origin) == nil {
            throw APIError(
                403, "forbidden_origin", type: "permission_error",
                "Origin '\(APIError.echo(origin))' is not allowed (list it in cors_allowed_origins)")
        }
    }

    /// Refuses a request without the key that `access` asks for.
    ///
    /// - Parameter keyParameters: of the address, in which the key may stand, too.
    func authorise(_ head: RequestHead, for access: Access, keyParameters: [String] = []) throws(APIError) {
        let bearer = head.fields["authorization"].flatMap(Self.bearer)
        func isAdmin(_ key: Secret) -> Bool { key.matches(head.fields["x-admin-key"]) || key.matches(bearer) }
        switch access {
        case .open: return
        case .admin:
            guard let adminKey, !isAdmin(adminKey) else { return }
            if keyParameters.contains(where: { adminKey.matches(head.query($0)) }) { return }
            throw .adminKey
        case .client:
            guard let clientKey else { return }
            if clientKey.matches(bearer) || clientKey.matches(head.fields["x-api-key"]) { return }
            if let adminKey, isAdmin(adminKey) { return }
            let keys = [clientKey, adminKey].compactMap(\.self)
            if keyParameters.contains(where: { name in keys.contains { $0.matches(head.query(name)) } }) { return }
            throw .clientKey
        }
    }

    /// The header fields that let an allowed page read the answer; none for our own pages and for other programs.
    ///
    /// Only configured text goes into them, never the client's.
    func crossOriginFields(_ head: RequestHead) -> [(name: String, value: String)] {
        guard let origin = head.fields["origin"]?.lowercased(), let listed = listed(origin) else { return [] }
        return [
            ("Access-Control-Allow-Origin", listed),
            ("Access-Control-Expose-Headers", "X-Request-ID, Retry-After"),
            ("Vary", "Origin"),
        ]
    }

    /// What a browser asks before a cross-origin request (OPTIONS with Access-Control-Request-Method).
    static let preflightFields = [
        (name: "Access-Control-Allow-Methods", value: "GET, POST, DELETE, OPTIONS"),
        (
            name: "Access-Control-Allow-Headers",
            value: "X-Admin-Key, Authorization, X-Api-Key, Content-Type, X-Request-ID, X-Client-ID, Last-Event-ID"
        ),
        (name: "Access-Control-Max-Age", value: "600"),
    ]

    private var checksHost: Bool {
        switch profile {
        case .local: true
        case .lan: false
        case .cloud: !hosts.isEmpty
        }
    }

    private var listedHosts: String { (Self.loopback + hosts).joined(separator: ", ") }

    private func isOurs(_ host: String) -> Bool { Self.loopback.contains(host) || hosts.contains(host) }

    /// Our own origin: the page came from the address that the request goes to. Where Host is not checked it must still
    /// be no name that a stranger could own: an address, or a name of this machine.
    /// The `cloud` profile goes by its list alone.
    private func isOwn(_ origin: String, host: String?) -> Bool {
        guard profile != .cloud, let host = host?.lowercased(), origin == "http://" + host || origin == "https://" + host,
            let name = Self.name(of: host)
        else { return false }
        return isOurs(name) || Self.isAddress(name) || name == machine || name == machine + ".local"
    }

    private func listed(_ origin: String) -> String? {
        origins.first { $0 == origin } ?? (origins.contains("*") && origin != "null" ? "*" : nil)
    }

    /// The name in a Host field, in lower case, without port and final dot; brackets of an IPv6 address stay.
    static func name(of host: String) -> String? {
        let host = host.lowercased()
        if host.hasPrefix("[") {
            guard let close = host.firstIndex(of: "]") else { return nil }
            let rest = host[host.index(after: close)...]
            return isPort(rest) ? String(host[...close]) : nil
        }
        let name = host.prefix { $0 != ":" }
        guard isPort(host[name.endIndex...]), !name.isEmpty else { return nil }
        return name.hasSuffix(".") ? String(name.dropLast()) : String(name)
    }

    private static func isPort(_ rest: Substring) -> Bool {
        rest.isEmpty || (rest.first == ":" && rest.dropFirst().utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
    }

    private static func isAddress(_ name: String) -> Bool {
        if name.hasPrefix("[") { return true }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }

    private static func bearer(_ field: String) -> String? {
        let parts = field.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        return String(parts[1])
    }
}
