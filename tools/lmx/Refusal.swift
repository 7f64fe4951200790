internal import API
internal import ArgumentParser
internal import Engine
internal import Text
internal import Weights

/// Why a command gives up, in one line with a stable code.
struct Refusal: Error {
    let code: String
    let message: String

    init(code: String, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Nil for the argument parser's own errors, which are about usage.
    init?(_ error: any Error) {
        switch error {
        case let refusal as Refusal: self = refusal
        case let error as ModelError: self.init(code: error.code, error.description)
        case let error as EngineError: self.init(code: error.code, error.description)
        case let error as ConfigurationError: self.init(code: "configuration", error.description)
        case let error as TemplateError: self.init(code: "template_error", error.description)
        case is ExitCode, is ValidationError, is CleanExit: return nil
        default:
            let name = String(describing: type(of: error))
            if name == "CommandError" || name == "ParserError" { return nil }  // the parser's, not public
            self.init(code: "failed", String(describing: error))
        }
    }

    var json: JSONValue {
        .object(["error": .object(["code": .string(code), "message": .string(message)])])
    }
}
