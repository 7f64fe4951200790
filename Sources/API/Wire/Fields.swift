package import Weights

/// The members of a JSON object in a request, read by name, type and range. Every error names the field.
///
/// `null` is the same as absent. Unknown members are ignored.
package struct Fields: Sendable {
    let object: JSONObject
    private let place: String  // "messages[3]." before the names of nested fields

    package init(_ object: JSONObject, in place: String = "") {
        self.object = object
        self.place = place
    }

    /// The full name of a field, for messages.
    func name(_ key: String) -> String { place + key }

    subscript(key: String) -> JSONValue? {
        let value = object[key]
        return value == .null ? nil : value
    }

    func string(_ key: String) throws(APIError) -> String? {
        switch self[key] {
        case nil: nil
        case .string(let text)?: text
        case let other?: throw mistyped(key, "a string", other)
        }
    }

    /// The string under the first of several names that is there.
    func first(of keys: [String]) throws(APIError) -> String? {
        for key in keys { if let text = try string(key) { return text } }
        return nil
    }

    func flag(_ key: String) throws(APIError) -> Bool? {
        switch self[key] {
        case nil: nil
        case .bool(let flag)?: flag
        case let other?: throw mistyped(key, "true or false", other)
        }
    }

    /// A whole number; `3.0` counts as one.
    func integer(_ key: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        let number: Int
        switch self[key] {
        case nil: return nil
        case .int(let value)?: number = value
        case .float(let value)?:
            guard let whole = Int(exactly: value) else {
                throw .refused(name(key), "\(value) is not a whole number from \(range.lowerBound) to \(range.upperBound)")
            }
            number = whole
        case let other?: throw mistyped(key, "a whole number", other)
        }
        guard range.contains(number) else {
            throw .refused(name(key), "\(number) is outside \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func number(_ key: String, in range: ClosedRange<Double>) throws(APIError) -> Double? {
        guard let value = self[key] else { return nil }
        guard let number = value.asNumber else { throw mistyped(key, "a number", value) }
        guard range.contains(number) else {
            throw .refused(name(key), "\(number) is outside \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func list(_ key: String, upTo limit: Int) throws(APIError) -> [JSONValue]? {
        switch self[key] {
        case nil: return nil
        case .array(let values)?:
            guard values.count <= limit else { throw .refused(name(key), "\(values.count) elements, \(limit) are allowed") }
            return values
        case let other?: throw mistyped(key, "a list", other)
        }
    }

    /// A string, or a list of strings.
    func strings(_ key: String, upTo limit: Int = 64) throws(APIError) -> [String]? {
        if case .string(let text)? = self[key] { return [text] }
        guard let values = try list(key, upTo: limit) else { return nil }
        var texts: [String] = []
        for value in values {
            guard case .string(let text) = value else { throw mistyped(key, "a list of strings", value) }
            texts.append(text)
        }
        return texts
    }

    func fields(_ key: String) throws(APIError) -> Fields? {
        switch self[key] {
        case nil: nil
        case .object(let object)?: Fields(object, in: name(key) + ".")
        case let other?: throw mistyped(key, "an object", other)
        }
    }

    func required<Value>(_ key: String, _ value: Value?) throws(APIError) -> Value {
        guard let value else { throw .refused(name(key), "is missing") }
        return value
    }

    func mistyped(_ key: String, _ expected: String, _ found: JSONValue) -> APIError {
        .refused(name(key), "must be \(expected), not \(found.kind)")
    }
}

extension JSONObject {
    /// The members of both, the first ones first.
    static func + (first: JSONObject, second: JSONObject) -> JSONObject {
        var sum = first
        sum.members += second.members
        return sum
    }
}

extension JSONValue {
    var asNumber: Double? {
        switch self {
        case .int(let value): Double(value)
        case .float(let value): value
        default: nil
        }
    }

    /// What sort of value it is, in words for a message.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "true or false"
        case .int, .float: "a number"
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }
}
