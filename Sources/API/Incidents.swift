import Engine
import Weights

/// What went wrong lately, for operators: the last hundred entries. Never what a client wrote.
package final class Incidents: Sendable {
    struct Entry: Sendable {
        let time: Double  // seconds since 1970
        let category: String
        let message: String
        let model: String?
        let severity: String  // "error", "warning"
    }

    static let kept = 100
    private let entries = Locked<[Entry]>([])

    /// Oldest first.
    var all: [Entry] { entries.withLock { $0 } }

    func add(_ category: String, _ message: String, model: String? = nil, severity: String = "error") {
        let entry = Entry(
            time: WallClock.seconds, category: category, message: APIError.echo(message), model: model, severity: severity)
        entries.withLock { entries in
            // The same again and again is one entry, with the time of the last.
            if let last = entries.last, (last.category, last.message, last.model) == (category, entry.message, model) {
                entries.removeLast()
            }
            if entries.count == Self.kept { entries.removeFirst() }
            entries.append(entry)
        }
    }

    /// An answer that the server owed and did not give; `error` is what lay behind it. Others are not kept.
    func add(_ refusal: APIError, _ error: any Error, model: String? = nil) {
        switch refusal.code {
        case "internal_error":
            // The engine's own words have no text of a client's in them; those of other errors might.
            let isOurs = error is EngineError || error is ModelError
            add(refusal.code, isOurs ? "\(error)" : "\(type(of: error))", model: model)
        case "oom-unloaded", "lmx-timeout", "storage-full": add(refusal.code, refusal.message, model: model)
        case "rate_limit_exceeded", "overloaded": add(refusal.code, refusal.message, model: model, severity: "warning")
        default: break
        }
    }

    var json: JSONValue {
        .array(
            all.map { entry in
                .object([
                    "timestamp": .float(entry.time), "category": .string(entry.category), "event_type": .string(entry.category),
                    "message": .string(entry.message), "model_id": .text(entry.model), "severity": .string(entry.severity),
                ])
            })
    }
}
