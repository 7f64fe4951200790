/// Values as text: Python's `str` and `repr`.
extension Machine {
    /// `str(value)`.
    func string(of value: Value) throws(TemplateError) -> TemplateText {
        if case .text(let text) = value { return text }
        var builder = TextBuilder()
        try appendString(of: value, to: &builder)
        return builder.finish()
    }

    func appendString(of value: Value, to builder: inout TextBuilder) throws(TemplateError) {
        switch value {
        case .text(let text): try builder.append(text)
        case .undefined: break
        default: try appendRepresentation(of: value, to: &builder)
        }
    }

    /// `repr(value)`.
    func representation(of value: Value) throws(TemplateError) -> TemplateText {
        var builder = TextBuilder()
        try appendRepresentation(of: value, to: &builder)
        return builder.finish()
    }

    func appendRepresentation(of value: Value, to builder: inout TextBuilder) throws(TemplateError) {
        try budget.charge(1)
        switch value {
        case .undefined: try builder.append("Undefined")
        case .none: try builder.append("None")
        case .bool(let flag): try builder.append(flag ? "True" : "False")
        case .int(let number): try builder.append(String(number))
        case .float(let number): try builder.append(Numbers.text(number))
        case .text(let text): try appendQuoted(text, to: &builder)
        case .list(let box): try appendItems(box.items, "[", "]", to: &builder)
        case .tuple(let box): try appendItems(box.items, "(", box.items.count == 1 ? ",)" : ")", to: &builder)
        case .dict(let dict):
            try builder.append("{")
            for (index, entry) in dict.entries.enumerated() {
                if index > 0 { try builder.append(", ") }
                try appendRepresentation(of: entry.key, to: &builder)
                try builder.append(": ")
                try appendRepresentation(of: entry.value, to: &builder)
            }
            try builder.append("}")
        case .view:
            try builder.append(value.typeName + "(")
            try appendItems(try Items(value).drain(budget), "[", "]", to: &builder)
            try builder.append(")")
        case .range(let range):
            try builder.append("range(\(range.start), \(range.stop)" + (range.step == 1 ? ")" : ", \(range.step))"))
        case .slice(let slice):
            try builder.append("slice(")
            for (index, part) in [slice.start, slice.stop, slice.step].enumerated() {
                if index > 0 { try builder.append(", ") }
                try appendRepresentation(of: part, to: &builder)
            }
            try builder.append(")")
        case .namespace(let namespace):
            try budget.enterRepresentation()
            defer { budget.leaveRepresentation() }
            try builder.append("<Namespace {")
            for (index, attribute) in namespace.attributes.enumerated() {
                if index > 0 { try builder.append(", ") }
                try appendQuoted(attribute.name, to: &builder)
                try builder.append(": ")
                try appendRepresentation(of: attribute.value, to: &builder)
            }
            try builder.append("}>")
        case .macro(let macro): try builder.append("<Macro '\(program.macros[macro.shape].name)'>")
        case .loop(let loop): try builder.append("<LoopContext \(loop.index0 + 1)/\(try loop.length(budget))>")
        case .generator, .function, .method, .cycler, .joiner: try builder.append("<\(value.typeName) object>")
        }
    }

    private func appendItems(
        _ items: [Value], _ open: String, _ close: String, to builder: inout TextBuilder
    ) throws(TemplateError) {
        try builder.append(open)
        for (index, item) in items.enumerated() {
            if index > 0 { try builder.append(", ") }
            try appendRepresentation(of: item, to: &builder)
        }
        try builder.append(close)
    }

    private func appendQuoted(_ text: TemplateText, to builder: inout TextBuilder) throws(TemplateError) {
        let single = UInt8(ascii: "'")
        let quote: Unicode.Scalar = text.bytes.contains(single) && !text.bytes.contains(UInt8(ascii: "\"")) ? "\"" : "'"
        if text.isMarkup { try builder.append("Markup(") }
        try builder.append(quote, isUser: false)
        var index = 0
        while index < text.bytes.count {
            let scalar = UTF8Bytes.scalar(at: index, in: text.bytes)
            let isUser = text.isUser(at: index)
            index += UTF8Bytes.width(text.bytes[index])
            switch scalar {
            case "\\": try builder.append("\\\\", isUser: isUser)
            case "\n": try builder.append("\\n", isUser: isUser)
            case "\r": try builder.append("\\r", isUser: isUser)
            case "\t": try builder.append("\\t", isUser: isUser)
            case quote: try builder.append("\\" + String(quote), isUser: isUser)
            default:
                if scalar.isPrintable {
                    try builder.append(scalar, isUser: isUser)
                } else {
                    try builder.append(Self.escape(scalar), isUser: isUser)
                }
            }
        }
        try builder.append(quote, isUser: false)
        if text.isMarkup { try builder.append(")") }
    }

    /// `\x07`, `\u200b`, `\U000e0001`.
    static func escape(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16)
        let (prefix, width) = scalar.value < 0x100 ? ("\\x", 2) : scalar.value < 0x10000 ? ("\\u", 4) : ("\\U", 8)
        return prefix + String(repeating: "0", count: width - digits.count) + digits
    }
}

extension TemplateText {
    /// `&`, `<`, `>` and quotes replaced for HTML, and marked as such. What is marked already stays as it is.
    func escaped() throws(TemplateError) -> TemplateText {
        if isMarkup { return self }
        var builder = TextBuilder(isMarkup: true)
        var start = 0
        for (index, byte) in bytes.enumerated() {
            let entity: String
            switch byte {
            case UInt8(ascii: "&"): entity = "&amp;"
            case UInt8(ascii: "<"): entity = "&lt;"
            case UInt8(ascii: ">"): entity = "&gt;"
            case UInt8(ascii: "\""): entity = "&#34;"
            case UInt8(ascii: "'"): entity = "&#39;"
            default: continue
            }
            try builder.append(self, start..<index)
            try builder.append(entity, isUser: isUser(at: index))
            start = index + 1
        }
        try builder.append(self, start..<bytes.count)
        return builder.finish()
    }
}
