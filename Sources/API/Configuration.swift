public import Engine
import FoundationEssentials

/// The bundle of access rules that a server runs under.
public enum Profile: String, Sendable, CaseIterable {
    case local  // this machine only
    case lan  // a trusted network: no Host check, keys optional
    case cloud  // keys required
}

/// How keys and values of a cache are stored.
public enum CachePrecision: String, Sendable, CaseIterable { case f16, q8 }

/// How the lines for operators are written.
public enum LogFormat: String, Sendable, CaseIterable {
    case text  // `INFO:     Model loaded: …`
    case json  // one object a line
}

/// How a server is set up. The defaults serve this machine alone.
///
/// What can be configured has a line in `Setting.all`, which says its name, its range and what it means.
public struct Configuration: Sendable {
    // [server]
    /// Where to listen; nil is the profile's own choice: both loopback addresses, or 0.0.0.0.
    public var host: String?
    public var port = 1234  // 0 lets the system choose
    public var drainTime = Duration.seconds(30)  // for running requests after the first signal to stop
    public var keepAlive = Duration.seconds(10)  // silence on a stream before a comment is sent
    public var socketIdle = Duration.seconds(300)  // a WebSocket on which nothing moves is closed
    public var heartbeat = Duration.seconds(10)  // between two signs of life in the live events
    public var pulse = Duration.seconds(1)  // between two looks at throughput and memory; no key

    // [models]
    public var defaultModel: String?  // an id or path
    public var modelFolders: [String] = []  // empty: the standard ones
    public var loadAtStart: [String] = []  // ids or paths
    public var exclusive = false  // a load unloads what was loaded before
    public var evicts = true  // a load that does not fit unloads idle models
    public var idleTimeout: Duration?  // after which an unused model is unloaded; nil: never
    public var unloadGrace = Duration.seconds(5)  // for running answers of a model that is to be unloaded
    public var hub = "https://huggingface.co"
    public var hubToken: Secret?
    public var hubTimeout = Duration.seconds(30)  // without a byte the hub is given up; no key
    public var aliases: [String: [String]] = [:]  // name → ids, of which the first loaded one is meant

    // [inference]
    public var maximumTokens = 4096  // where a request says nothing
    public var temperature = 0.7  // likewise
    public var answerTime = Duration.seconds(1800)  // for one request, waiting included
    public var contextLength: Int?
    public var parallel = 4
    public var queue = 64
    public var threads: Int?  // nil: one per core
    public var cachePrecision = CachePrecision.f16
    public var precise = false
    public var speculation = true
    public var prefixCache = true

    // [memory], per cent of all memory
    public var memoryTotalBytes: Int?  // nil: the machine's or the control group's
    public var memoryWarningPercent = 85.0
    public var memoryLimitPercent = 90.0

    // [security]
    public var profile = Profile.local
    public var adminKey: Secret?
    public var adminKeyFile: String?  // has been read into `adminKey`
    public var clientKey: Secret?
    public var clientKeyFile: String?
    public var allowedHosts: [String] = []
    public var allowedOrigins: [String] = []
    public var downloadsEnabled = false

    // [logging]
    public var logFormat = LogFormat.text
    public var logLevel = LogLine.Level.info

    // [device]
    public var deviceName: String?
    public var devicePurpose: String?
    public var deviceRole: String?

    // [presets]
    public var presets: [Preset] = []

    /// What is allowed but unwise in the sources, one line each.
    var remarks: [String] = []

    public init() {}

    /// Ids or paths, each once: the default, those of the command line or `models.auto_load`, those of presets.
    public var modelsAtStart: [String] {
        var models: [String] = []
        let presets = presets.filter(\.loadsAtStart).compactMap(\.model)
        for model in [defaultModel].compactMap(\.self) + loadAtStart + presets where !models.contains(model) { models.append(model) }
        return models
    }

    /// What of it concerns the engine.
    public var engineOptions: EngineOptions {
        var options = EngineOptions()
        options.contextLength = contextLength
        options.parallel = parallel
        options.queue = queue
        options.speculation = speculation ? .automatic : .off
        options.reusesPrefixes = prefixCache
        options.memoryLimitPercent = memoryLimitPercent
        options.memory = MemoryGauge(configuredBytes: memoryTotalBytes)
        return options
    }

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
        guard (0...65535).contains(port) else { throw ConfigurationError("server.port: \(port) is outside 0 to 65535") }
        guard memoryWarningPercent <= memoryLimitPercent else {
            throw ConfigurationError(
                "memory.max_memory_pct: \(Setting.plain(memoryWarningPercent)) is above memory.oom_threshold_pct, \(Setting.plain(memoryLimitPercent))")
        }
        if precise, cachePrecision != .f16 {
            throw ConfigurationError("inference.kv_cache: precise keeps keys and values in f32 (leave it out)")
        }
        switch profile {
        case .local:
            let keys = adminKey != nil && clientKey != nil
            guard let host, !keys, !["127.0.0.1", "::1", "localhost"].contains(host) else { return }
            throw ConfigurationError(
                "server.host: \(host) is not a loopback address (set an admin key and an API key, or choose profile = \"lan\")")
        case .lan: return
        case .cloud:
            guard adminKey != nil, clientKey != nil else {
                throw ConfigurationError(
                    "security.profile: \"cloud\" needs an admin key and an API key (--admin-key-file, --api-key-file)")
            }
        }
    }

    /// What is allowed but unwise, one line each, for the log at start.
    package var warnings: [String] {
        guard profile == .lan, adminKey == nil || clientKey == nil else { return remarks }
        return remarks + ["profile lan without keys: everybody on the network may use this server"]
    }
}

/// Why a server does not start.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    public let description: String
    /// The command line is wrong, not a file or the environment.
    public var isUsage: Bool { description.hasPrefix("--") }
    public init(_ description: String) { self.description = description }
}
