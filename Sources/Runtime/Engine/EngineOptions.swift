/// What an engine grants each model that it loads.
public struct EngineOptions: Sendable, Equatable {
    /// Tokens of prompt and answer together; nil: what the model was made for, up to `defaultContextLength`.
    public var contextLength: Int?
    /// Requests running at the same time; more wait.
    public var parallel = 4
    /// Requests waiting at the same time; more are refused.
    public var queue = 64
    /// Prompt tokens per step while other answers are being written: what a long prompt may delay their next token.
    public var promptTokensBesideDecodes = 128
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
