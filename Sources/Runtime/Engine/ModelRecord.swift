public import Text

/// What everybody but the inference thread knows of a loaded model: its face, its counters, and how much may wait for it.
final class ModelRecord: Sendable {
    private struct Counters {
        var inFlight = 0  // waiting or running
        var active = 0  // running
        var isOpen = true
        var lastUsedAt: Double?
        var reservedPages = 0
        var touchedPages = 0
        var statistics = Statistics()
    }

    let model: ServedModel
    let key: UInt64
    let cacheBytes: Int
    let bytesPerPage: Int
    let maximumActive: Int
    let maximumQueued: Int
    let speculation: EngineOptions.Speculation
    private let counters = Locked(Counters())

    init(
        model: ServedModel, key: UInt64, cachePages: Int, bytesPerPage: Int, maximumActive: Int, maximumQueued: Int,
        speculation: EngineOptions.Speculation
    ) {
        self.model = model
        self.key = key
        self.bytesPerPage = bytesPerPage
        cacheBytes = cachePages * bytesPerPage
        self.maximumActive = maximumActive
        self.maximumQueued = maximumQueued
        self.speculation = speculation
    }

    /// Takes places for so many requests, all or none.
    func enter(_ count: Int) throws(EngineError) {
        let problem = counters.withLock { counters -> EngineError? in
            guard counters.isOpen else { return .modelUnloaded(model.id, .manual) }
            guard counters.inFlight + count <= maximumActive + maximumQueued else {
                return .queueFull(limit: maximumQueued, retryAfter: Self.pause(counters.statistics, maximumActive))
            }
            counters.inFlight += count
            counters.lastUsedAt = Clock.epochSeconds
            return nil
        }
        if let problem { throw problem }
    }

    /// Whole seconds until one of `active` running answers ends, by how long answers took of late: 1 to 60, and 5 before
    /// anything is known.
    private static func pause(_ statistics: Statistics, _ active: Int) -> Int {
        let work = statistics.averageWork
        return work == 0 ? 5 : Int(min(max(work / Double(max(1, active)), 1), 60).rounded(.up))
    }

    /// What the queue refuses with.
    var queueFull: EngineError {
        .queueFull(limit: maximumQueued, retryAfter: counters.withLock { Self.pause($0.statistics, maximumActive) })
    }

    /// Refuses requests from now on.
    func close() { counters.withLock { $0.isOpen = false } }

    func stepped(tokens: Int, active: Int, reservedPages: Int, touchedPages: Int, at time: Double) {
        counters.withLock {
            $0.active = active
            $0.reservedPages = reservedPages
            $0.touchedPages = touchedPages
            if tokens > 0 { $0.statistics.stepped(tokens: tokens, at: time) }
        }
    }

    func ended(active: Int, _ change: (inout Statistics) -> Void) {
        counters.withLock {
            $0.inFlight -= 1
            $0.active = active
            $0.lastUsedAt = Clock.epochSeconds
            change(&$0.statistics)
        }
    }

    /// Pages of the cache cost memory when they are first written; this is what they may still come to take.
    var untouchedCacheBytes: Int { counters.withLock { cacheBytes - min(cacheBytes, $0.touchedPages * bytesPerPage) } }

    func status(at time: Double) -> ModelStatus {
        counters.withLock { counters in
            ModelStatus(
                model: model, inFlight: counters.inFlight, active: min(counters.active, counters.inFlight), maximumActive: maximumActive,
                speculation: speculation,
                cache: CacheFigures(
                    totalBytes: cacheBytes, reservedBytes: counters.inFlight == 0 ? 0 : counters.reservedPages * bytesPerPage,
                    touchedBytes: counters.touchedPages * bytesPerPage),
                lastUsedAt: counters.lastUsedAt, throughput: counters.statistics.throughput(at: time),
                requestsPerMinute: counters.statistics.requestsPerMinute(at: time), statistics: counters.statistics.unshared())
        }
    }
}

/// A loaded model as the API needs it: everything but the weights, which end with the last request after an unload.
public struct ServedModel: Sendable {
    public let info: ModelInfo
    public let tokenizer: Tokenizer
    public let template: ChatTemplate?
    /// The most tokens of prompt and answer together: what was asked for, what the model was made for, what memory allows.
    public let contextLength: Int
    /// Weights and cache.
    public let memoryBytes: Int
    public let loadedAt: Double  // seconds since 1970
    public let loadSeconds: Double

    public var id: String { info.id }
}

/// Bytes of a model's cache of keys and values.
public struct CacheFigures: Sendable, Equatable {
    /// That it may ever take.
    public let totalBytes: Int
    /// Promised to the requests that run, for their longest possible answers.
    public let reservedBytes: Int
    /// Ever written, which is what it takes of the machine's memory.
    public let touchedBytes: Int
}

/// A model and its counters at one moment.
public struct ModelStatus: Sendable {
    public let model: ServedModel
    /// Requests waiting or running.
    public let inFlight: Int
    /// Requests running.
    public let active: Int
    public let maximumActive: Int
    public let speculation: EngineOptions.Speculation
    public let cache: CacheFigures
    public let lastUsedAt: Double?  // seconds since 1970
    /// Tokens per second of all its answers together, over the last few seconds.
    public let throughput: Double
    public let requestsPerMinute: Double
    public let statistics: Statistics

    public var queued: Int { inFlight - active }
}
