import Engine
import Text
import Weights

extension APIError {
    /// Any error that an endpoint may throw, in the words of the contract. What has no words becomes `internal_error`.
    init(_ error: any Error) {
        switch error {
        case let error as APIError: self = error
        case let error as EngineError: self = Self.from(error)
        case let error as ModelError: self = Self.from(error)
        case let error as TemplateError: self = Self.from(error)
        default: self = .internalError
        }
    }

    private static func from(_ error: EngineError) -> APIError {
        switch error {
        case .noModelLoaded: return .noModelLoaded
        case .modelNotFound(let id): return .modelNotFound(id)
        case .modelUnloaded(_, .memory):
            return APIError(
                503, "oom-unloaded", type: "server_error", retryAfter: 30,
                "the model was unloaded during the request because memory ran out")
        case .modelUnloaded(_, .shutdown), .shuttingDown: return .shuttingDown
        case .modelUnloaded:
            return APIError(
                503, "no-model-loaded", type: "server_error", alternativeCode: "model_not_ready", retryAfter: 5,
                "No model loaded: it was unloaded during the request")
        case .queueFull(_, let seconds): return .busy(retryAfter: seconds)
        case .readerTooSlow: return APIError(503, "overloaded", type: "server_error", retryAfter: 5, error.description)
        case .contextExceeded(let tokens, let maximum): return .contextExceeded("messages", tokens: tokens, context: maximum)
        case .insufficientMemory: return outOfMemory(error.description)
        case .invalidRequest(let problem):
            let field = problem.prefix { $0 != ":" }
            return APIError(
                400, "invalid-request", type: "invalid_request_error", parameter: String(field), alternativeCode: "invalid_value", problem)
        case .modelFailed: return .internalError
        case .loadFailed(let error): return from(error)
        case .loadCancelled:
            return APIError(409, "model_load_cancelled", type: "conflict", parameter: "model_id", error.description)
        case .memoryShort:
            return APIError(503, "overloaded", type: "server_error", retryAfter: 30, "Server under memory pressure: \(error.description)")
        }
    }

    /// A model that cannot be loaded. The reason is for whoever may load models, so it is told in full.
    private static func from(_ error: ModelError) -> APIError {
        switch error.kind {
        case .insufficientMemory: outOfMemory(error.description)
        case .unsupported:
            APIError(422, "model_unsupported_arch", type: "not_supported_error", parameter: "model_id", error.description)
        case .unreadable, .unrecognised, .truncated, .malformed, .outOfRange, .missing, .mismatched:
            APIError(409, "model_probe_failed", type: "conflict", parameter: "model_id", error.description)
        }
    }

    private static func from(_ error: TemplateError) -> APIError {
        APIError(
            400, "invalid-request", type: "invalid_request_error", parameter: "messages", alternativeCode: error.code,
            error.description)
    }

    private static func outOfMemory(_ message: String) -> APIError {
        APIError(507, "insufficient_memory", type: "insufficient_memory", message)
    }
}
