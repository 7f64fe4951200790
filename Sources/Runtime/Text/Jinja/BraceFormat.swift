/// Python's `str.format`.
extension Machine {
    func braceFormat(_ format: TemplateText, _ arguments: CallArguments) throws(TemplateError) -> TemplateText {
        var automatic: Int? = 0  // nil once fields are numbered by hand
        return try braceFormat(format, arguments, &automatic, level: 0)
    }

    private func braceFormat(
        _ format: TemplateText, _ arguments: CallArguments, _ automatic: inout Int?, level: Int
    ) throws(TemplateError) -> TemplateText {
        if level > 1 { throw TemplateError(.type, "max string recursion exceeded") }
        var builder = TextBuilder(isMarkup: format.isMarkup)
        let bytes = format.bytes
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            let isDoubled = index + 1 < bytes.count && bytes[index + 1] == byte
            if byte == UInt8(ascii: "}") {
                if !isDoubled { throw TemplateError(.type, "single '}' encountered in format string") }
                try builder.append(format, index..<index + 1)
                index += 2
            } else if byte == UInt8(ascii: "{") {
                if isDoubled {
                    try builder.append(format, index..<index + 1)
                    index += 2
                    continue
                }
                guard let end = Self.fieldEnd(bytes, index + 1) else { throw TemplateError(.type, "expected '}' before end of string") }
                var text = try field(format[index + 1..<end], arguments, &automatic, level)
                if format.isMarkup { text = try text.escaped() }
                try builder.append(text)
                index = end + 1
            } else {
                let start = index
                while index < bytes.count, bytes[index] != UInt8(ascii: "{"), bytes[index] != UInt8(ascii: "}") { index += 1 }
                try builder.append(format, start..<index)
            }
        }
        return builder.finish()
    }

    /// The brace that closes a field which starts at `start`.
    private static func fieldEnd(_ bytes: [UInt8], _ start: Int) -> Int? {
        var depth = 0
        for index in start..<bytes.count {
            if bytes[index] == UInt8(ascii: "{") { depth += 1 }
            if bytes[index] == UInt8(ascii: "}") {
                if depth == 0 { return index }
                depth -= 1
            }
        }
        return nil
    }

    /// `name.attribute[item]!conversion:specification`
    private func field(
        _ field: TemplateText, _ arguments: CallArguments, _ automatic: inout Int?, _ level: Int
    ) throws(TemplateError) -> TemplateText {
        let bytes = field.bytes
        var end = 0
        while end < bytes.count, bytes[end] != UInt8(ascii: "!"), bytes[end] != UInt8(ascii: ":") {
            if bytes[end] == UInt8(ascii: "[") { while end < bytes.count, bytes[end] != UInt8(ascii: "]") { end += 1 } }
            if end < bytes.count { end += 1 }
        }
        var value = try path(field[0..<end], arguments, &automatic)
        if end < bytes.count, bytes[end] == UInt8(ascii: "!") {
            guard end + 1 < bytes.count else { throw TemplateError(.type, "end of string while looking for conversion specifier") }
            switch bytes[end + 1] {
            case UInt8(ascii: "s"): value = .text(try string(of: value))
            case UInt8(ascii: "r"): value = .text(try representation(of: value))
            case UInt8(ascii: "a"): value = .text(try representation(of: value).asciiOnly())
            default: throw TemplateError(.type, "unknown conversion specifier")
            }
            end += 2
            if end < bytes.count, bytes[end] != UInt8(ascii: ":") { throw TemplateError(.type, "expected ':' after conversion specifier") }
        }
        var specification = end < bytes.count ? field[end + 1..<bytes.count] : .empty
        if specification.bytes.contains(UInt8(ascii: "{")) {
            specification = try braceFormat(specification, arguments, &automatic, level: level + 1)
        }
        return try self.format(value, specification)
    }

    private func path(_ text: TemplateText, _ arguments: CallArguments, _ automatic: inout Int?) throws(TemplateError) -> Value {
        let bytes = text.bytes
        var index = 0
        while index < bytes.count, bytes[index] != UInt8(ascii: "."), bytes[index] != UInt8(ascii: "[") { index += 1 }
        let first = text[0..<index]
        var value: Value
        var place = 0
        if first.isEmpty {
            guard let number = automatic else {
                throw TemplateError(.type, "cannot switch from manual field specification to automatic field numbering")
            }
            value = try positional(number, arguments)
            automatic = number + 1
        } else if let number = try Self.digits(first.bytes, &place), place == first.bytes.count {
            if let count = automatic, count > 0 {
                throw TemplateError(.type, "cannot switch from automatic field numbering to manual field specification")
            }
            automatic = nil
            value = try positional(number, arguments)
        } else {
            guard let argument = arguments.named.first(where: { $0.name.bytes == first.bytes }) else {
                throw TemplateError(.type, "format has no argument '\(first.string)'")
            }
            value = argument.value
        }
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: ".") {
                let start = index + 1
                index = start
                while index < bytes.count, bytes[index] != UInt8(ascii: "."), bytes[index] != UInt8(ascii: "[") { index += 1 }
                if index == start { throw TemplateError(.type, "empty attribute in format string") }
                value = try attribute(text[start..<index].string, of: value)
            } else {
                guard let close = bytes[index...].firstIndex(of: UInt8(ascii: "]")), close > index + 1 else {
                    throw TemplateError(.type, "empty attribute in format string")
                }
                let key = text[index + 1..<close]
                var place = 0
                let number = try Self.digits(key.bytes, &place)
                value = try item(place == key.bytes.count ? .int(number ?? 0) : .text(key), of: value)
                index = close + 1
            }
        }
        return value
    }

    private func positional(_ index: Int, _ arguments: CallArguments) throws(TemplateError) -> Value {
        guard index < arguments.positional.count else {
            throw TemplateError(.type, "replacement index \(index) out of range for positional args tuple")
        }
        return arguments.positional[index]
    }

    /// `format(value, specification)`
    private func format(_ value: Value, _ text: TemplateText) throws(TemplateError) -> TemplateText {
        if text.isEmpty { return try string(of: value) }
        var specification = try Self.parse(text)
        switch value {
        case .text(let string):
            if let conversion = specification.conversion, conversion != "s" {
                throw TemplateError(.type, "unknown format code '\(conversion)' for object of type 'str'")
            }
            if specification.alignment == "=" {
                if specification.fill.string != "0" { throw TemplateError(.type, "'=' alignment not allowed in string format specifier") }
                specification.alignment = "<"
            }
            if specification.sign != "-" || specification.isAlternate || specification.grouping != nil {
                throw TemplateError(.type, "sign, '#' and ',' are not allowed in string format specifier")
            }
            return try specification.padded(specification.precision.map { string[0..<string.offset(of: $0)] } ?? string, initially: "<")
        case .int, .bool, .float:
            let conversion = specification.conversion
            if let whole = value.index, conversion.map({ "bcdoxXn".unicodeScalars.contains($0) }) ?? true {
                if specification.precision != nil { throw TemplateError(.type, "precision not allowed in integer format specifier") }
                if conversion == "c" { return try specification.padded(try Self.character(whole), initially: "<") }
                let (digits, prefix) = FormatSpecification.integer(whole, conversion ?? "d")
                let size = conversion == nil || conversion == "d" || conversion == "n" ? 3 : 4
                return try specification.number(
                    Self.group(digits, specification, size: size, isNegative: whole < 0), isNegative: whole < 0,
                    prefix: specification.isAlternate ? prefix : "")
            }
            let number = value.number ?? 0
            let isNegative = number.sign == .minus && !number.isNaN
            var digits: String
            switch conversion {
            case nil:
                if specification.precision == nil {
                    digits = Numbers.text(number.magnitude)
                } else {
                    digits = try specification.digits(of: number, "g")
                    if number.isFinite, !digits.contains("."), !digits.contains("e") { digits += ".0" }
                }
            case "e", "E", "f", "F", "g", "G": digits = try specification.digits(of: number, Character(conversion ?? "f"))
            case "n": digits = try specification.digits(of: number, "g")
            case "%": digits = try specification.digits(of: number * 100, "f") + "%"
            default: throw TemplateError(.type, "unknown format code '\(conversion ?? "?")' for object of type '\(value.typeName)'")
            }
            return try specification.number(Self.group(digits, specification, size: 3, isNegative: isNegative), isNegative: isNegative)
        case .undefined(let missing): throw missing.error
        default:
            throw TemplateError(.type, "unsupported format string passed to \(value.typeName).__format__")
        }
    }

    /// Puts a separator between groups of digits, and zeros before them where the field is filled with zeros.
    private static func group(_ digits: String, _ specification: FormatSpecification, size: Int, isNegative: Bool) -> String {
        guard let separator = specification.grouping else { return digits }
        let whole = digits.prefix { $0.isHexDigit && $0 != "." }
        let rest = digits.dropFirst(whole.count)
        var wanted = 0
        if specification.alignment == "=", specification.fill.string == "0" {
            wanted = min(specification.width, 4096) - rest.count - (isNegative || specification.sign != "-" ? 1 : 0)
        }
        var reversed = ""
        var count = 0
        for character in whole.reversed() {
            if count > 0, count % size == 0 { reversed.unicodeScalars.append(separator) }
            reversed.append(character)
            count += 1
        }
        while reversed.count < wanted {
            if count % size == 0 { reversed.unicodeScalars.append(separator) }
            reversed += "0"
            count += 1
        }
        return String(reversed.reversed()) + rest
    }

    /// `[[fill]align][sign][#][0][width][grouping][.precision][type]`
    private static func parse(_ text: TemplateText) throws(TemplateError) -> FormatSpecification {
        var result = FormatSpecification()
        let bytes = text.bytes
        var index = 0
        func isAlignment(_ place: Int) -> Bool { place < bytes.count && "<>^=".utf8.contains(bytes[place]) }
        func take(_ characters: String) -> Unicode.Scalar? {
            guard index < bytes.count, characters.utf8.contains(bytes[index]) else { return nil }
            defer { index += 1 }
            return Unicode.Scalar(bytes[index])
        }
        let width = UTF8Bytes.width(bytes[0])
        if isAlignment(width) {
            result.fill = text[0..<width]
            index = width
            result.alignment = take("<>^=")
        } else {
            result.alignment = take("<>^=")
        }
        if let sign = take("+- ") { result.sign = sign }
        if take("#") != nil { result.isAlternate = true }
        if take("0") != nil, result.alignment == nil {
            result.alignment = "="
            result.fill = TemplateText("0")
        }
        result.width = try digits(bytes, &index) ?? 0
        result.grouping = take(",_")
        if take(".") != nil {
            guard let precision = try digits(bytes, &index) else { throw TemplateError(.type, "format specifier missing precision") }
            result.precision = precision
        }
        result.conversion = take("bcdeEfFgGnosxX%")
        if index < bytes.count { throw TemplateError(.type, "invalid format specifier") }
        return result
    }
}
