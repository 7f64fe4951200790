public import Weights

/// One line for the operator: as text exactly as the documentation shows it (`INFO:     Model loaded: …`), or as one JSON
/// object. No line holds a prompt, an answer or a key.
public struct LogLine: Sendable, CustomStringConvertible {
    public enum Level: String, Sendable, CaseIterable, Comparable {
        case info, warning, error

        public static func < (left: Level, right: Level) -> Bool { left.rank < right.rank }
        private var rank: Int {
            switch self {
            case .info: 0
            case .warning: 1
            case .error: 2
            }
        }
    }

    public let level: Level
    /// The documented words; nil: the line is written as JSON only.
    public let text: String?
    /// What happened, in a word that programs look for.
    public let event: String
    public let requestID: String?
    /// Figures and names, for programs.
    public let fields: JSONObject

    public init(_ level: Level, _ text: String?, event: String = "note", requestID: String? = nil, _ fields: JSONObject = [:]) {
        self.level = level
        self.text = text
        self.event = event
        self.requestID = requestID
        self.fields = fields
    }

    /// As text. It begins in the eleventh column.
    public var description: String {
        let label = level.rawValue.uppercased() + ":"
        return label + String(repeating: " ", count: max(1, 10 - label.count)) + (text ?? event)
    }

    /// As one JSON object.
    ///
    /// - Parameter seconds: since 1970.
    public func json(at seconds: Double) -> String {
        var object: JSONObject = ["timestamp": .string(ISODate.text(seconds)), "level": .string(level.rawValue), "event": .string(event)]
        if let text { object["message"] = .string(text) }
        if let requestID { object["request_id"] = .string(requestID) }
        for member in fields { object[member.key] = member.value }
        return JSONValue.object(object).serialized()
    }

    /// As it is written in `format`, nil where it is not.
    public func written(as format: LogFormat) -> String? {
        switch format {
        case .text: text == nil ? nil : description
        case .json: json(at: WallClock.seconds)
        }
    }
}
