public import Text

/// What everybody but the inference thread knows of a loaded model: its face, its counters, and how much may wait for it.
final class ModelRecord: Sendable {
    private struct Counters {
        var inFlight = 0  // waiting or running
        var active = 0  // running
        var isOpen = true
        var lastUsedAt: Double?
        var mostPages = 0
        var statistics = Statistics()
    }

    let model: ServedModel
    let key: UInt64
    let cacheBytes: Int
    let bytesPerPage: Int
    let maximumActive: Int
    let maximumQueued: Int
    private let counters = Locked(Counters())

    init(model: ServedModel, key: UInt64, cachePages: Int, bytesPerPage: Int, maximumActive: Int, maximumQueued: Int) {
        self.model = model
        self.key = key
        self.bytesPerPage = bytesPerPage
        cacheBytes = cachePages * bytesPerPage
        self.maximumActive = maximumActive
        self.maximumQueued = maximumQueued
    }

    /// Takes places for so many requests, all or none.
    func enter(_ count: Int) throws(EngineError) {
        let problem = counters.withLock { counters -> EngineError? in
            guard counters.isOpen else { return .modelNotFound(model.id) }
            guard counters.inFlight + count <= maximumActive + maximumQueued else { return .queueFull(limit: maximumQueued) }
            counters.inFlight += count
            counters.lastUsedAt = Clock.epochSeconds
            return nil
        }
        if let problem { throw problem }
    }

    /// Refuses requests from now on.
    func close() { counters.withLock { $0.isOpen = false } }

    func stepped(tokens: Int, active: Int, pagesInUse: Int, at time: Double) {
        counters.withLock {
            $0.active = active
            $0.mostPages = max($0.mostPages, pagesInUse)
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
    var untouchedCacheBytes: Int { counters.withLock { cacheBytes - min(cacheBytes, $0.mostPages * bytesPerPage) } }

    func status(at time: Double) -> ModelStatus {
        counters.withLock { counters in
            ModelStatus(
                model: model, inFlight: counters.inFlight, active: min(counters.active, counters.inFlight), maximumActive: maximumActive,
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

/// A model and its counters at one moment.
public struct ModelStatus: Sendable {
    public let model: ServedModel
    /// Requests waiting or running.
    public let inFlight: Int
    /// Requests running.
    public let active: Int
    public let maximumActive: Int
    public let lastUsedAt: Double?  // seconds since 1970
    /// Tokens per second of all its answers together, over the last few seconds.
    public let throughput: Double
    public let requestsPerMinute: Double
    public let statistics: Statistics

    public var queued: Int { inFlight - active }
}
