/// Filters over text and numbers.
extension Machine {
    func textResult(of filter: Filter, _ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        func parameters(_ names: String...) throws(TemplateError) -> Parameters { try Parameters(arguments, names, of: filter.rawValue) }
        if filter == .format {
            if !arguments.positional.isEmpty, !arguments.named.isEmpty {
                throw TemplateError(.type, "can't handle positional and keyword arguments at the same time")
            }
            let operand: Value =
                arguments.named.isEmpty
                ? .tuple(try list(arguments.positional)) : .dict(try dict(arguments.named.map { (.text($0.name), $0.value) }))
            return .text(try percentFormat(try string(of: value), operand))
        }
        if filter == .indent { return .text(try indented(value, try parameters("width", "first", "blank"))) }
        if filter == .truncate { return try truncated(value, try parameters("length", "killwords", "end", "leeway")) }
        if filter == .urlencode { return .text(try urlEncoded(value, try parameters())) }
        let text = try string(of: value)
        switch filter {
        case .trim: return .text(text.stripped(try characters(try parameters("chars"))))
        case .replace:
            let arguments = try parameters("old", "new", "count")
            let old = try string(of: try arguments.required(0)).markup(false)
            let new = try string(of: try arguments.required(1)).markup(false)
            return .text(try text.markup(false).replacing(old, with: new, limit: arguments.given(2) == nil ? -1 : try arguments.integer(2)))
        case .center:
            return .text(try text.padded(to: try parameters("width").integer(0, else: 80), with: TemplateText(" "), .center))
        default: break
        }
        _ = try parameters()
        switch filter {
        case .upper: return .text(try text.uppercased())
        case .lower: return .text(try text.lowercased())
        case .capitalize: return .text(try text.capitalized())
        case .title: return .text(try text.titledByWords().markup(false))
        case .wordcount: return .int(Self.words(text))
        case .safe: return .text(text.markup(true))
        case .escape, .e: return .text(try text.escaped())
        case .forceescape: return .text(try text.markup(false).escaped())
        case .striptags: return .text(try Self.withoutTags(text))
        default: return .text(text)
        }
    }

    private func characters(_ parameters: Parameters) throws(TemplateError) -> TemplateText? {
        parameters.given(0) == nil ? nil : try parameters.text(0)
    }

    private static func words(_ text: TemplateText) -> Int {
        var count = 0
        var inWord = false
        for scalar in text.scalars {
            let belongs = scalar == "_" || scalar.isAlphanumeric
            if belongs, !inWord { count += 1 }
            inWord = belongs
        }
        return count
    }

    private func indented(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> TemplateText {
        if case .undefined(let missing) = value { throw missing.error }
        guard case .text(let text) = value else { throw TemplateError(.type, "indent needs a string, not \(value.typeName)") }
        let indention: TemplateText
        if case .text(let given)? = parameters[0] {
            indention = given
        } else {
            indention = try TemplateText.empty.padded(to: try parameters.integer(0, else: 4), with: TemplateText(" "), .right)
        }
        let first = parameters.isTrue(1)
        let blank = parameters.isTrue(2)
        var whole = TextBuilder(isMarkup: text.isMarkup)
        try whole.append(text)
        try whole.append("\n")
        var builder = TextBuilder(isMarkup: text.isMarkup)
        for (index, line) in try whole.finish().lines().enumerated() {
            if index > 0 { try builder.append("\n") }
            if index == 0 ? first : blank || !line.isEmpty { try builder.append(indention) }
            try builder.append(line)
        }
        return builder.finish()
    }

    private func truncated(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> Value {
        if case .undefined(let missing) = value { throw missing.error }
        guard case .text(let text) = value else { throw TemplateError(.type, "truncate needs a string, not \(value.typeName)") }
        let length = try parameters.integer(0, else: 255)
        let end = try parameters.text(2, else: TemplateText("..."))
        let leeway = parameters.given(3) == nil ? 5 : try parameters.integer(3)
        let endCount = end.count
        if length < endCount { throw TemplateError(.type, "expected length >= \(endCount), got \(length)") }
        if leeway < 0 { throw TemplateError(.type, "expected leeway >= 0, got \(leeway)") }
        let count = text.count
        if count <= length || count - length <= leeway { return value }
        var kept = text[0..<text.offset(of: length - endCount)]
        if !parameters.isTrue(1) {
            kept = try kept.split(TemplateText(" "), limit: 1, fromRight: true).first ?? kept
        }
        var builder = TextBuilder(isMarkup: text.isMarkup)
        try builder.append(kept)
        try builder.append(end)
        return .text(builder.finish())
    }

    private func urlEncoded(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> TemplateText {
        var builder = TextBuilder()
        func quote(_ value: Value, forQuery: Bool) throws(TemplateError) {
            let text = try string(of: value)
            for (index, byte) in text.bytes.enumerated() {
                let isUser = text.isUser(at: index)
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "~"):
                    try builder.append(String(Character(Unicode.Scalar(byte))), isUser: isUser)
                case UInt8(ascii: "/") where !forQuery: try builder.append("/", isUser: isUser)
                case UInt8(ascii: " ") where forQuery: try builder.append("+", isUser: isUser)
                default: try builder.append("%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true), isUser: isUser)
                }
            }
        }
        let items: Items
        switch value {
        case .dict(let dict): items = try Items(.view(DictView(dict, .items)))
        case .list, .tuple, .generator, .view, .undefined, .range: items = try Items(value)
        default:
            try quote(value, forQuery: false)
            return builder.finish()
        }
        var isFirst = true
        while let item = try items.next() {
            let pair = try Items(item).drain(budget)
            if pair.count != 2 { throw TemplateError(.type, "urlencode needs pairs") }
            if !isFirst { try builder.append("&") }
            isFirst = false
            try quote(pair[0], forQuery: true)
            try builder.append("=")
            try quote(pair[1], forQuery: true)
        }
        return builder.finish()
    }

    /// Without `<!-- -->` and `<…>`, runs of space as one, entities decoded.
    private static func withoutTags(_ text: TemplateText) throws(TemplateError) -> TemplateText {
        var bytes = text.bytes
        for (open, close) in [("<!--", "-->"), ("<", ">")] {
            let (open, close) = (ByteSearch(Array(open.utf8)), ByteSearch(Array(close.utf8)))
            var kept: [UInt8] = []
            var start = 0
            while let place = open.place(in: bytes, from: start, to: bytes.count),
                let end = close.place(in: bytes, from: place, to: bytes.count)
            {
                kept += bytes[start..<place]
                start = end + close.needle.count
            }
            bytes = kept + bytes[start...]
        }
        var result = text.coarse(String(decoding: bytes, as: UTF8.self)).markup(false)
        var builder = TextBuilder()
        for (index, word) in try result.split(nil, limit: -1, fromRight: false).enumerated() {
            if index > 0 { try builder.append(" ") }
            try builder.append(word)
        }
        result = builder.finish()
        for (entity, character) in [("&lt;", "<"), ("&gt;", ">"), ("&#34;", "\""), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")] {
            result = try result.replacing(TemplateText(entity), with: TemplateText(character, isUser: result.hasUserText), limit: -1)
        }
        return result.markup(true)
    }

    // MARK: Numbers

    func numberResult(of filter: Filter, _ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
        func parameters(_ names: String...) throws(TemplateError) -> Parameters { try Parameters(arguments, names, of: filter.rawValue) }
        if case .undefined(let missing) = value { throw missing.error }
        switch filter {
        case .int: return try integer(value, try parameters("default", "base"))
        case .float:
            let initial = try parameters("default")[0] ?? .float(0)
            if let number = value.number { return .float(number) }
            if case .text(let text) = value, let number = Numbers.float(text.string) { return .float(number) }
            return initial
        case .abs:
            _ = try parameters()
            if case .float(let number) = value { return .float(Swift.abs(number)) }
            guard let number = value.index else { throw TemplateError(.type, "bad operand type for abs(): '\(value.typeName)'") }
            return number < 0 ? try negate(.int(number)) : .int(number)
        case .round: return try rounded(value, try parameters("precision", "method"))
        default: return .string(try fileSize(value, isBinary: try parameters("binary").isTrue(0)))
        }
    }

    private func integer(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> Value {
        let initial = parameters[0] ?? .int(0)
        func whole(_ number: Double) throws(TemplateError) -> Value {
            guard let result = Int(exactly: number.rounded(.towardZero)) else { throw TemplateLimits.overflow }
            return .int(result)
        }
        switch value {
        case .float(let number):
            if number.isInfinite { throw TemplateError(.type, "cannot convert float infinity to integer") }
            return number.isNaN ? initial : try whole(number)
        case .text(let text):
            if let number = try Numbers.integer(text.string, base: try parameters.integer(1, else: 10)) { return .int(number) }
            guard let number = Numbers.float(text.string), number.isFinite else { return initial }
            return try whole(number)
        default: return value.index.map { .int($0) } ?? initial
        }
    }

    private func rounded(_ value: Value, _ parameters: Parameters) throws(TemplateError) -> Value {
        let places = try parameters.integer(0, else: 0)
        let method = try parameters.text(1, else: TemplateText("common")).string
        guard ["common", "ceil", "floor"].contains(method) else { throw TemplateError(.type, "method must be common, ceil or floor") }
        guard let number = value.number else { throw TemplateError(.type, "type \(value.typeName) doesn't define __round__ method") }
        if method == "common" {
            if case .float = value { return .float(Numbers.rounded(number, places: places)) }
            let whole = value.index ?? 0
            if places >= 0 { return .int(whole) }
            if places < -18 { return .int(0) }
            guard case .int(let unit) = try arithmetic(.power, .int(10), .int(-places)) else { return value }
            let quotient = whole / unit
            let rest = (whole % unit).magnitude
            let half = UInt(unit) / 2
            let up = rest > half || (rest == half && quotient % 2 != 0)
            return try arithmetic(.multiply, .int(quotient + (up ? (whole < 0 ? -1 : 1) : 0)), .int(unit))
        }
        if !number.isFinite { throw TemplateError(.type, "cannot convert float infinity or NaN to integer") }
        let scale = try arithmetic(.power, .int(10), .int(places))
        let scaled = try arithmetic(.multiply, value, scale)
        guard let product = scaled.number, let whole = Int(exactly: product.rounded(method == "ceil" ? .up : .down)) else {
            throw TemplateLimits.overflow
        }
        return try arithmetic(.divide, .int(whole), scale)
    }

    private func fileSize(_ value: Value, isBinary: Bool) throws(TemplateError) -> String {
        let parsed: Double? = if case .text(let text) = value { Numbers.float(text.string) } else { value.number }
        guard let bytes = parsed else { throw TemplateError(.type, "could not convert to a number") }
        let base: Double = isBinary ? 1024 : 1000
        if bytes == 1 { return "1 Byte" }
        if bytes < base {
            guard let whole = Int(exactly: bytes.rounded(.towardZero)) else { throw TemplateLimits.overflow }
            return "\(whole) Bytes"
        }
        var unit = base
        let letters = isBinary ? ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] : ["k", "M", "G", "T", "P", "E", "Z", "Y"]
        for letter in letters {
            unit *= base
            if bytes < unit || letter == letters.last { return Numbers.formatted(base * bytes / unit, "f", precision: 1) + " \(letter)B" }
        }
        return ""
    }
}
