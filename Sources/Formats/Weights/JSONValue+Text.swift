extension JSONValue {
    /// Reads one JSON text; the rules are those of ``JSONScanner``.
    public static func parse(
        _ bytes: UnsafeRawBufferPointer, maximumDepth: Int = Limits.jsonDepthOfRequests
    ) throws(JSONError) -> JSONValue {
        var scanner = unsafe JSONScanner(borrowing: bytes, maximumDepth: maximumDepth)
        let value = try scanner.readValue()
        try scanner.finish()
        return value
    }

    public static func parse(
        _ bytes: [UInt8], maximumDepth: Int = Limits.jsonDepthOfRequests
    ) throws(JSONError) -> JSONValue {
        try parse(bytes.span, maximumDepth: maximumDepth)
    }

    public static func parse(
        _ bytes: Span<UInt8>, maximumDepth: Int = Limits.jsonDepthOfRequests
    ) throws(JSONError) -> JSONValue {
        try unsafe bytes.withUnsafeBytes { (bytes) throws(JSONError) in try unsafe parse(bytes, maximumDepth: maximumDepth) }
    }

    public static func parse(_ text: String, maximumDepth: Int = Limits.jsonDepthOfRequests) throws(JSONError) -> JSONValue {
        try parse(Array(text.utf8), maximumDepth: maximumDepth)
    }

    /// The value as compact JSON: valid UTF-8, no escapes beyond the necessary, numbers that read back the same.
    /// A float that is not finite has no spelling in JSON and becomes `null`.
    public func serialized() -> String {
        var bytes: [UInt8] = []
        write(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends ``serialized()`` as bytes.
    public func write(to bytes: inout [UInt8]) {
        switch self {
        case .null: bytes.append(contentsOf: "null".utf8)
        case .bool(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
        case .int(let value): bytes.append(contentsOf: String(value).utf8)
        case .float(let value): bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
        case .string(let text): Self.write(text, to: &bytes)
        case .array(let elements):
            bytes.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                element.write(to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .object(let object):
            bytes.append(UInt8(ascii: "{"))
            for (index, member) in object.members.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                Self.write(member.key, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                member.value.write(to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        }
    }

    /// Appends a string in quotes.
    public static func write(_ text: String, to bytes: inout [UInt8]) {
        let hexadecimal = Array("0123456789abcdef".utf8)
        bytes.append(UInt8(ascii: "\""))
        defer { bytes.append(UInt8(ascii: "\"")) }
        let needsEscapes = text.utf8.contains { $0 < 0x20 || $0 == 0x22 || $0 == 0x5C || $0 == 0x7F }
        guard needsEscapes else { return bytes.append(contentsOf: text.utf8) }
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): bytes.append(contentsOf: "\\\"".utf8)
            case UInt8(ascii: "\\"): bytes.append(contentsOf: "\\\\".utf8)
            case UInt8(ascii: "\n"): bytes.append(contentsOf: "\\n".utf8)
            case UInt8(ascii: "\r"): bytes.append(contentsOf: "\\r".utf8)
            case UInt8(ascii: "\t"): bytes.append(contentsOf: "\\t".utf8)
            case 0..<0x20, 0x7F:
                bytes.append(contentsOf: "\\u00".utf8)
                bytes.append(hexadecimal[Int(byte >> 4)])
                bytes.append(hexadecimal[Int(byte & 15)])
            default: bytes.append(byte)
            }
        }
    }
}

extension JSONScanner {
    /// Reads the next value as a tree. Recurses once per level, which the depth cap bounds.
    public mutating func readValue() throws(JSONError) -> JSONValue {
        switch try peek() {
        case .null:
            try readNull()
            return .null
        case .bool: return .bool(try readBool())
        case .string: return .string(try readString())
        case .number:
            switch try readNumber() {
            case .int(let value): return .int(value)
            case .float(let value): return .float(value)
            }
        case .array:
            var elements: [JSONValue] = []
            try beginArray()
            while try nextElement() { elements.append(try readValue()) }
            return .array(elements)
        case .object:
            var object = JSONObject()
            try beginObject()
            while try nextKey() {
                let key = keyText
                object.members.append(JSONObject.Member(key: key, value: try readValue()))
            }
            return .object(object)
        }
    }
}
