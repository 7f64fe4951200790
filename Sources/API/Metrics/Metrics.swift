import Engine

/// What the server counts beside the engine's own statistics: requests as HTTP saw them, where their time went, loads.
///
/// Every name that comes from outside is bounded: beyond `names` of a kind the rest are counted together.
package final class Metrics: Sendable {
    /// Where the time of one model's answers went, in seconds.
    struct Times: Sendable {
        var queue = Histogram(Histogram.secondsBounds)
        var prefill = Histogram(Histogram.secondsBounds)
        var decode = Histogram(Histogram.secondsBounds)
        var firstToken = Histogram(Histogram.secondsBounds)
        var total = Histogram(Histogram.secondsBounds)
        var request = Histogram(Histogram.requestBounds)  // the same as `total`, in the bounds that older dashboards query
        var gap = Histogram(Histogram.gapBounds)  // between two pieces of text
        var recentQueue: [Double] = []
    }

    struct Client: Sendable, Equatable {
        var requests = 0
        var errors = 0
        var tokens = 0
    }

    /// Speeds of all answers of one kind of model files, as their readers saw them.
    struct Path: Sendable, Equatable {
        var requests = 0
        var promptTokens = 0
        var promptSeconds = 0.0
        var decodeTokens = 0
        var decodeSeconds = 0.0

        var prefillTokensPerSecond: Double? { promptSeconds > 0 ? Double(promptTokens) / promptSeconds : nil }
        var decodeTokensPerSecond: Double? { decodeSeconds > 0 ? Double(decodeTokens) / decodeSeconds : nil }
    }

    struct Loads: Sendable, Equatable {
        var done = 0
        var failed = 0
        var seconds: Double?  // of the last one that was done
        var evictions: [String: Int] = [:]  // by reason
    }

    /// One kind of answer that HTTP gave.
    struct Outcome: Sendable, Hashable {
        var method: String
        var route: String  // the pattern, never the address as sent
        var status: Int
    }

    /// Everything counted so far.
    struct Figures: Sendable {
        var requests = 0
        var errors = 0  // answers that the server owed and did not give
        var streams = 0
        var outcomes: [Outcome: Int] = [:]
        var times: [String: Times] = [:]  // by model
        var clients: [String: Client] = [:]
        var paths: [String: Path] = [:]  // by "mlx", "gguf"
        var loads: [String: Loads] = [:]  // by model

        var errorRate: Double { requests == 0 ? 0 : Double(errors) / Double(requests) }
    }

    static let names = 100
    static let recent = 128
    static let rest = "other"

    private let figures = Locked(Figures())

    var now: Figures { figures.withLock { $0 } }

    // MARK: Counting

    /// An answer has begun. `isInference`: one of a model, wanted or given.
    func answered(_ outcome: Outcome, isInference: Bool, streams: Bool, client: String?) {
        let isError = isInference && (outcome.status >= 500 || outcome.status == 429)
        figures.withLock { figures in
            figures.outcomes[outcome, default: 0] += 1
            guard isInference else { return }
            figures.requests += 1
            if streams { figures.streams += 1 }
            if isError { figures.errors += 1 }
            Self.change(&figures.clients, client ?? "anonymous", Client()) {
                $0.requests += 1
                if isError { $0.errors += 1 }
            }
        }
    }

    /// A stream that had begun well ended with an error.
    func streamFailed(client: String?) {
        figures.withLock { figures in
            figures.errors += 1
            Self.change(&figures.clients, client ?? "anonymous", Client()) { $0.errors += 1 }
        }
    }

    /// One text of an answer has been finished.
    func finished(_ model: ServedModel, _ usage: Usage, _ timings: Timings, gaps: Histogram, client: String?) {
        figures.withLock { figures in
            Self.change(&figures.times, model.id, Times()) { times in
                times.queue.observe(timings.queue)
                times.prefill.observe(timings.prefill)
                times.decode.observe(timings.decode)
                times.firstToken.observe(timings.firstToken)
                times.total.observe(timings.total)
                times.request.observe(timings.total)
                times.gap.add(gaps)
                if times.recentQueue.count == Self.recent { times.recentQueue.removeFirst() }
                times.recentQueue.append(timings.queue)
            }
            Self.change(&figures.clients, client ?? "anonymous", Client()) { $0.tokens += usage.completionTokens }
            figures.paths[model.info.pathName, default: Path()].add(usage, timings)
        }
    }

    func loaded(_ id: String, seconds: Double) {
        figures.withLock {
            Self.change(&$0.loads, id, Loads()) {
                $0.done += 1
                $0.seconds = seconds
            }
        }
    }

    func loadFailed(_ id: String) { figures.withLock { Self.change(&$0.loads, id, Loads()) { $0.failed += 1 } } }

    /// A model was unloaded for `reason`; nobody asked for it.
    func evicted(_ id: String, reason: String) {
        figures.withLock { Self.change(&$0.loads, id, Loads()) { $0.evictions[reason, default: 0] += 1 } }
    }

    private static func change<Value>(_ table: inout [String: Value], _ name: String, _ new: @autoclosure () -> Value, _ body: (inout Value) -> Void) {
        let key = table[name] != nil || table.count < names ? name : rest
        body(&table[key, default: new()])
    }
}

extension Metrics.Path {
    mutating func add(_ usage: Usage, _ timings: Timings) {
        requests += 1
        if timings.prefill > 0 {
            promptTokens += usage.promptTokens - usage.cachedTokens
            promptSeconds += timings.prefill
        }
        if timings.decode > 0 {
            decodeTokens += max(0, usage.completionTokens - 1)
            decodeSeconds += timings.decode
        }
    }
}

extension Metrics.Times {
    /// The wait for a place that 95 of 100 answers of late were spared.
    var queue95: Double {
        let sorted = recentQueue.sorted()
        return sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, sorted.count * 95 / 100)]
    }
}

extension ModelInfo {
    /// The way to the kernels: `gguf` is the one for compatibility, `mlx` the native one.
    var pathName: String { format == "gguf" ? "gguf" : "mlx" }
}
