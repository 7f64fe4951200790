/// The escapes of a Python string literal.
enum StringLiteral {
    static func unescape(_ bytes: ArraySlice<UInt8>, line: Int) throws(TemplateError) -> String {
        guard bytes.contains(UInt8(ascii: "\\")) else { return String(decoding: bytes, as: UTF8.self) }
        var text = String.UnicodeScalarView()
        let source = Array(String(decoding: bytes, as: UTF8.self).unicodeScalars)
        var index = 0
        while index < source.count {
            let scalar = source[index]
            index += 1
            guard scalar == "\\", index < source.count else {
                text.append(scalar)
                continue
            }
            let letter = source[index]
            index += 1
            switch letter {
            case "\n": break
            case "\\", "'", "\"": text.append(letter)
            case "a": text.append("\u{07}")
            case "b": text.append("\u{08}")
            case "f": text.append("\u{0C}")
            case "n": text.append("\n")
            case "r": text.append("\r")
            case "t": text.append("\t")
            case "v": text.append("\u{0B}")
            case "0"..."7":
                var value = letter.value - 48
                var digits = 1
                while digits < 3, index < source.count, ("0"..."7").contains(source[index]) {
                    value = value * 8 + source[index].value - 48
                    index += 1
                    digits += 1
                }
                text.append(try character(value, line))
            case "x": text.append(try hex(source, &index, digits: 2, line))
            case "u": text.append(try hex(source, &index, digits: 4, line))
            case "U": text.append(try hex(source, &index, digits: 8, line))
            case "N": throw TemplateError(.unsupported, "\\N{…} in a string", line: line)
            default:
                text.append("\\")
                if letter.isASCII {
                    text.append(letter)
                } else {
                    // Python escapes what is not ASCII before it looks at the backslashes, so the two meet.
                    let digits = String(letter.value, radix: 16)
                    let (prefix, width) = letter.value < 0x100 ? ("x", 2) : letter.value < 0x10000 ? ("u", 4) : ("U", 8)
                    text.append(contentsOf: (prefix + String(repeating: "0", count: width - digits.count) + digits).unicodeScalars)
                }
            }
        }
        return String(text)
    }

    private static func hex(
        _ source: [Unicode.Scalar], _ index: inout Int, digits: Int, _ line: Int
    ) throws(TemplateError) -> Unicode.Scalar {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard index < source.count, source[index].isASCII, let digit = Character(source[index]).hexDigitValue else {
                throw TemplateError(.syntax, "truncated \\x, \\u or \\U escape in a string", line: line)
            }
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 16)
            if overflow { throw TemplateError(.syntax, "illegal Unicode character in a string", line: line) }
            value = shifted + UInt32(digit)
            index += 1
        }
        return try character(value, line)
    }

    private static func character(_ value: UInt32, _ line: Int) throws(TemplateError) -> Unicode.Scalar {
        guard let scalar = Unicode.Scalar(value) else { throw TemplateError(.syntax, "illegal Unicode character in a string", line: line) }
        return scalar
    }
}
