public import Engine
public import Logging
import Synchronization
import Weights

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

/// Opens a model file and makes it ready to run; `progress` is told the share done, 0…1. May take long and blocks its thread.
public typealias ModelLoader = @Sendable (_ entry: CatalogueEntry, _ progress: @escaping @Sendable (Double) -> Void) throws -> LoadedModel

/// What may be done with models besides loading them. What is nil is refused.
public struct Closures: Sendable {
    /// Deletes a model of the model folders from the disk; returns the bytes that this freed. May block.
    public var remove: (@Sendable (CatalogueEntry) throws -> Int)?
    /// Throws a reason where a model cannot be loaded, as far as this is seen without its weights. May block.
    public var probe: (@Sendable (CatalogueEntry) throws -> Void)?

    /// Reads the configuration again. May block.
    public var reload: (@Sendable () throws -> Configuration)?

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
    /// How the memory is now.
    package var memory: @Sendable () -> Memory = { .now }
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
        loads = LoadDesk(engine: engine, loader: loader, configuration: { live.value }, observers: observers)
        quantizations = QuantizeDesk(closures.quantizer, observers)
    }

    /// Every model that could be loaded, each id once.
    func knownModels() async throws -> [CatalogueEntry] {
        let listed = try await listedModels()
        return models + listed.filter { entry in !models.contains { $0.id == entry.id } }
    }

    /// Every model in the model folders.
    func listedModels() async throws -> [CatalogueEntry] { try await Worker.run { [catalogue] in catalogue() } }

    /// The loaded model that a request means: an exact id, or `auto` or `default` for the one loaded last.
    func model(named id: String) throws -> ServedModel {
        if id == "auto" || id == "default", let last = engine.models.last { return last }
        return try engine.model(id)
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
