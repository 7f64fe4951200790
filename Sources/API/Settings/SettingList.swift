extension Setting {
    /// Every key there is, in the order of the documentation. One key is one line here and one value in `Configuration`.
    public static let all: [Setting] = server + models + inference + memory + security + logging + device + presets

    private static let server: [Setting] = [
        text(
            "server.host", \.host, range: "an address", absent: "by profile", option: "--host", names: ["OPTA_LMX_HOST"],
            "where to listen; `local` takes loopback addresses, the others `0.0.0.0`"),
        integer("server.port", \.port, 0...65535, option: "--port", names: ["OPTA_LMX_PORT"], "0 lets the system choose"),
        seconds("server.drain_timeout", \.drainTime, 0...3600, live: true, "what running requests get to end after the first signal to stop"),
        seconds("server.keep_alive", \.keepAlive, 0.1...300, live: true, "silence on a stream before a sign of life is sent"),
        seconds("server.websocket_idle", \.socketIdle, 1...86_400, live: true, "a WebSocket on which nothing moves for so long is closed"),
        seconds("server.heartbeat", \.heartbeat, 0.1...300, live: true, "between two heartbeats of the live events"),
    ]

    private static let models: [Setting] = [
        text(
            "models.default", \.defaultModel, range: "an id or path", absent: "none", names: ["OPTA_LMX_DEFAULT"],
            "loaded at start, before those of the command line; what `auto` means while it is loaded"),
        list(
            "models.paths", \.modelFolders, range: "folders", absent: "`./models`, the user's data folder", option: "--models-dir",
            names: ["OPTA_LMX_PATHS"], "where models are looked for; `~` is the user's home", check: { Configuration.expanded($0) }),
        list("models.auto_load", \.loadAtStart, range: "ids or paths", option: "MODEL…", "loaded at start"),
        flag("models.exclusive", \.exclusive, live: true, "a load unloads what was loaded before"),
        flag("models.evict", \.evicts, live: true, "a load that does not fit unloads what was used the longest ago and is idle"),
        seconds("models.idle_timeout", \.idleTimeout, upTo: 31_536_000, live: true, "a model that nobody asked anything for so long is unloaded"),
        seconds("models.unload_grace", \.unloadGrace, 0...3600, live: true, "what running answers get to end when their model is unloaded"),
        make(
            "models.hub", \.hub, .text, range: "an address", option: nil, names: ["HF_ENDPOINT"], live: true,
            "where models are downloaded from", parse: { value throws(SettingProblem) in try address(value) }, show: { "\"\($0)\"" }),
        make(
            "models.hub_token", \.hubToken, .text, range: "a line of text", option: nil, names: ["HF_TOKEN"], live: true, secret: true,
            "what the hub knows this server by",
            parse: { value throws(SettingProblem) in
                guard let secret = Secret(try string(value)) else { throw SettingProblem("is empty (leave it out for none)") }
                return secret
            }, show: { $0 == nil ? "none" : "set" }),
        make(
            "models.aliases", \.aliases, .table, range: "names", option: nil, live: true,
            "other names for models: `fast = \"ID\"`, or a list of which the first loaded one is meant",
            parse: { value throws(SettingProblem) in try aliases(value) }, show: { _ in "none" }),
    ]

    private static let inference: [Setting] = [
        integer("inference.max_tokens", \.maximumTokens, 1...(1 << 24), names: ["OPTA_LMX_MAX_TOKENS"], live: true, "of an answer, where a request says nothing"),
        number("inference.temperature", \.temperature, 0...2, names: ["OPTA_LMX_TEMPERATURE"], live: true, "where a request says nothing"),
        seconds("inference.timeout", \.answerTime, 1...86_400, live: true, "for one request, waiting included; then it ends with `lmx-timeout`"),
        integer(
            "inference.context_length", \.contextLength, 16...(1 << 24), absent: "the model's, up to 32768", option: "--context",
            names: ["OPTA_LMX_CONTEXT_LENGTH"], "tokens of prompt and answer together"),
        integer("inference.parallel", \.parallel, 1...1024, option: "--parallel", "requests that run at the same time in each model"),
        integer("inference.queue", \.queue, 0...65536, option: "--queue", "requests that wait for each model; more get a 429"),
        integer("inference.threads", \.threads, 1...256, absent: "one per core", option: "--threads", "threads that compute"),
        choice("inference.kv_cache", \.cachePrecision, option: "--kv-cache", "keys and values in half precision, or in bytes"),
        flag("inference.precise", \.precise, option: "--precise", "the reference path; slow"),
        flag("inference.speculation", \.speculation, option: "--no-speculation", "guess next tokens where it pays"),
        flag("inference.prefix_cache", \.prefixCache, option: "--no-prefix-cache", "keep what was computed for prompts that begin alike"),
    ]

    private static let memory: [Setting] = [
        make(
            "memory.total_gb", \.memoryTotalBytes, .number, range: "0.0625 to 65536 GiB", option: nil, live: false,
            "what this process may take; it is measured by its own memory then, not by the machine's",
            parse: { value throws(SettingProblem) in Int(try real(value, 0.0625...65536) * 1_073_741_824) },
            show: { $0.map { "\(Double($0) / 1_073_741_824)" } ?? "the machine's or the control group's" }),
        number("memory.max_memory_pct", \.memoryWarningPercent, 1...100, names: ["OPTA_LMX_MAX_MEMORY_PCT"], live: true, "of all memory; above it a warning is told"),
        number("memory.oom_threshold_pct", \.memoryLimitPercent, 1...100, names: ["OPTA_LMX_OOM_THRESHOLD_PCT"], "of all memory; above it nothing is loaded and models are unloaded"),
    ]

    private static let security: [Setting] = [
        choice("security.profile", \.profile, option: "--profile", "who may connect ([api.md](api.md))"),
        secret("security.admin_key", \.adminKey, live: true, "the key for `/admin`"),
        text("security.admin_key_file", \.adminKeyFile, range: "a file", absent: "none", option: "--admin-key-file", live: true, "its first line is the key for `/admin`"),
        secret("security.api_key", \.clientKey, live: true, "the key for `/v1`"),
        text("security.api_key_file", \.clientKeyFile, range: "a file", absent: "none", option: "--api-key-file", live: true, "its first line is the key for `/v1`"),
        list("security.allowed_hosts", \.allowedHosts, range: "names", live: true, "names of this server, besides loopback's"),
        list("security.cors_allowed_origins", \.allowedOrigins, range: "origins", live: true, "pages that may use this server: `https://chat.example`"),
        flag("security.downloads_enabled", \.downloadsEnabled, live: true, "models may be downloaded from the hub"),
    ]

    private static let logging: [Setting] = [
        choice("logging.format", \.logFormat, option: "--log-format", "lines for people, or one JSON object a line"),
        choice("logging.level", \.logLevel, option: "--log-level", live: true, "nothing below it is written"),
    ]

    private static let device: [Setting] = [
        text("device.name", \.deviceName, range: "text", absent: "the host name", live: true, "what this machine is called in `/admin/device`"),
        text("device.purpose", \.devicePurpose, range: "text", absent: "none", live: true, "what it is for"),
        text("device.role", \.deviceRole, range: "text", absent: "\"inference_server\"", live: true, "what it does"),
    ]

    private static let presets: [Setting] = [
        make(
            "presets", \.presets, .table, range: "tables", option: nil, live: true, "named sets of parameters: see Presets",
            parse: { value throws(SettingProblem) in try Preset.list(value) }, show: { _ in "none" })
    ]

    // MARK: Values of their own kind

    private static func address(_ value: TOMLValue) throws(SettingProblem) -> String {
        var text = try string(value)
        while text.hasSuffix("/") { text.removeLast() }
        guard text.hasPrefix("http://") || text.hasPrefix("https://"), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw SettingProblem("must be an address that begins with http:// or https://")
        }
        return text
    }

    private static func aliases(_ value: TOMLValue) throws(SettingProblem) -> [String: [String]] {
        guard case .table(let table) = value else { throw .mistyped("a table of names", value) }
        var aliases: [String: [String]] = [:]
        for member in table.members {
            switch member.value {
            case .string(let id): aliases[member.key] = [id]
            case .array(let values):
                var ids: [String] = []
                for value in values { ids.append(try string(value)) }
                aliases[member.key] = ids
            default: throw SettingProblem("\(member.key) must be an id or a list of ids, not \(member.value.kind)")
            }
        }
        return aliases
    }
}
