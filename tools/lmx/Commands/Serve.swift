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
            Listens first and loads the models then. Keys are read from files, because a command line can be read by
            every user of the machine.

            Examples:
              lmx serve models/SmolLM2-135M-Instruct.Q4_1.gguf
              lmx serve --models-dir ~/models --profile lan --api-key-file key.txt
            """)

    @Argument(help: "Models to load at start: paths or ids.") var models: [String] = []
    @Option(help: "The address to listen on (default: loopback).") var host: String?
    @Option(help: "The port to listen on.") var port = 1234
    @Option(help: "Who may connect: local, lan or cloud.", transform: Self.profile) var profile = Profile.local
    @Option(help: "Tokens of prompt and answer together.") var context: Int?
    @Option(help: "Requests that run at the same time in each model.") var parallel = 4
    @Option(help: "Requests that wait for each model; more are told to come back later.") var queue = 64
    @Option(help: "A file whose first line is the key for /admin.") var adminKeyFile: String?
    @Option(help: "A file whose first line is the key for /v1.") var apiKeyFile: String?
    @OptionGroup var reuse: ReuseOptions
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var folders: FolderOptions

    func validate() throws {
        if !(0...65_535).contains(port) { throw ValidationError("--port must be between 0 and 65535") }
        if !(1...1024).contains(parallel) { throw ValidationError("--parallel must be between 1 and 1024") }
        if !(0...65_536).contains(queue) { throw ValidationError("--queue must be between 0 and 65536") }
        if let context, !(16...(1 << 24)).contains(context) { throw ValidationError("--context must be between 16 and 16777216") }
    }

    func run() async throws {
        let compute = compute
        let served = ServedFolders(folders.models, compute)
        let entries = try models.map { try ServedFolders.entry(at: folders.models.path(of: $0)) }
        var options = EngineOptions()
        options.contextLength = context
        options.parallel = parallel
        options.queue = queue
        reuse.apply(to: &options)
        let context = ServerContext(
            engine: InferenceEngine(options: options), configuration: try configuration(), version: Version.text, models: entries,
            loader: { entry, progress in try Composition.load(entry.path, id: entry.id, options: compute, progress: progress) },
            catalogue: { served.entries() }, closures: served.closures,
            log: { Terminal.write($0.description + "\n") },
            logger: Logger(label: "lmx") { _ in StreamLogHandler.standardError(label: "lmx") })
        try await Server(context, onListening: { Self.greet(port: $0, host: context.configuration.host, model: entries.first?.id) })
            .runUntilSignalled()
    }

    private static func profile(_ text: String) throws -> Profile {
        guard let profile = Profile(rawValue: text) else { throw ValidationError("--profile is local, lan or cloud") }
        return profile
    }

    private func configuration() throws -> Configuration {
        var configuration = Configuration()
        configuration.profile = profile
        configuration.host = host
        configuration.port = port
        configuration.adminKey = try adminKeyFile.map { try Configuration.key(inFile: $0) }
        configuration.clientKey = try apiKeyFile.map { try Configuration.key(inFile: $0) }
        return configuration
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
