/// A value of a TOML document, with the lines that its parts stand on.
public indirect enum TOMLValue: Sendable, Equatable {
    case string(String)
    case integer(Int)
    case float(Double)
    case boolean(Bool)
    case array([TOMLValue])
    case table(TOMLTable)

    /// What sort of value it is, in words for a message.
    var kind: String {
        switch self {
        case .string: "a string"
        case .integer: "a whole number"
        case .float: "a number"
        case .boolean: "true or false"
        case .array: "a list"
        case .table: "a table"
        }
    }
}

/// The members of a table, in the order of the document.
public struct TOMLTable: Sendable, Equatable {
    public struct Member: Sendable, Equatable {
        public var key: String
        public var value: TOMLValue
        public var line: Int  // from 1

        public init(key: String, value: TOMLValue, line: Int) {
            self.key = key
            self.value = value
            self.line = line
        }
    }

    public var members: [Member] = []

    public init(_ members: [Member] = []) { self.members = members }

    public subscript(key: String) -> TOMLValue? { members.first { $0.key == key }?.value }
}

/// Why a text is no TOML document: the line and what is wrong there.
public struct TOMLError: Error, Sendable, Equatable, CustomStringConvertible {
    public let line: Int
    public let problem: String
    public var description: String { "\(line): \(problem)" }
}
