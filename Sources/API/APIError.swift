package import Weights

/// An answer that is a refusal: an HTTP status and the words and codes that clients branch on.
///
/// `code` is the documented code where there is one (`no-model-loaded`, `model-not-found`, `storage-full`, `lmx-timeout`,
/// `oom-unloaded`, `invalid-request`); `alternativeCode` is then the spelling that older clients know.
package struct APIError: Error, Sendable, Equatable {
    package var status: Int
    package var message: String
    package var type: String
    package var code: String
    package var parameter: String?
    package var alternativeCode: String?
    package var retryAfter: Int?  // seconds
    package var allow: String?  // methods, for 405

    package init(
        _ status: Int, _ code: String, type: String, parameter: String? = nil, alternativeCode: String? = nil,
        retryAfter: Int? = nil, allow: String? = nil, _ message: String
    ) {
        self.status = status
        self.code = code
        self.type = type
        self.parameter = parameter
        self.alternativeCode = alternativeCode
        self.retryAfter = retryAfter
        self.allow = allow
        self.message = message
    }

    /// The word by which command-line clients tell classes of refusals apart; it stands beside the envelope.
    var clientCode: String {
        switch status {
        case 401, 403: "unauthorized"
        case 404: "not_found"
        case 408, 504: "timeout"
        case 409: "conflict"
        case 429: "rate_limited"
        case 507: code == "insufficient_memory" ? "out_of_memory" : "storage_full"
        case 500...: "server_error"
        default: "invalid_request"
        }
    }

    /// `{"error":{"message","type","param","code"},"code","detail"}`: one body for every dialect of clients.
    package var envelope: JSONValue {
        var error: JSONObject = [
            "message": .string(message), "type": .string(type), "param": .text(parameter), "code": .string(code),
        ]
        if let alternativeCode { error["lmx_code"] = .string(alternativeCode) }
        return .object(["error": .object(error), "code": .string(clientCode), "detail": .string(message)])
    }
}

extension APIError {
    /// A request that breaks a rule: `field: what is wrong`.
    static func refused(_ field: String, _ problem: String) -> APIError {
        APIError(
            400, "invalid-request", type: "invalid_request_error", parameter: field, alternativeCode: "invalid_value",
            "\(field): \(problem)")
    }

    static func malformed(_ problem: String) -> APIError {
        APIError(400, "invalid-request", type: "invalid_request_error", alternativeCode: "invalid_json", problem)
    }

    /// A field or value that is valid elsewhere and that LMX does not honour.
    static func unsupported(_ field: String, _ problem: String) -> APIError {
        APIError(
            400, "invalid-request", type: "invalid_request_error", parameter: field, alternativeCode: "not_supported",
            "\(field): \(problem)")
    }

    static func contextExceeded(_ field: String, tokens: Int, context: Int) -> APIError {
        APIError(
            400, "invalid-request", type: "invalid_request_error", parameter: field,
            alternativeCode: "context_length_exceeded",
            "\(field): \(tokens) tokens do not fit into the context of \(context) tokens")
    }

    static func modelNotFound(_ id: String, parameter: String = "model") -> APIError {
        APIError(
            404, "model-not-found", type: "invalid_request_error", parameter: parameter, alternativeCode: "model_not_found",
            "The model '\(echo(id))' does not exist or is not loaded")
    }

    static let noModelLoaded = APIError(
        503, "no-model-loaded", type: "server_error", alternativeCode: "model_not_ready", retryAfter: 5,
        "No model loaded (load one with POST /admin/models/load)")

    static let shuttingDown = APIError(
        503, "overloaded", type: "server_error", retryAfter: 30, "the server is shutting down")

    static func timedOut(after limit: Duration) -> APIError {
        APIError(504, "lmx-timeout", type: "server_error", "the answer timed out after \(limit.inSeconds) s, which is this server's limit")
    }

    static func busy(retryAfter seconds: Int) -> APIError {
        APIError(
            429, "rate_limit_exceeded", type: "server_error", retryAfter: seconds,
            "Server is busy — all inference slots occupied. Try again shortly.")
    }

    static let internalError = APIError(500, "internal_error", type: "internal_server_error", "Internal server error")

    static let adminKey = APIError(403, "invalid_admin_key", type: "permission_error", "Invalid or missing admin key")
    static let clientKey = APIError(401, "invalid_api_key", type: "authentication_error", "Invalid or missing API key")

    static func notFound(_ path: String) -> APIError {
        APIError(404, "not_found", type: "invalid_request_error", "Not Found: nothing answers at '\(echo(path))'")
    }

    static func methodNotAllowed(_ allowed: [String]) -> APIError {
        let list = allowed.joined(separator: ", ")
        return APIError(
            405, "method_not_allowed", type: "invalid_request_error", allow: list,
            "Method Not Allowed (this path answers \(list))")
    }

    static let bodyTooLarge = APIError(
        413, "request_too_large", type: "invalid_request_error",
        "the body is larger than \(RequestLimits.bodyBytes) bytes")

    static let uriTooLong = APIError(
        414, "uri_too_long", type: "invalid_request_error", "the address is longer than \(RequestLimits.uriBytes) bytes")

    static let notJSON = APIError(
        415, "unsupported_media_type", type: "invalid_request_error", "the body must be application/json")

    /// Text from a request, fit for a message: control characters escaped, cut at 256 bytes.
    static func echo(_ text: String) -> String {
        var result = ""
        var bytes = 0
        for scalar in text.unicodeScalars {
            let piece = scalar.value < 0x20 || scalar.value == 0x7F ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
            bytes += piece.utf8.count
            if bytes > RequestLimits.echoBytes { return result + "…" }
            result += piece
        }
        return result
    }
}

extension JSONValue {
    /// A string, or null where there is none.
    static func text(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }
    static func count(_ number: Int?) -> JSONValue { number.map { .int($0) } ?? .null }
    static func decimal(_ number: Double?) -> JSONValue { number.map { $0.isFinite ? .float($0) : .null } ?? .null }
    /// Bytes as GiB, the unit of every `*_gb` field.
    static func gibibytes(_ bytes: Int?) -> JSONValue { decimal(bytes.map { Double($0) / 1_073_741_824 }) }
}
