/// What an engine grants each model that it loads.
public struct EngineOptions: Sendable, Equatable {
    /// Tokens of prompt and answer together; nil: what the model was made for, up to `defaultContextLength`.
    public var contextLength: Int?
    /// Requests running at the same time; more wait.
    public var parallel = 4
    /// Requests waiting at the same time; more are refused.
    public var queue = 64
    /// Prompt tokens per step while other answers are being written, which delay their next token; nil: as many as take
    /// about `promptPause`, by the pace measured while working.
    public var promptTokensBesideDecodes: Int?
    /// Seconds that a part of a prompt may delay the next token of other answers: short enough to be read over, and long
    /// enough for parts that are computed at nearly the speed of whole prompts.
    public static let promptPause = 0.05
    /// Full pages of the cache are kept for later prompts that begin with the same tokens.
    public var reusesPrefixes = true
    public var speculation = Speculation.automatic
    /// Events of one answer that may wait to be read; who falls further behind loses the answer.
    public var unreadEvents = 4096

    /// Whether next tokens are guessed from the text itself and verified together. The answers are the same either way.
    public enum Speculation: String, Sendable, CaseIterable {
        case off
        /// Where it pays, by measured pace and by how often guesses were right; never with more than four answers at once.
        case automatic
    }
    /// The share of all memory above which nothing more is loaded and no request takes more, in percent.
    public var memoryLimitPercent = 90.0
    /// What memory there is.
    public var memory = MemoryGauge()

    public static let defaultContextLength = 32768

    public init() {}
}

/// How a load went.
public struct LoadReport: Sendable {
    public let model: ServedModel
    /// Nothing was done: it was there already.
    public let wasLoaded: Bool
}

/// What a model will take of memory, foretold from its files.
public struct MemoryNeeds: Sendable, Equatable {
    /// Weights in executed form.
    public var weightBytes: Int
    /// What a step writes, its rows of logits included.
    public var workspaceBytes: Int
    /// A page of the cache, and the tokens that it holds.
    public var bytesPerPage: Int
    public var pageTokens: Int
    /// That the model was made for.
    public var contextLength: Int

    public init(weightBytes: Int, workspaceBytes: Int = 0, bytesPerPage: Int = 0, pageTokens: Int = 32, contextLength: Int = 1) {
        self.weightBytes = weightBytes
        self.workspaceBytes = workspaceBytes
        self.bytesPerPage = bytesPerPage
        self.pageTokens = pageTokens
        self.contextLength = contextLength
    }

    /// Bytes with a cache of so many tokens; `.max` where they can't be counted.
    func total(tokens: Int) -> Int {
        let pages = max(1, tokens / max(1, pageTokens) + (tokens % max(1, pageTokens) == 0 ? 0 : 1))
        let (cache, overflow) = pages.multipliedReportingOverflow(by: bytesPerPage)
        let (fixed, tooMuch) = weightBytes.addingReportingOverflow(workspaceBytes)
        let (sum, most) = fixed.addingReportingOverflow(cache)
        return overflow || tooMuch || most ? .max : sum
    }
}

public struct UnloadReport: Sendable, Equatable {
    public let id: String
    public let freedBytes: Int

    public init(id: String, freedBytes: Int) {
        self.id = id
        self.freedBytes = freedBytes
    }
}

/// A model that is being loaded.
public struct LoadingStatus: Sendable, Equatable {
    public let id: String
    public let progress: Double  // 0…1
    public let startedAt: Double  // seconds since 1970
}

/// The engine at one moment.
public struct EngineStatus: Sendable {
    public let models: [ModelStatus]  // by time of loading
    public let loading: [LoadingStatus]
    /// Every model that is in memory, on its way there or out, or whose last load failed.
    public let states: [String: ModelState]
    public let isShuttingDown: Bool
    /// Of all models, those since unloaded included.
    public let statistics: Statistics
    public let throughput: Double
    public let requestsPerMinute: Double

    /// Models whose last load failed, with the reason.
    public var failures: [String: String] {
        states.compactMapValues { state in if case .failed(let reason) = state { reason } else { nil } }
    }

    public var inFlight: Int { models.reduce(0) { $0 + $1.inFlight } }
    public var active: Int { models.reduce(0) { $0 + $1.active } }
    public var queued: Int { models.reduce(0) { $0 + $1.queued } }
}
