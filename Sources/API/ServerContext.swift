public import Engine
public import Logging
import Synchronization
public import Weights

/// A model that could be loaded, as the model folders have it.
public struct CatalogueEntry: Sendable, Equatable {
    public var id: String
    public var path: String
    public var format: String  // "gguf", "mlx", "safetensors"
    public var quantization: String?
    public var sizeBytes: Int

    public init(id: String, path: String, format: String, quantization: String?, sizeBytes: Int) {
        self.id = id
        self.path = path
        self.format = format
        self.quantization = quantization
        self.sizeBytes = sizeBytes
    }
}

/// Opens a model file and makes it ready to run; `progress` is told the share done, 0…1, and throws when the load is to
/// end. May take long and blocks its thread.
public typealias ModelLoader = @Sendable (
    _ entry: CatalogueEntry, _ progress: @escaping @Sendable (Double) throws(ModelError) -> Void
) throws -> LoadedModel

/// What may be done with models besides loading them. What is nil is refused.
public struct Closures: Sendable {
    /// Deletes a model of the model folders from the disk; returns the bytes that this freed. May block.
    public var remove: (@Sendable (CatalogueEntry) throws -> Int)?
    /// Throws a reason where a model cannot be loaded, as far as this is seen without its weights. May block.
    public var probe: (@Sendable (CatalogueEntry) throws -> Void)?
    /// What a model will take of memory, seen without its weights. May block.
    public var forecast: (@Sendable (CatalogueEntry) throws -> MemoryNeeds)?

    /// Reads the configuration again. May block.
    public var reload: (@Sendable () throws -> Configuration)?

    /// The model folder that downloads go to; nil: none.
    public var downloadFolder: String?

    /// Rounds models to fewer bits.
    public var quantizer: Quantizer?

    public init() {}
}

/// What the endpoints work with. Everything below HTTP comes in here, from the composition root.
public struct ServerContext: Sendable {
    public let engine: InferenceEngine
    /// As it is now: a reload changes some of it.
    public var configuration: Configuration { live.value }
    let live: LiveConfiguration
    public let version: String
    /// Loaded at start, and known to later loads beside the catalogue.
    let models: [CatalogueEntry]
    let log: @Sendable (LogLine) -> Void
    let logger: Logger
    let loads: LoadDesk
    let lifecycle = Lifecycle()
    /// What goes on, for whoever listens.
    package let events: EventHub
    let metrics: Metrics
    let incidents: Incidents
    let closures: Closures
    let benchmarks = BenchmarkShelf()
    let quantizations: QuantizeDesk
    let downloads: DownloadDesk
    /// How the memory is now.
    package var memory: @Sendable () -> Memory
    private let catalogue: @Sendable () -> [CatalogueEntry]

    /// - Parameters:
    ///   - models: to be loaded at start, in this order.
    ///   - loader: opens one entry, of the catalogue or of `models`.
    ///   - catalogue: lists the model folders; asked again for every list and every load, may block.
    ///   - closures: what else can be done with models.
    ///   - log: takes the documented lines that tell an operator what goes on.
    public init(
        engine: InferenceEngine, configuration: Configuration, version: String, models: [CatalogueEntry] = [],
        loader: @escaping ModelLoader, catalogue: @escaping @Sendable () -> [CatalogueEntry],
        closures: Closures = Closures(), log: @escaping @Sendable (LogLine) -> Void, logger: Logger = Logger(label: "lmx.api")
    ) {
        self.engine = engine
        let live = LiveConfiguration(configuration)
        self.live = live
        self.version = version
        self.models = models
        memory = { Memory(engine.memory) }
        self.catalogue = catalogue
        // Written is what the level and the format in force say.
        let log: @Sendable (LogLine) -> Void = { line in
            let now = live.value
            if line.level >= now.logLevel, line.text != nil || now.logFormat == .json { log(line) }
        }
        self.log = log
        self.logger = logger
        let events = EventHub(onDrop: {
            log(LogLine(.warning, "SSE client disconnected: too slow, \(RequestLimits.unsentBytes >> 10) KiB unread", event: "sse_client_disconnected"))
        })
        self.events = events
        metrics = Metrics()
        incidents = Incidents()
        self.closures = closures
        let observers = Observers(log: log, events: events, metrics: metrics, incidents: incidents)
        loads = LoadDesk(
            engine: engine, loader: loader, forecast: closures.forecast, configuration: { live.value }, observers: observers)
        quantizations = QuantizeDesk(closures.quantizer, observers)
        downloads = DownloadDesk(
            folder: closures.downloadFolder, version: version, configuration: { live.value }, observers: observers)
    }

    /// Every model that could be loaded, each id once.
    func knownModels() async throws -> [CatalogueEntry] {
        let listed = try await listedModels()
        return models + listed.filter { entry in !models.contains { $0.id == entry.id } }
    }

    /// Every model in the model folders.
    func listedModels() async throws -> [CatalogueEntry] { try await Worker.run { [catalogue] in catalogue() } }

    /// The model that a request means, kept in memory while a copy of the answer lives. Waits while it loads.
    func model(named name: String) async throws -> ServedModel { try await engine.use(id(named: name)) }

    /// The id that a name means now: itself where such a model is in memory, else the first usable one of an alias' ids,
    /// and for `auto` and `default` the configured model or the one loaded last. One that loads is meant where none is ready.
    func id(named name: String) -> String {
        if engine.state(of: name).isUsable { return name }
        if let preferences = configuration.aliases[name] { return preferred(preferences) ?? name }
        guard name == "auto" || name == "default" else { return name }
        let ready = engine.models.map(\.id)
        if let wanted = defaultID, ready.contains(wanted) { return wanted }
        return ready.last ?? preferred(defaultID.map { [$0] } ?? []) ?? engine.status().loading.first?.id ?? name
    }

    /// The configured default, which may be an id or a path.
    private var defaultID: String? {
        configuration.defaultModel.map { name in models.first { $0.id == name || $0.path == name }?.id ?? name }
    }

    private func preferred(_ ids: [String]) -> String? {
        ids.first { engine.state(of: $0) == .ready } ?? ids.first { engine.state(of: $0).isUsable }
    }
}

/// Since when the server runs, and whether it is still taking requests.
final class Lifecycle: Sendable {
    let started = ContinuousClock.now
    private let draining = Atomic(false)

    var isDraining: Bool { draining.load(ordering: .relaxed) }
    func drain() { draining.store(true, ordering: .relaxed) }

    var uptime: Double {
        let (seconds, attoseconds) = (ContinuousClock.now - started).components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
