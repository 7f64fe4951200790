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
    /// The share of all memory above which nothing more is loaded, in percent.
    public var memoryLimitPercent = 90

    public static let defaultContextLength = 32768

    public init() {}
}

/// How a load went.
public struct LoadReport: Sendable {
    public let model: ServedModel
    /// Nothing was done: it was there already.
    public let wasLoaded: Bool
}

public struct UnloadReport: Sendable, Equatable {
    public let id: String
    public let freedBytes: Int
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
    public let isShuttingDown: Bool
    /// Of all models, those since unloaded included.
    public let statistics: Statistics
    public let throughput: Double
    public let requestsPerMinute: Double

    public var inFlight: Int { models.reduce(0) { $0 + $1.inFlight } }
    public var active: Int { models.reduce(0) { $0 + $1.active } }
    public var queued: Int { models.reduce(0) { $0 + $1.queued } }
}
