public import Text

/// What everybody but the inference thread knows of a loaded model: its face, its counters, and how much may wait for it.
final class ModelRecord: Sendable {
    private struct Counters {
        var inFlight = 0  // waiting or running
        var active = 0  // running
        var holds = 0  // requests on their way, and whoever else must find it in place
        var closed: EngineError.UnloadReason?
        var lastUsedAt: Double?  // seconds since 1970
        var lastUsed = Clock.seconds
        var keepAlive: Double?  // seconds that it stays unused at least; 0: for ever, nil: as all others
        var reservedPages = 0
        var touchedPages = 0
        var statistics = Statistics()

        mutating func used() {
            lastUsedAt = Clock.epochSeconds
            lastUsed = Clock.seconds
        }
    }

    let model: ServedModel
    let key: UInt64
    let weightBytes: Int
    let workspaceBytes: Int
    let cacheBytes: Int
    let bytesPerPage: Int
    let maximumActive: Int
    let maximumQueued: Int
    let speculation: EngineOptions.Speculation
    private let counters = Locked(Counters())

    init(
        model: ServedModel, key: UInt64, weightBytes: Int, workspaceBytes: Int, cachePages: Int, bytesPerPage: Int,
        maximumActive: Int, maximumQueued: Int, speculation: EngineOptions.Speculation, keepAlive: Double?
    ) {
        self.model = model
        self.key = key
        self.weightBytes = weightBytes
        self.workspaceBytes = workspaceBytes
        self.bytesPerPage = bytesPerPage
        cacheBytes = cachePages * bytesPerPage
        self.maximumActive = maximumActive
        self.maximumQueued = maximumQueued
        self.speculation = speculation
        counters.withLock { $0.keepAlive = keepAlive }
    }

    /// Takes places for so many requests, all or none.
    func enter(_ count: Int) throws(EngineError) {
        let problem = counters.withLock { counters -> EngineError? in
            if let reason = counters.closed { return .modelUnloaded(model.id, reason) }
            guard counters.inFlight + count <= maximumActive + maximumQueued else {
                return .queueFull(limit: maximumQueued, retryAfter: Self.pause(counters.statistics, maximumActive))
            }
            counters.inFlight += count
            counters.used()
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
    func close(_ reason: EngineError.UnloadReason) { counters.withLock { $0.closed = $0.closed ?? reason } }

    /// The same, unless somebody uses it; then false.
    func closeIfUnused(_ reason: EngineError.UnloadReason) -> Bool {
        counters.withLock { counters in
            guard counters.inFlight == 0, counters.holds == 0, counters.closed == nil else { return false }
            counters.closed = reason
            return true
        }
    }

    /// The model for somebody who is about to use it: while any copy of this value lives, it is not evicted.
    func held() throws(EngineError) -> ServedModel {
        let problem = counters.withLock { counters -> EngineError? in
            if let reason = counters.closed { return .modelUnloaded(model.id, reason) }
            counters.holds += 1
            counters.used()
            return nil
        }
        if let problem { throw problem }
        var held = model
        held.hold = Hold(self)
        return held
    }

    /// Counts as a use of its model for as long as it lives.
    final class Hold: Sendable {
        private let record: ModelRecord
        init(_ record: ModelRecord) { self.record = record }
        deinit {
            record.counters.withLock {
                $0.holds -= 1
                $0.used()
            }
        }
    }

    /// - Parameter seconds: that it stays unused at least; 0: for ever.
    func keep(for seconds: Double) { counters.withLock { $0.keepAlive = seconds } }

    /// What eviction looks at.
    var candidate: EvictionCandidate {
        counters.withLock {
            EvictionCandidate(id: model.id, lastUsedAt: $0.lastUsed, isInUse: $0.inFlight > 0 || $0.holds > 0, keepAlive: $0.keepAlive)
        }
    }

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
            $0.used()
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
                memory: ModelMemory(
                    weightBytes: weightBytes, workspaceBytes: workspaceBytes, cacheBytes: cacheBytes,
                    touchedCacheBytes: counters.touchedPages * bytesPerPage),
                keepAlive: counters.keepAlive, lastUsedAt: counters.lastUsedAt, throughput: counters.statistics.throughput(at: time),
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
    /// Weights, working memory, and the cache at its largest.
    public let memoryBytes: Int
    public let loadedAt: Double  // seconds since 1970
    public let loadSeconds: Double

    /// Of a copy that somebody uses: keeps the model from being evicted.
    var hold: ModelRecord.Hold?

    public var id: String { info.id }
}

/// Bytes that a model owns, by what they are for.
public struct ModelMemory: Sendable, Equatable {
    /// In executed form.
    public let weightBytes: Int
    /// What a step writes.
    public let workspaceBytes: Int
    /// Keys and values at their most.
    public let cacheBytes: Int
    /// Those ever written; pages that never were take no memory.
    public let touchedCacheBytes: Int

    public var residentBytes: Int { weightBytes + workspaceBytes + min(cacheBytes, touchedCacheBytes) }
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
    public let memory: ModelMemory
    /// Seconds that it stays unused at least; 0: for ever, nil: as all others.
    public let keepAlive: Double?
    public let lastUsedAt: Double?  // seconds since 1970
    /// Tokens per second of all its answers together, over the last few seconds.
    public let throughput: Double
    public let requestsPerMinute: Double
    public let statistics: Statistics

    public var queued: Int { inFlight - active }
}
