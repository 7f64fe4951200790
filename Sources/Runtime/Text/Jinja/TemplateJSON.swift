/// What Python's `json.dumps` makes of a value.
struct TemplateJSON {
    var escapesNonASCII = false
    var indent: TemplateText?
    var itemSeparator = TemplateText(", ")
    var keySeparator = TemplateText(": ")
    var sortsKeys = false
    let machine: Machine
    private(set) var builder = TextBuilder()

    init(_ machine: Machine) { self.machine = machine }

    mutating func append(_ value: Value, level: Int = 0) throws(TemplateError) {
        try machine.budget.charge(1)
        switch value {
        case .none: try builder.append("null")
        case .bool(let flag): try builder.append(flag ? "true" : "false")
        case .int(let number): try builder.append(String(number))
        case .float(let number): try builder.append(Self.number(number))
        case .text(let text): try append(text)
        case .list(let box), .tuple(let box):
            if box.items.isEmpty { return try builder.append("[]") }
            try builder.append("[")
            for (index, item) in box.items.enumerated() {
                try separate(index, level + 1)
                try append(item, level: level + 1)
            }
            try newline(level)
            try builder.append("]")
        case .dict(let dict):
            if dict.entries.isEmpty { return try builder.append("{}") }
            var entries = dict.entries
            if sortsKeys {
                let order = try machine.sortedOrder(entries.map(\.key), reverse: false)
                entries = order.map { entries[$0] }
            }
            try builder.append("{")
            for (index, entry) in entries.enumerated() {
                try separate(index, level + 1)
                try append(key: entry.key)
                try builder.append(keySeparator)
                try append(entry.value, level: level + 1)
            }
            try newline(level)
            try builder.append("}")
        default: throw TemplateError(.type, "Object of type \(value.typeName) is not JSON serializable")
        }
    }

    private mutating func separate(_ index: Int, _ level: Int) throws(TemplateError) {
        if index > 0 { try builder.append(itemSeparator) }
        try newline(level)
    }

    private mutating func newline(_ level: Int) throws(TemplateError) {
        guard let indent else { return }
        try builder.append("\n")
        try builder.append(indent, times: level)
    }

    private static func number(_ value: Double) -> String {
        value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : Numbers.text(value)
    }

    private mutating func append(key: Value) throws(TemplateError) {
        switch key {
        case .text(let text): try append(text)
        case .none: try builder.append("\"null\"")
        case .bool(let flag): try builder.append(flag ? "\"true\"" : "\"false\"")
        case .int(let number): try builder.append("\"\(number)\"")
        case .float(let number): try builder.append("\"" + Self.number(number) + "\"")
        default: throw TemplateError(.type, "keys must be str, int, float, bool or None, not \(key.typeName)")
        }
    }

    private mutating func append(_ text: TemplateText) throws(TemplateError) {
        try builder.append("\"", isUser: text.hasUserText)
        var start = 0
        var index = 0
        while index < text.bytes.count {
            let byte = text.bytes[index]
            let width = UTF8Bytes.width(byte)
            if let escape = escape(text.bytes, at: index) {
                try builder.append(text, start..<index)
                try builder.append(escape, isUser: text.isUser(at: index))
                start = index + width
            }
            index += width
        }
        try builder.append(text, start..<text.bytes.count)
        try builder.append("\"", isUser: text.hasUserText)
    }

    private func escape(_ bytes: [UInt8], at index: Int) -> String? {
        let byte = bytes[index]
        switch byte {
        case UInt8(ascii: "\""): return "\\\""
        case UInt8(ascii: "\\"): return "\\\\"
        case 0x0A: return "\\n"
        case 0x0D: return "\\r"
        case 0x09: return "\\t"
        case 0x08: return "\\b"
        case 0x0C: return "\\f"
        case 0..<0x20: return Self.unicode(UInt32(byte))
        case 0x20..<0x80: return nil
        default:
            guard escapesNonASCII else { return nil }
            let value = UTF8Bytes.scalar(at: index, in: bytes).value
            if value < 0x10000 { return Self.unicode(value) }
            let offset = value - 0x10000
            return Self.unicode(0xD800 + (offset >> 10)) + Self.unicode(0xDC00 + (offset & 0x3FF))
        }
    }

    private static func unicode(_ value: UInt32) -> String {
        let digits = String(value, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
}
