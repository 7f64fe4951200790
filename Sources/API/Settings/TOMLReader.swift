/// Reads TOML 1.0 as strictly as its specification (https://toml.io/en/v1.0.0), and remembers the line of every key, so
/// that whoever reads the values can say where a wrong one stands. Dates and times are refused: no setting is one.
///
/// The depth of values, the parts of a name and the size of a document are bounded: no input exhausts stack or memory.
public struct TOMLReader {
    public static let maximumBytes = 1 << 20
    public static let maximumDepth = 32  // of values inside values
    public static let maximumParts = 16  // of a dotted name

    private let bytes: [UInt8]
    private var place = 0
    private var line = 1
    private var depth = 0

    public static func read(_ bytes: [UInt8]) throws(TOMLError) -> TOMLTable {
        guard bytes.count <= maximumBytes else { throw TOMLError(line: 1, problem: "more than \(maximumBytes) bytes") }
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw TOMLError(line: 1 + bytes.count { $0 == .lineFeed }, problem: "the text is not UTF-8")
        }
        var reader = TOMLReader(bytes: bytes)
        return try reader.document()
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    // MARK: Lines

    private mutating func document() throws(TOMLError) -> TOMLTable {
        let root = TOMLBuilder(.header)
        var current = root
        while true {
            skipBlanks()
            guard let byte = next else { return root.finished }
            switch byte {
            case .hash, .lineFeed, .carriageReturn: break
            case .openBracket: current = try header(in: root)
            default: try assignment(into: current)
            }
            try endOfLine()
        }
    }

    private mutating func endOfLine() throws(TOMLError) {
        skipBlanks()
        try comment()
        guard next != nil else { return }
        guard try lineBreak() else { throw unexpected("the line should end here") }
    }

    /// `[a.b]` or `[[a.b]]`: the table that the lines below it belong to.
    private mutating func header(in root: TOMLBuilder) throws(TOMLError) -> TOMLBuilder {
        place += 1
        let isList = next == .openBracket
        if isList { place += 1 }
        let (names, line) = (try name(), line)
        for _ in 0..<(isList ? 2 : 1) {
            guard next == .closeBracket else { throw unexpected("']' is missing behind the name of a table") }
            place += 1
        }
        var table = root
        for name in names.dropLast() { table = try table.passed(name, line: line) }
        return isList ? try table.appended(names[names.count - 1], line: line) : try table.opened(names[names.count - 1], line: line)
    }

    /// `a.b = value`.
    private mutating func assignment(into table: TOMLBuilder) throws(TOMLError) {
        let (names, line) = (try name(), line)
        guard next == .equals else { throw unexpected("'=' is missing behind a key") }
        place += 1
        skipBlanks()
        let value = try value()
        var table = table
        for name in names.dropLast() { table = try table.dotted(name, line: line) }
        try table.set(names[names.count - 1], value, line: line)
    }

    /// Names with points between them; stops behind the blanks that follow.
    private mutating func name() throws(TOMLError) -> [String] {
        var names: [String] = []
        while true {
            skipBlanks()
            switch next {
            case .quote where !begins([.quote, .quote, .quote]): names.append(try basicString())
            case .apostrophe where !begins([.apostrophe, .apostrophe, .apostrophe]): names.append(try literalString())
            default:
                let start = place
                while let byte = next, byte.isBare { place += 1 }
                guard place > start else { throw unexpected("a key is letters, digits, '_' and '-', or a string in quotes") }
                names.append(text(start..<place))
            }
            guard names.count <= Self.maximumParts else { throw error("a name of more than \(Self.maximumParts) parts") }
            skipBlanks()
            guard next == .point else { return names }
            place += 1
        }
    }

    // MARK: Values

    private mutating func value() throws(TOMLError) -> TOMLValue {
        switch next {
        case .quote: return .string(begins([.quote, .quote, .quote]) ? try longString(.quote) : try basicString())
        case .apostrophe:
            return .string(begins([.apostrophe, .apostrophe, .apostrophe]) ? try longString(.apostrophe) : try literalString())
        case .openBracket: return try nested { reader throws(TOMLError) in .array(try reader.array()) }
        case .openBrace: return try nested { reader throws(TOMLError) in .table(try reader.inlineTable()) }
        default: return try word()
        }
    }

    private mutating func nested(
        _ read: (inout TOMLReader) throws(TOMLError) -> TOMLValue
    ) throws(TOMLError) -> TOMLValue {
        depth += 1
        guard depth <= Self.maximumDepth else { throw error("values nested deeper than \(Self.maximumDepth)") }
        let value = try read(&self)
        depth -= 1
        return value
    }

    private mutating func array() throws(TOMLError) -> [TOMLValue] {
        place += 1
        var values: [TOMLValue] = []
        while true {
            try skipLines()
            if next == .closeBracket { break }
            values.append(try value())
            try skipLines()
            if next == .comma { place += 1 } else { break }
        }
        guard next == .closeBracket else { throw unexpected("a list goes on with ',' or ends with ']'") }
        place += 1
        return values
    }

    private mutating func inlineTable() throws(TOMLError) -> TOMLTable {
        place += 1
        let table = TOMLBuilder(.header)
        skipBlanks()
        if next == .closeBrace {
            place += 1
            return table.finished
        }
        while true {
            try assignment(into: table)
            skipBlanks()
            switch next {
            case .comma: place += 1
            case .closeBrace:
                place += 1
                return table.finished
            default: throw unexpected("a table in braces goes on with ',' or ends with '}' on the same line")
            }
        }
    }

    /// `true`, `false`, or a number.
    private mutating func word() throws(TOMLError) -> TOMLValue {
        let start = place
        while let byte = next, byte.isBare || byte == .plus || byte == .point || byte == .colon { place += 1 }
        let word = text(start..<place)
        switch word {
        case "": throw unexpected("a value is missing")
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        default: break
        }
        do throws(TOMLNumber.Problem) {
            return try TOMLNumber.read(word)
        } catch {
            throw self.error(error.text)
        }
    }

    // MARK: Strings

    private mutating func basicString() throws(TOMLError) -> String {
        place += 1
        var result: [UInt8] = []
        while let byte = next, byte != .lineFeed {
            place += 1
            switch byte {
            case .quote: return String(decoding: result, as: UTF8.self)
            case .backslash: result += try escape()
            default:
                guard !byte.isControl else { throw control(byte) }
                result.append(byte)
            }
        }
        throw error("a string in quotes ends on its own line")
    }

    private mutating func literalString() throws(TOMLError) -> String {
        place += 1
        let start = place
        while let byte = next, byte != .lineFeed {
            if byte == .apostrophe {
                defer { place += 1 }
                return text(start..<place)
            }
            guard !byte.isControl else { throw control(byte) }
            place += 1
        }
        throw error("a string in quotes ends on its own line")
    }

    /// A string in three quotes, which may run over several lines.
    private mutating func longString(_ quote: UInt8) throws(TOMLError) -> String {
        let first = line
        place += 3
        _ = try lineBreak()  // the one right behind the quotes is no part of the text
        var result: [UInt8] = []
        while let byte = next {
            if begins([quote, quote, quote]) {
                var count = 3
                while count < 5, place + count < bytes.count, bytes[place + count] == quote { count += 1 }
                place += count
                return String(decoding: result + [UInt8](repeating: quote, count: count - 3), as: UTF8.self)
            }
            if try lineBreak() {
                result.append(.lineFeed)
            } else if byte == .backslash, quote == .quote {
                place += 1
                if try !foldLines() { result += try escape() }
            } else {
                guard !byte.isControl else { throw control(byte) }
                result.append(byte)
                place += 1
            }
        }
        throw TOMLError(line: first, problem: "the string that begins here has no end")
    }

    /// A backslash at the end of a line swallows the white space up to the next word.
    private mutating func foldLines() throws(TOMLError) -> Bool {
        let start = place
        skipBlanks()
        guard try lineBreak() else {
            place = start
            return false
        }
        repeat { skipBlanks() } while try lineBreak()
        return true
    }

    private mutating func escape() throws(TOMLError) -> [UInt8] {
        guard let byte = next else { throw error("a string in quotes ends on its own line") }
        place += 1
        switch byte {
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "r"): return [0x0D]
        case .quote, .backslash: return [byte]
        case UInt8(ascii: "u"): return try scalar(digits: 4)
        case UInt8(ascii: "U"): return try scalar(digits: 8)
        default: throw error("a backslash is followed by one of b t n f r \" \\ u U")
        }
    }

    private mutating func scalar(digits: Int) throws(TOMLError) -> [UInt8] {
        let end = min(place + digits, bytes.count)
        let word = text(place..<end)
        guard end - place == digits, word.utf8.allSatisfy(\.isHexDigit), let number = UInt32(word, radix: 16), let scalar = Unicode.Scalar(number)
        else { throw error("\(digits) hexadecimal digits of a Unicode character are expected") }
        place = end
        return Array(String(Character(scalar)).utf8)
    }

    // MARK: Bytes

    private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

    private func begins(_ expected: [UInt8]) -> Bool { bytes[place...].starts(with: expected) }

    private func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    private mutating func skipBlanks() {
        while let byte = next, byte == .space || byte == .tab { place += 1 }
    }

    private mutating func comment() throws(TOMLError) {
        guard next == .hash else { return }
        while let byte = next, byte != .lineFeed {
            if byte == .carriageReturn, place + 1 < bytes.count, bytes[place + 1] == .lineFeed { return }
            guard !byte.isControl else { throw control(byte) }
            place += 1
        }
    }

    /// White space, comments and line breaks inside a list.
    private mutating func skipLines() throws(TOMLError) {
        repeat {
            skipBlanks()
            try comment()
        } while try lineBreak()
    }

    private mutating func lineBreak() throws(TOMLError) -> Bool {
        switch next {
        case .lineFeed: place += 1
        case .carriageReturn:
            guard place + 1 < bytes.count, bytes[place + 1] == .lineFeed else { throw control(.carriageReturn) }
            place += 2
        default: return false
        }
        line += 1
        return true
    }

    private func error(_ problem: String) -> TOMLError { TOMLError(line: line, problem: problem) }
    private func control(_ byte: UInt8) -> TOMLError { error("a control character (byte \(byte)) stands in the text") }

    private func unexpected(_ problem: String) -> TOMLError {
        guard let byte = next else { return error("\(problem), not the end of the text") }
        if byte == .lineFeed || byte == .carriageReturn { return error("\(problem), not the end of the line") }
        let character = String(decoding: bytes[place..<min(place + 4, bytes.count)], as: UTF8.self).first ?? "?"
        return error("\(problem), not '\(character)'")
    }
}

extension UInt8 {
    fileprivate static let tab: UInt8 = 0x09
    fileprivate static let lineFeed: UInt8 = 0x0A
    fileprivate static let carriageReturn: UInt8 = 0x0D
    fileprivate static let space = UInt8(ascii: " ")
    fileprivate static let quote = UInt8(ascii: "\"")
    fileprivate static let apostrophe = UInt8(ascii: "'")
    fileprivate static let backslash = UInt8(ascii: "\\")
    fileprivate static let hash = UInt8(ascii: "#")
    fileprivate static let equals = UInt8(ascii: "=")
    fileprivate static let point = UInt8(ascii: ".")
    fileprivate static let comma = UInt8(ascii: ",")
    fileprivate static let plus = UInt8(ascii: "+")
    fileprivate static let colon = UInt8(ascii: ":")
    fileprivate static let openBracket = UInt8(ascii: "[")
    fileprivate static let closeBracket = UInt8(ascii: "]")
    fileprivate static let openBrace = UInt8(ascii: "{")
    fileprivate static let closeBrace = UInt8(ascii: "}")

    fileprivate var isControl: Bool { (self < 0x20 && self != .tab) || self == 0x7F }
    fileprivate var isDigit: Bool { self >= 0x30 && self <= 0x39 }
    fileprivate var isHexDigit: Bool { isDigit || (self | 0x20 >= 0x61 && self | 0x20 <= 0x66) }
    /// Of a key without quotes.
    fileprivate var isBare: Bool { isDigit || (self | 0x20 >= 0x61 && self | 0x20 <= 0x7A) || self == 0x2D || self == 0x5F }
}
