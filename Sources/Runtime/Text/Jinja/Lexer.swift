/// A word of the template language, with the line it stands on.
struct Token: Sendable {
    enum Kind: Sendable, Equatable {
        case data, variableBegin, variableEnd, blockBegin, blockEnd
        case name, string, integer, float, symbol, end
    }

    let kind: Kind
    let line: Int
    /// Template text, a name, an unescaped string, a symbol as written.
    var text = ""
    var integer = 0
    var float = 0.0

    /// As it is named in messages.
    var described: String {
        switch kind {
        case .data: "template data / text"
        case .variableBegin: "begin of print statement"
        case .variableEnd: "end of print statement"
        case .blockBegin: "begin of statement block"
        case .blockEnd: "end of statement block"
        case .name, .symbol: text
        case .string: "string"
        case .integer: "integer"
        case .float: "float"
        case .end: "end of template"
        }
    }
}

/// Source text → tokens, with `trim_blocks` and `lstrip_blocks` on and one trailing newline dropped, as chat templates are written for.
struct Lexer {
    private let source: [UInt8]
    private var position = 0
    private var line = 1
    /// Nothing but tag ends stand before the position on its line.
    private var isAtLineStart = true
    private var tokens: [Token] = []

    static func tokens(of source: String) throws(TemplateError) -> [Token] {
        if source.utf8.count > TemplateLimits.sourceBytes {
            throw TemplateError(.budget, "the source has more than \(TemplateLimits.sourceBytes) bytes")
        }
        var lexer = Lexer(source)
        try lexer.run()
        return lexer.tokens
    }

    private init(_ text: String) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        var afterReturn = false
        for byte in text.utf8 {
            if byte == UInt8(ascii: "\n"), afterReturn {
                afterReturn = false
                continue
            }
            afterReturn = byte == UInt8(ascii: "\r")
            bytes.append(afterReturn ? UInt8(ascii: "\n") : byte)
        }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        source = bytes
    }

    private mutating func run() throws(TemplateError) {
        while position < source.count {
            guard let tag = nextTag() else {
                addData(position..<source.count)
                position = source.count
                break
            }
            try read(tagAt: tag)
        }
        tokens.append(Token(kind: .end, line: line))
    }

    // MARK: Text between tags

    /// Where the next `{{`, `{%` or `{#` starts.
    private func nextTag() -> Int? {
        var index = position
        while index + 1 < source.count {
            if source[index] == UInt8(ascii: "{") {
                switch source[index + 1] {
                case UInt8(ascii: "{"), UInt8(ascii: "%"), UInt8(ascii: "#"): return index
                default: break
                }
            }
            index += 1
        }
        return nil
    }

    private mutating func read(tagAt tag: Int) throws(TemplateError) {
        let kind = source[tag + 1]
        var start = tag + 2
        let sign = start < source.count && (source[start] == UInt8(ascii: "-") || source[start] == UInt8(ascii: "+")) ? source[start] : 0
        if sign != 0 { start += 1 }
        addText(position..<tag, before: sign, stripsLine: kind != UInt8(ascii: "{"))
        let tagLine = line
        position = start
        switch kind {
        case UInt8(ascii: "#"): try skipComment()
        case UInt8(ascii: "{"):
            tokens.append(Token(kind: .variableBegin, line: tagLine))
            try readTag(closing: .variableEnd)
        default:
            if let body = rawBody(from: start) {
                advance(to: body)
                try readRaw()
            } else {
                tokens.append(Token(kind: .blockBegin, line: tagLine))
                try readTag(closing: .blockEnd)
            }
        }
    }

    /// Adds text that ends at a tag whose opening bears `sign`.
    private mutating func addText(_ range: Range<Int>, before sign: UInt8, stripsLine: Bool) {
        var end = range.upperBound
        if sign == UInt8(ascii: "-") {
            while end > range.lowerBound {
                let start = UTF8Bytes.start(before: end, in: source)
                guard UTF8Bytes.scalar(at: start, in: source).isPythonSpace else { break }
                end = start
            }
        } else if sign != UInt8(ascii: "+"), stripsLine {
            var start = end
            while start > range.lowerBound, source[start - 1] != UInt8(ascii: "\n") { start -= 1 }
            if start > range.lowerBound || isAtLineStart, start < end, isSpace(start..<end) { end = start }
        }
        addData(range.lowerBound..<end)
        line += newlines(in: end..<range.upperBound)
    }

    private mutating func addData(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        tokens.append(Token(kind: .data, line: line, text: String(decoding: source[range], as: UTF8.self)))
        line += newlines(in: range)
    }

    private func isSpace(_ range: Range<Int>) -> Bool {
        var index = range.lowerBound
        while index < range.upperBound {
            guard UTF8Bytes.scalar(at: index, in: source).isPythonSpace else { return false }
            index += UTF8Bytes.width(source[index])
        }
        return true
    }

    private func newlines(in range: Range<Int>) -> Int {
        var count = 0
        for index in range where source[index] == UInt8(ascii: "\n") { count += 1 }
        return count
    }

    // MARK: Comments and raw blocks

    private mutating func skipComment() throws(TemplateError) {
        guard let end = ByteSearch([UInt8(ascii: "#"), UInt8(ascii: "}")]).place(in: source, from: position, to: source.count) else {
            throw TemplateError(.syntax, "missing end of comment tag", line: line)
        }
        let sign = end > position ? source[end - 1] : 0
        finishTag(at: end + 2, sign: sign, trimsNewline: true)
    }

    /// Where the text of a raw block starts, if `start` stands inside the opening tag of one.
    private func rawBody(from start: Int) -> Int? {
        var index = skipSpace(start)
        guard isWord("raw", at: index) else { return nil }
        index = skipSpace(index + 3)
        if isText("-%}", at: index) { return skipSpace(index + 3) }
        return isText("%}", at: index) ? index + 2 : nil
    }

    private mutating func readRaw() throws(TemplateError) {
        var index = position
        let opening = ByteSearch([UInt8(ascii: "{"), UInt8(ascii: "%")])
        while let tag = opening.place(in: source, from: index, to: source.count) {
            index = tag + 2
            var inside = index
            let sign =
                inside < source.count && (source[inside] == UInt8(ascii: "-") || source[inside] == UInt8(ascii: "+")) ? source[inside] : 0
            if sign != 0 { inside += 1 }
            inside = skipSpace(inside)
            guard isText("endraw", at: inside) else { continue }
            inside = skipSpace(inside + 6)
            let closing: UInt8 = isText("-%}", at: inside) ? UInt8(ascii: "-") : isText("+%}", at: inside) ? UInt8(ascii: "+") : 0
            guard closing != 0 || isText("%}", at: inside) else { continue }
            addText(position..<tag, before: sign, stripsLine: true)
            position = tag
            finishTag(at: inside + (closing == 0 ? 2 : 3), sign: closing, trimsNewline: true)
            return
        }
        throw TemplateError(.syntax, "missing end of raw directive", line: line)
    }

    // MARK: Tags

    private mutating func readTag(closing: Token.Kind) throws(TemplateError) {
        let last: UInt8 = closing == .variableEnd ? UInt8(ascii: "}") : UInt8(ascii: "%")
        var open: [UInt8] = []
        while position < source.count {
            if open.isEmpty, let (end, sign) = tagEnd(last, allowsPlus: closing == .blockEnd) {
                tokens.append(Token(kind: closing, line: line))
                finishTag(at: end, sign: sign, trimsNewline: closing == .blockEnd)
                return
            }
            let byte = source[position]
            let scalar = UTF8Bytes.scalar(at: position, in: source)
            if scalar.isPythonSpace {
                advance(to: position + UTF8Bytes.width(byte))
            } else if byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
                try readNumber()
            } else if scalar == "_" || scalar.properties.isXIDStart {
                readName()
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                try readString(quote: byte)
            } else {
                try readSymbol(&open)
            }
        }
    }

    /// Whether the tag ends here, after an optional sign: the place behind it, and the sign.
    private func tagEnd(_ last: UInt8, allowsPlus: Bool) -> (Int, UInt8)? {
        var index = position
        var sign: UInt8 = 0
        if source[index] == UInt8(ascii: "-") || (allowsPlus && source[index] == UInt8(ascii: "+")) {
            sign = source[index]
            index += 1
        }
        guard index + 1 < source.count, source[index] == last, source[index + 1] == UInt8(ascii: "}") else { return nil }
        return (index + 2, sign)
    }

    /// Leaves a tag: `-` swallows all space behind it, nothing swallows one newline, `+` keeps it.
    private mutating func finishTag(at end: Int, sign: UInt8, trimsNewline: Bool) {
        var end = end
        if sign == UInt8(ascii: "-") {
            end = skipSpace(end)
        } else if sign != UInt8(ascii: "+"), trimsNewline, end < source.count, source[end] == UInt8(ascii: "\n") {
            end += 1
        }
        advance(to: end)
    }

    private mutating func advance(to end: Int) {
        line += newlines(in: position..<end)
        position = end
        isAtLineStart = end > 0 && source[end - 1] == UInt8(ascii: "\n")
    }

    private func skipSpace(_ start: Int) -> Int {
        var index = start
        while index < source.count, UTF8Bytes.scalar(at: index, in: source).isPythonSpace { index += UTF8Bytes.width(source[index]) }
        return index
    }

    private func isText(_ text: StaticString, at place: Int) -> Bool {
        UTF8Bytes.matches(Array(text.description.utf8), in: source, at: place)
    }

    private func isWord(_ text: StaticString, at place: Int) -> Bool { isText(text, at: place) }

    private mutating func readName() {
        let start = position
        var end = position
        while end < source.count {
            let scalar = UTF8Bytes.scalar(at: end, in: source)
            guard scalar == "_" || scalar.properties.isXIDContinue else { break }
            end += UTF8Bytes.width(source[end])
        }
        tokens.append(Token(kind: .name, line: line, text: String(decoding: source[start..<end], as: UTF8.self)))
        position = end
    }

    private mutating func readSymbol(_ open: inout [UInt8]) throws(TemplateError) {
        let byte = source[position]
        let next = position + 1 < source.count ? source[position + 1] : 0
        var size = 1
        switch (byte, next) {
        case (UInt8(ascii: "/"), UInt8(ascii: "/")), (UInt8(ascii: "*"), UInt8(ascii: "*")): size = 2
        case (UInt8(ascii: "="), UInt8(ascii: "=")), (UInt8(ascii: "!"), UInt8(ascii: "=")): size = 2
        case (UInt8(ascii: "<"), UInt8(ascii: "=")), (UInt8(ascii: ">"), UInt8(ascii: "=")): size = 2
        default:
            switch byte {
            case UInt8(ascii: "{"): open.append(UInt8(ascii: "}"))
            case UInt8(ascii: "("): open.append(UInt8(ascii: ")"))
            case UInt8(ascii: "["): open.append(UInt8(ascii: "]"))
            case UInt8(ascii: "}"), UInt8(ascii: ")"), UInt8(ascii: "]"):
                let character = Character(Unicode.Scalar(byte))
                guard let expected = open.popLast() else { throw TemplateError(.syntax, "unexpected '\(character)'", line: line) }
                if expected != byte {
                    throw TemplateError(.syntax, "unexpected '\(character)', expected '\(Character(Unicode.Scalar(expected)))'", line: line)
                }
            case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "/"), UInt8(ascii: "*"), UInt8(ascii: "%"), UInt8(ascii: "~"),
                UInt8(ascii: ">"), UInt8(ascii: "<"), UInt8(ascii: "="), UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "|"),
                UInt8(ascii: ","), UInt8(ascii: ";"):
                break
            default:
                let scalar = UTF8Bytes.scalar(at: position, in: source)
                throw TemplateError(.syntax, "unexpected character '\(Character(scalar))'", line: line)
            }
        }
        tokens.append(Token(kind: .symbol, line: line, text: String(decoding: source[position..<position + size], as: UTF8.self)))
        position += size
    }

    // MARK: Literals

    private mutating func readNumber() throws(TemplateError) {
        let start = position
        let afterDot = start > 0 && source[start - 1] == UInt8(ascii: ".")
        if !afterDot, let end = floatEnd(start) {
            let text = String(decoding: source[start..<end].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
            tokens.append(Token(kind: .float, line: line, float: Double(text) ?? 0))
            position = end
            return
        }
        var radix = 10
        var end = start
        if source[start] == UInt8(ascii: "0"), start + 1 < source.count {
            switch source[start + 1] | 0x20 {
            case UInt8(ascii: "b"): radix = 2
            case UInt8(ascii: "o"): radix = 8
            case UInt8(ascii: "x"): radix = 16
            default: break
            }
        }
        if radix != 10, digitsEnd(start + 2, radix, leadingUnderscore: true) > start + 2 {
            end = digitsEnd(start + 2, radix, leadingUnderscore: true)
        } else {
            radix = 10
            if source[start] == UInt8(ascii: "0") {
                end = start + 1
                while end < source.count {
                    if source[end] == UInt8(ascii: "0") {
                        end += 1
                    } else if end + 1 < source.count, source[end] == UInt8(ascii: "_"), source[end + 1] == UInt8(ascii: "0") {
                        end += 2
                    } else {
                        break
                    }
                }
            } else {
                end = digitsEnd(start, 10, leadingUnderscore: false)
            }
        }
        let digits = source[(radix == 10 ? start : start + 2)..<end].filter { $0 != UInt8(ascii: "_") }
        guard let value = Int(String(decoding: digits, as: UTF8.self), radix: radix) else {
            throw TemplateError(.syntax, "an integer does not fit 64 bits", line: line)
        }
        tokens.append(Token(kind: .integer, line: line, integer: value))
        position = end
    }

    /// The end of digits with single underscores between them.
    private func digitsEnd(_ start: Int, _ radix: Int, leadingUnderscore: Bool) -> Int {
        func isDigit(_ index: Int) -> Bool {
            guard index < source.count, let value = Character(Unicode.Scalar(source[index])).hexDigitValue else { return false }
            return source[index] < 0x80 && value < radix
        }
        var end = start
        while true {
            if isDigit(end) {
                end += 1
            } else if end < source.count, source[end] == UInt8(ascii: "_"), end > start || leadingUnderscore, isDigit(end + 1) {
                end += 2
            } else {
                return end
            }
        }
    }

    /// The end of a number with a fraction or an exponent, nil where there is neither.
    private func floatEnd(_ start: Int) -> Int? {
        var end = digitsEnd(start, 10, leadingUnderscore: false)
        var isFloat = false
        if end < source.count, source[end] == UInt8(ascii: ".") {
            let fraction = digitsEnd(end + 1, 10, leadingUnderscore: false)
            if fraction > end + 1 {
                end = fraction
                isFloat = true
            }
        }
        if end < source.count, source[end] | 0x20 == UInt8(ascii: "e") {
            var digits = end + 1
            if digits < source.count, source[digits] == UInt8(ascii: "+") || source[digits] == UInt8(ascii: "-") { digits += 1 }
            let exponent = digitsEnd(digits, 10, leadingUnderscore: false)
            if exponent > digits {
                end = exponent
                isFloat = true
            }
        }
        return isFloat ? end : nil
    }

    private mutating func readString(quote: UInt8) throws(TemplateError) {
        var end = position + 1
        while end < source.count, source[end] != quote { end += source[end] == UInt8(ascii: "\\") ? 2 : 1 }
        guard end < source.count else {
            throw TemplateError(.syntax, "unexpected character '\(Character(Unicode.Scalar(quote)))'", line: line)
        }
        let text = try StringLiteral.unescape(source[position + 1..<end], line: line)
        tokens.append(Token(kind: .string, line: line, text: text))
        advance(to: end + 1)
    }
}
