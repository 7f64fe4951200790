public import Weights

/// Why the engine refuses or ends a request, in one line: where, what, and what to do.
public enum EngineError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The reason why a model was taken away from a running request.
    public enum UnloadReason: String, Sendable {
        /// `lru`: to make room for another; `replaced`: another was loaded in its place.
        case manual, memory, idle, lru, replaced, shutdown
    }

    /// No model is loaded at all.
    case noModelLoaded
    /// Models are loaded, but not this one.
    case modelNotFound(String)
    /// The model was unloaded while the request waited or ran.
    case modelUnloaded(String, UnloadReason)
    /// `retryAfter`: seconds in which a place may have become free, by the pace of late.
    case queueFull(limit: Int, retryAfter: Int)
    /// The reader of the answer took so few of its events that so many were waiting.
    case readerTooSlow(events: Int)
    /// The prompt leaves no room for one new token.
    case contextExceeded(promptTokens: Int, maximum: Int)
    case insufficientMemory(neededBytes: Int, availableBytes: Int)
    case invalidRequest(String)
    /// The model computed something that cannot be used.
    case modelFailed(String, String)
    case shuttingDown
    case loadFailed(ModelError)
    /// The model was unloaded while it was being loaded.
    case loadCancelled(String)
    /// The request was not begun: what it may come to write does not fit below the limit now.
    case memoryShort(neededBytes: Int, availableBytes: Int)

    /// Stable; what clients branch on.
    public var code: String {
        switch self {
        case .noModelLoaded: "no_model_loaded"
        case .modelNotFound: "model_not_found"
        case .modelUnloaded: "model_unloaded"
        case .queueFull: "queue_full"
        case .readerTooSlow: "reader_too_slow"
        case .contextExceeded: "context_length_exceeded"
        case .insufficientMemory: "insufficient_memory"
        case .invalidRequest: "invalid_request"
        case .modelFailed: "model_failed"
        case .shuttingDown: "shutting_down"
        case .loadFailed(let error): error.code
        case .loadCancelled: "load_cancelled"
        case .memoryShort: "memory_short"
        }
    }

    public var description: String {
        switch self {
        case .noModelLoaded: "engine: no model loaded (load one first)"
        case .modelNotFound(let id): "\(ModelError.quoted(id)): not loaded (other models are)"
        case .modelUnloaded(let id, .memory): "\(ModelError.quoted(id)): unloaded during the request to free memory"
        case .modelUnloaded(let id, _): "\(ModelError.quoted(id)): unloaded during the request"
        case .queueFull(let limit, let seconds): "engine: \(limit) requests are waiting already (try again in \(seconds) s)"
        case .readerTooSlow(let events): "answer: given up with \(events) events unread (read it as it comes)"
        case .contextExceeded(let prompt, let maximum):
            "prompt: \(prompt) tokens leave no room for an answer in a context of \(maximum) (shorten the prompt)"
        case .insufficientMemory(let needed, let available):
            "memory: \(needed) bytes needed, \(available) available (unload a model or choose a smaller context)"
        case .invalidRequest(let problem): problem
        case .modelFailed(let id, let problem): "\(ModelError.quoted(id)): \(problem)"
        case .shuttingDown: "engine: shutting down"
        case .loadFailed(let error): error.description
        case .loadCancelled(let id): "\(ModelError.quoted(id)): unloaded while it was loading"
        case .memoryShort(let needed, let available):
            "memory: this request may take \(needed) bytes, \(available) are left (try again later, or ask for fewer tokens)"
        }
    }
}
