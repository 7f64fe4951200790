/// The width, sign and precision that a format asks for.
struct FormatSpecification {
    var fill: TemplateText = TemplateText(" ")
    var alignment: Unicode.Scalar?  // < > ^ =
    var sign: Unicode.Scalar = "-"
    var isAlternate = false
    var width = 0
    var grouping: Unicode.Scalar?
    var precision: Int?
    var conversion: Unicode.Scalar?

    /// The largest precision of a float.
    static let maximumPrecision = 1000

    /// Pads a number: `sign` and `prefix` stand before zeros.
    func number(_ digits: String, isNegative: Bool, prefix: String = "", isUser: Bool = false) throws(TemplateError) -> TemplateText {
        let signText = isNegative ? "-" : sign == "+" ? "+" : sign == " " ? " " : ""
        var builder = TextBuilder()
        if alignment == "=" {
            try builder.append(signText + prefix)
            try builder.append(fill, times: width - signText.utf8.count - prefix.utf8.count - digits.utf8.count)
            try builder.append(digits)
            return builder.finish()
        }
        try builder.append(signText + prefix + digits)
        return try padded(builder.finish(), initially: ">")
    }

    func padded(_ text: TemplateText, initially: Unicode.Scalar) throws(TemplateError) -> TemplateText {
        let count = text.count
        guard width > count else { return text }
        let missing = width - count
        let left: Int
        switch alignment ?? initially {
        case ">", "=": left = missing
        case "^": left = missing / 2
        default: left = 0
        }
        var builder = TextBuilder(isMarkup: text.isMarkup)
        try builder.append(fill, times: left)
        try builder.append(text)
        try builder.append(fill, times: missing - left)
        return builder.finish()
    }

    /// A float's digits without its sign.
    func digits(of value: Double, _ conversion: Character) throws(TemplateError) -> String {
        let precision = precision ?? 6
        if precision > Self.maximumPrecision { throw TemplateError(.budget, "a precision of more than \(Self.maximumPrecision) digits") }
        if value.isNaN || value.isInfinite {
            let text = value.isNaN ? "nan" : "inf"
            return conversion.isUppercase ? text.uppercased() : text
        }
        return Numbers.formatted(value.magnitude, conversion, precision: precision, alternate: isAlternate)
    }

    static func integer(_ value: Int, _ conversion: Unicode.Scalar) -> (digits: String, prefix: String) {
        switch conversion {
        case "x": (String(value.magnitude, radix: 16), "0x")
        case "X": (String(value.magnitude, radix: 16, uppercase: true), "0X")
        case "o": (String(value.magnitude, radix: 8), "0o")
        case "b": (String(value.magnitude, radix: 2), "0b")
        default: (String(value.magnitude), "")
        }
    }
}

/// Python's `%` formatting.
extension Machine {
    func percentFormat(_ format: TemplateText, _ argument: Value) throws(TemplateError) -> TemplateText {
        var builder = TextBuilder(isMarkup: format.isMarkup)
        let arguments: [Value]
        if case .tuple(let box) = argument { arguments = box.items } else { arguments = [argument] }
        var used = 0
        var usesNames = false
        func next() throws(TemplateError) -> Value {
            guard used < arguments.count else { throw TemplateError(.type, "not enough arguments for format string") }
            defer { used += 1 }
            return arguments[used]
        }
        let bytes = format.bytes
        var index = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "%") else {
                let start = index
                while index < bytes.count, bytes[index] != UInt8(ascii: "%") { index += 1 }
                try builder.append(format, start..<index)
                continue
            }
            let place = index
            index += 1
            var specification = FormatSpecification()
            var named: Value?
            if index < bytes.count, bytes[index] == UInt8(ascii: "(") {
                guard let end = Self.closing(bytes, index) else { throw TemplateError(.type, "incomplete format key") }
                guard case .dict(let dict) = argument else { throw TemplateError(.type, "format requires a mapping") }
                let key = format[index + 1..<end]
                guard let value = dict[.text(key.bytes)] else { throw TemplateError(.type, "key '\(key.string)' is missing") }
                named = value
                usesNames = true
                index = end + 1
            }
            var leftAligned = false
            flags: while index < bytes.count {
                switch bytes[index] {
                case UInt8(ascii: "-"): leftAligned = true
                case UInt8(ascii: "+"): specification.sign = "+"
                case UInt8(ascii: " "): if specification.sign != "+" { specification.sign = " " }
                case UInt8(ascii: "#"): specification.isAlternate = true
                case UInt8(ascii: "0"):
                    specification.alignment = "="
                    specification.fill = TemplateText("0")
                default: break flags
                }
                index += 1
            }
            func number() throws(TemplateError) -> Int? {
                if index < bytes.count, bytes[index] == UInt8(ascii: "*") {
                    index += 1
                    guard let value = try next().index else { throw TemplateError(.type, "* wants int") }
                    return value
                }
                return try Self.digits(bytes, &index)
            }
            if let width = try number() {
                specification.width = width == .min ? .max : abs(width)
                if width < 0 { leftAligned = true }
            }
            if leftAligned {
                specification.alignment = "<"
                specification.fill = TemplateText(" ")
            }
            if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
                index += 1
                specification.precision = max(0, try number() ?? 0)
            }
            while index < bytes.count, "hlL".utf8.contains(bytes[index]) { index += 1 }
            guard index < bytes.count else { throw TemplateError(.type, "incomplete format") }
            let letter = Unicode.Scalar(bytes[index])
            index += 1
            if letter == "%" {
                try builder.append(format, place..<place + 1)
                continue
            }
            let value = if let named { named } else { try next() }
            var text = try percent(value, letter, specification)
            if format.isMarkup { text = try text.escaped() }
            try builder.append(text)
        }
        if !usesNames, used < arguments.count {
            switch argument {
            case .dict, .list, .range, .undefined: break  // what has items may go unused
            default: throw TemplateError(.type, "not all arguments converted during string formatting")
            }
        }
        return builder.finish()
    }

    private static func closing(_ bytes: [UInt8], _ open: Int) -> Int? {
        var depth = 0
        for index in open..<bytes.count {
            if bytes[index] == UInt8(ascii: "(") { depth += 1 }
            if bytes[index] == UInt8(ascii: ")") {
                depth -= 1
                if depth == 0 { return index }
            }
        }
        return nil
    }

    static func digits(_ bytes: [UInt8], _ index: inout Int) throws(TemplateError) -> Int? {
        var value: Int?
        while index < bytes.count, bytes[index] >= UInt8(ascii: "0"), bytes[index] <= UInt8(ascii: "9") {
            let next = (value ?? 0) * 10 + Int(bytes[index] - UInt8(ascii: "0"))
            if next > TemplateLimits.valueBytes { throw TemplateLimits.tooLarge }
            value = next
            index += 1
        }
        return value
    }

    private func percent(_ value: Value, _ letter: Unicode.Scalar, _ specification: FormatSpecification) throws(TemplateError)
        -> TemplateText
    {
        var specification = specification
        switch letter {
        case "s", "r", "a":
            var text = letter == "s" ? try string(of: value) : try representation(of: value)
            if letter == "a" { text = try text.asciiOnly() }
            if let precision = specification.precision { text = text[0..<text.offset(of: precision)] }
            specification.fill = TemplateText(" ")
            if specification.alignment == "=" { specification.alignment = ">" }
            return try specification.padded(text, initially: ">")
        case "c":
            specification.fill = TemplateText(" ")
            if specification.alignment == "=" { specification.alignment = ">" }
            if case .text(let text) = value {
                if text.count != 1 { throw TemplateError(.type, "%c requires int or char") }
                return try specification.padded(text, initially: ">")
            }
            guard let code = value.index else { throw TemplateError(.type, "%c requires int or char") }
            return try specification.padded(try Self.character(code), initially: ">")
        case "d", "i", "u":
            let number: Int
            if case .float(let float) = value {
                guard let whole = Int(exactly: float.rounded(.towardZero)) else {
                    throw TemplateError(.type, "cannot convert float to integer")
                }
                number = whole
            } else {
                number = try Self.integer(value, letter)
            }
            return try integer(number, "d", specification)
        case "x", "X", "o": return try integer(try Self.integer(value, letter), letter, specification)
        case "e", "E", "f", "F", "g", "G":
            if case .undefined(let missing) = value { throw missing.error }
            guard let number = value.number else { throw TemplateError(.type, "must be real number, not \(value.typeName)") }
            if !number.isFinite, specification.alignment == "=" {
                specification.alignment = ">"
                specification.fill = TemplateText(" ")
            }
            return try specification.number(
                try specification.digits(of: number, Character(letter)), isNegative: number.sign == .minus && !number.isNaN)
        default: throw TemplateError(.type, "unsupported format character '\(letter)'")
        }
    }

    private func integer(_ value: Int, _ letter: Unicode.Scalar, _ specification: FormatSpecification) throws(TemplateError) -> TemplateText
    {
        var (digits, prefix) = FormatSpecification.integer(value, letter)
        if let precision = specification.precision, digits.utf8.count < precision {
            if precision > FormatSpecification.maximumPrecision { throw TemplateLimits.tooLarge }
            digits = String(repeating: "0", count: precision - digits.utf8.count) + digits
        }
        return try specification.number(digits, isNegative: value < 0, prefix: specification.isAlternate ? prefix : "")
    }

    private static func integer(_ value: Value, _ letter: Unicode.Scalar) throws(TemplateError) -> Int {
        if case .undefined(let missing) = value { throw missing.error }
        guard let number = value.index else {
            throw TemplateError(.type, "%\(letter) format: a number is required, not \(value.typeName)")
        }
        return number
    }

    /// The character with a number. Nobody knows who chose the number, so it counts as user text.
    static func character(_ code: Int) throws(TemplateError) -> TemplateText {
        guard let value = UInt32(exactly: code), let scalar = Unicode.Scalar(value) else {
            throw TemplateError(.type, "%c arg not in range(0x110000)")
        }
        return TemplateText(String(scalar), isUser: true)
    }
}

extension TemplateText {
    /// With everything beyond ASCII escaped.
    func asciiOnly() throws(TemplateError) -> TemplateText {
        var builder = TextBuilder(isMarkup: isMarkup)
        var index = 0
        while index < bytes.count {
            let scalar = UTF8Bytes.scalar(at: index, in: bytes)
            if scalar.isASCII {
                try builder.append(scalar, isUser: isUser(at: index))
            } else {
                try builder.append(Machine.escape(scalar), isUser: isUser(at: index))
            }
            index += UTF8Bytes.width(bytes[index])
        }
        return builder.finish()
    }
}
