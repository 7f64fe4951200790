import FoundationEssentials

/// The bundle of access rules that a server runs under.
public enum Profile: String, Sendable, CaseIterable {
    case local  // this machine only
    case lan  // a trusted network: no Host check, keys optional
    case cloud  // keys required
}

/// How a server is set up. The defaults serve this machine alone.
public struct Configuration: Sendable {
    // Server
    public var profile = Profile.local
    /// Where to listen; nil is the profile's own choice: both loopback addresses, or 0.0.0.0.
    public var host: String?
    public var port = 1234  // 0 lets the system choose
    public var drainTime = Duration.seconds(30)  // for running requests after the first signal to stop
    public var keepAlive = Duration.seconds(10)  // silence on a stream before a comment is sent

    public var heartbeat = Duration.seconds(10)  // between two signs of life in the live events
    public var pulse = Duration.seconds(1)  // between two looks at throughput and memory

    // Security
    public var adminKey: Secret?
    public var clientKey: Secret?
    public var allowedHosts: [String] = []
    public var allowedOrigins: [String] = []

    // Models
    public var unloadGrace = Duration.seconds(5)  // for running answers of a model that is to be unloaded
    public var exclusive = false  // a load unloads what was loaded before

    // Generation, where a request says nothing
    public var maximumTokens = 4096
    public var temperature = 0.7

    // Memory, per cent of the machine's
    public var memoryWarningPercent = 85.0
    public var memoryLimitPercent = 90.0

    public init() {}

    /// The key in a file: its first line. A key never stands on a command line, where every user of the machine reads it.
    public static func key(inFile path: String) throws(ConfigurationError) -> Secret {
        guard let data = try? Data(contentsOf: URL(filePath: path)), data.count <= 4096 else {
            throw ConfigurationError("\(path): cannot be read as a key file (one line, at most 4096 bytes)")
        }
        let line = data.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        guard let text = String(validating: line, as: UTF8.self), let key = Secret(text) else {
            throw ConfigurationError("\(path): the first line is empty or not UTF-8 (it is to be the key)")
        }
        return key
    }

    /// The addresses to listen on: the first must work, the others are added where the machine has them.
    package var addresses: [String] {
        if let host { return [host] }
        return profile == .local ? ["127.0.0.1", "::1"] : ["0.0.0.0"]
    }

    /// Refuses a configuration that would open the server wider than its profile says.
    public func validate() throws(ConfigurationError) {
        guard (0...65535).contains(port) else { throw ConfigurationError("port: \(port) is outside 0 to 65535") }
        switch profile {
        case .local:
            let keys = adminKey != nil && clientKey != nil
            guard let host, !keys, !["127.0.0.1", "::1", "localhost"].contains(host) else { return }
            throw ConfigurationError(
                "host: \(host) is not a loopback address (set an admin key and an API key, or choose profile = \"lan\")")
        case .lan: return
        case .cloud:
            guard adminKey != nil, clientKey != nil else {
                throw ConfigurationError("profile: \"cloud\" needs an admin key and an API key (--admin-key-file, --api-key-file)")
            }
        }
    }

    /// What is allowed but unwise, one line each, for the log at start.
    package var warnings: [String] {
        guard profile == .lan, adminKey == nil || clientKey == nil else { return [] }
        return ["profile lan without keys: everybody on the network may use this server"]
    }
}

/// Why a server does not start.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
