internal import API
internal import ArgumentParser
internal import Engine
internal import Formats
internal import Foundation
internal import Logging
internal import Weights

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The server: OpenAI-compatible completions, health and model administration.",
        discussion: """
            Listens first and loads the models then. What is not said here is taken from the environment (LMX_SECTION__KEY),
            then from the configuration file, then from the defaults; docs/operations.md lists every key. Keys are read
            from files or the environment, because a command line can be read by every user of the machine.

            Examples:
              lmx serve models/SmolLM2-135M-Instruct.Q4_1.gguf
              lmx serve --models-dir ~/models --profile lan --api-key-file key.txt
              lmx serve --config /etc/lmx/config.toml --check-config
            """)

    @Argument(help: "Models to load at start: paths or ids.") var models: [String] = []
    @Option(help: "The configuration, in TOML (default: lmx/config.toml in the user's configuration folder).") var config: String?
    @Flag(help: "Read the configuration, say whether it is right, and end.") var checkConfig = false
    @Option(help: "The address to listen on (default: loopback).") var host: String?
    @Option(help: "The port to listen on (default: 1234).") var port: Int?
    @Option(help: "Who may connect: local (default), lan or cloud.") var profile: String?
    @Option(help: "Tokens of prompt and answer together.") var context: Int?
    @Option(help: "Requests that run at the same time in each model (default: 4).") var parallel: Int?
    @Option(help: "Requests that wait for each model; more are told to come back later (default: 64).") var queue: Int?
    @Option(help: "A file whose first line is the key for /admin.") var adminKeyFile: String?
    @Option(help: "A file whose first line is the key for /v1.") var apiKeyFile: String?
    @Option(help: "How the log is written: text (default) or json.") var logFormat: String?
    @Option(help: "The least that is logged: info (default), warning or error.") var logLevel: String?
    @Option(name: .customLong("admin-key"), help: .hidden) var adminKeyItself: String?
    @Option(name: .customLong("api-key"), help: .hidden) var apiKeyItself: String?
    @OptionGroup var reuse: ReuseOptions
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var folders: FolderOptions

    func validate() throws {
        for (option, given) in [("admin-key", adminKeyItself), ("api-key", apiKeyItself)] where given != nil {
            let name = option.replacing("-", with: "_")
            throw ValidationError(
                "--\(option): every user of this machine can read a command line; give the key by --\(option)-file FILE, "
                    + "LMX_SECURITY__\(name.uppercased()) or \(name) in [security] of the configuration file")
        }
    }

    func run() async throws {
        let sources = ConfigurationSources(file: config, environment: ProcessInfo.processInfo.environment, commandLine: assignments)
        let configuration: Configuration
        do throws(ConfigurationError) {
            configuration = try sources.read()
        } catch {
            if error.isUsage { throw ValidationError(error.description) }
            throw error
        }
        if checkConfig {
            Terminal.write("\(sources.fileInUse ?? "no file"): the configuration is right\n")
            return
        }
        let compute = Self.compute(configuration)
        let folders = ModelFolders(configuration.modelFolders)
        let served = ServedFolders(folders, compute)
        let entries = try configuration.modelsAtStart.map { try ServedFolders.entry(at: folders.path(of: $0)) }
        var closures = served.closures
        closures.reload = { try sources.read() }
        let context = ServerContext(
            engine: InferenceEngine(options: configuration.engineOptions), configuration: configuration, version: Version.text,
            models: entries,
            loader: { entry, progress in try Composition.load(entry.path, id: entry.id, options: compute, progress: progress) },
            catalogue: { served.entries() }, closures: closures,
            log: { line in if let text = line.written(as: configuration.logFormat) { Terminal.write(text + "\n") } },
            logger: Logger(label: "lmx") { _ in Self.handler(configuration.logFormat) })
        let format = configuration.logFormat
        try await Server(
            context,
            onListening: { port in
                if format == .text { Self.greet(port: port, host: configuration.host, model: entries.first?.id) }
            })
            .runUntilSignalled()
    }

    /// What stands on the command line, by the keys that it sets.
    private var assignments: [ConfigurationSources.Assignment] {
        var list: [ConfigurationSources.Assignment] = []
        func add(_ key: String, _ option: String, _ value: TOMLValue?) {
            if let value { list.append(.init(key, value, origin: option)) }
        }
        func texts(_ texts: [String]) -> TOMLValue? { texts.isEmpty ? nil : .array(texts.map { .string($0) }) }
        add("server.host", "--host", host.map { .string($0) })
        add("server.port", "--port", port.map { .integer($0) })
        add("models.auto_load", "MODEL", texts(models))
        add("models.paths", "--models-dir", texts(folders.folders))
        add("inference.context_length", "--context", context.map { .integer($0) })
        add("inference.parallel", "--parallel", parallel.map { .integer($0) })
        add("inference.queue", "--queue", queue.map { .integer($0) })
        add("inference.threads", "--threads", compute.chosenThreads.map { .integer($0) })
        add("inference.kv_cache", "--kv-cache", compute.chosenCache.map { .string($0.rawValue) })
        add("inference.precise", "--precise", compute.precise ? .boolean(true) : nil)
        add("inference.speculation", "--speculation", reuse.chosenSpeculation.map { .boolean($0) })
        add("inference.prefix_cache", "--prefix-cache", reuse.chosenPrefixCache.map { .boolean($0) })
        add("security.profile", "--profile", profile.map { .string($0) })
        add("security.admin_key_file", "--admin-key-file", adminKeyFile.map { .string($0) })
        add("security.api_key_file", "--api-key-file", apiKeyFile.map { .string($0) })
        add("logging.format", "--log-format", logFormat.map { .string($0) })
        add("logging.level", "--log-level", logLevel.map { .string($0) })
        return list
    }

    private static func compute(_ configuration: Configuration) -> ComputeOptions {
        var compute = ComputeOptions()
        compute.chosenThreads = configuration.threads
        compute.chosenCache = configuration.cachePrecision == .q8 ? .q8 : .f16
        compute.precise = configuration.precise
        return compute
    }

    /// Where the libraries below write what they have to say.
    private static func handler(_ format: LogFormat) -> any LogHandler {
        switch format {
        case .text: StreamLogHandler.standardError(label: "lmx")
        case .json: JSONLogHandler { Terminal.write($0 + "\n") }
        }
    }

    private static func greet(port: Int, host: String?, model: String?) {
        let address = host.map { $0 == "0.0.0.0" || $0 == "::" ? "127.0.0.1" : $0 } ?? "127.0.0.1"
        let base = "http://\(address.contains(":") ? "[\(address)]" : address):\(port)"
        Terminal.write(
            """

            OpenAI clients: base_url \(base)/v1, any api_key. Try:

              curl \(base)/v1/chat/completions -H 'Content-Type: application/json' \\
                -d '{"model": "\(model ?? "auto")", "messages": [{"role": "user", "content": "Name three rivers."}]}'

            """)
    }
}
