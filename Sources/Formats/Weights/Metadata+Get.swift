/// Typed reading. `find…` gives nil where no spelling of the key is present, `require…` throws `missing`; a value of
/// another type is `malformed`, one outside the stated range `out_of_range`. All errors name the file and the key.
extension Metadata {
    /// The first spelling of a key that is present, and its value.
    public func find(_ key: MetadataKey) -> (spelling: String, value: Value)? {
        for spelling in key.spellings(in: self) {
            if let value = values[spelling] { return (spelling, value) }
        }
        return nil
    }

    public func has(_ key: MetadataKey) -> Bool { find(key) != nil }

    // MARK: find

    public func findInt(_ key: MetadataKey, in range: ClosedRange<Int> = Int.min...Int.max) throws(ModelError) -> Int? {
        guard let (spelling, value) = find(key) else { return nil }
        guard let number = value.int else { throw mistyped(spelling, value, "a whole number") }
        try check(number, spelling, range)
        return number
    }

    /// Finite, always.
    public func findFloat(_ key: MetadataKey, in range: ClosedRange<Double> = -1e300...1e300) throws(ModelError) -> Double? {
        guard let (spelling, value) = find(key) else { return nil }
        guard let number = value.double else { throw mistyped(spelling, value, "a number") }
        guard range.contains(number) else {
            throw ModelError(.outOfRange, at: place, "\(spelling) is \(number)", hint: "\(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    public func findBool(_ key: MetadataKey) throws(ModelError) -> Bool? {
        guard let (spelling, value) = find(key) else { return nil }
        guard case .bool(let flag) = value else { throw mistyped(spelling, value, "true or false") }
        return flag
    }

    public func findText(_ key: MetadataKey) throws(ModelError) -> String? {
        guard let (spelling, value) = find(key) else { return nil }
        guard case .text(let text) = value else { throw mistyped(spelling, value, "text") }
        return text
    }

    /// A list; a single number is a list of one.
    public func findInts(_ key: MetadataKey, in range: ClosedRange<Int> = Int.min...Int.max) throws(ModelError) -> [Int]? {
        guard let (spelling, value) = find(key) else { return nil }
        guard let numbers = value.ints else { throw mistyped(spelling, value, "a list of whole numbers") }
        for number in numbers { try check(number, spelling, range) }
        return numbers
    }

    public func findFloats(_ key: MetadataKey) throws(ModelError) -> [Double]? {
        guard let (spelling, value) = find(key) else { return nil }
        guard let numbers = value.doubles else { throw mistyped(spelling, value, "a list of numbers") }
        return numbers
    }

    public func findBools(_ key: MetadataKey) throws(ModelError) -> [Bool]? {
        guard let (spelling, value) = find(key) else { return nil }
        guard let flags = value.bools else { throw mistyped(spelling, value, "a list of true and false") }
        return flags
    }

    public func findTexts(_ key: MetadataKey) throws(ModelError) -> [String]? {
        guard let (spelling, value) = find(key) else { return nil }
        guard let texts = value.texts else { throw mistyped(spelling, value, "a list of texts") }
        return texts
    }

    /// One number per layer: a list of `count`, or a single number for all.
    public func findInts(
        _ key: MetadataKey, perLayer count: Int, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws(ModelError) -> [Int]? {
        guard let (spelling, value) = find(key), let numbers = try findInts(key, in: range) else { return nil }
        if case .int(let number) = value { return Array(repeating: number, count: Swift.max(count, 0)) }
        guard numbers.count == count else {
            throw ModelError(.mismatched, at: place, "\(spelling) has \(numbers.count) entries, the model has \(count) layers")
        }
        return numbers
    }

    // MARK: require

    public func requireInt(_ key: MetadataKey, in range: ClosedRange<Int> = Int.min...Int.max) throws(ModelError) -> Int {
        guard let value = try findInt(key, in: range) else { throw missing(key) }
        return value
    }

    public func requireFloat(_ key: MetadataKey, in range: ClosedRange<Double> = -1e300...1e300) throws(ModelError) -> Double {
        guard let value = try findFloat(key, in: range) else { throw missing(key) }
        return value
    }

    public func requireBool(_ key: MetadataKey) throws(ModelError) -> Bool {
        guard let value = try findBool(key) else { throw missing(key) }
        return value
    }

    public func requireText(_ key: MetadataKey) throws(ModelError) -> String {
        guard let value = try findText(key) else { throw missing(key) }
        return value
    }

    public func requireInts(
        _ key: MetadataKey, perLayer count: Int, in range: ClosedRange<Int> = Int.min...Int.max
    ) throws(ModelError) -> [Int] {
        guard let value = try findInts(key, perLayer: count, in: range) else { throw missing(key) }
        return value
    }

    /// The error that a required key is absent.
    public func missing(_ key: MetadataKey) -> ModelError {
        let spellings = key.spellings(in: self)
        return ModelError(
            .missing, at: place, "has no \(spellings.first ?? "such key in this dialect")",
            hint: spellings.count > 1 ? "or " + spellings.dropFirst().joined(separator: ", ") : nil)
    }

    // MARK: the sliding window

    /// Which of `count` layers attend to a window only, from whichever way the file says it: flags, a period, layer types.
    /// Nil where the file does not say.
    public func slidingLayers(count: Int) throws(ModelError) -> [Bool]? {
        if let types = try findTexts(.layerTypes) {
            guard types.count == count else {
                throw ModelError(.mismatched, at: place, "layer_types has \(types.count) entries, the model has \(count) layers")
            }
            return types.map { $0 == "sliding_attention" }
        }
        guard let (spelling, value) = find(.slidingWindowPattern) else { return nil }
        if case .int(let period) = value {
            guard period > 0 else {
                throw ModelError(.outOfRange, at: place, "\(spelling) is \(period)", hint: "a period is at least 1")
            }
            return (0..<Swift.max(count, 0)).map { ($0 + 1) % period != 0 }
        }
        guard let flags = value.bools ?? value.ints?.map({ $0 != 0 }) else {
            throw mistyped(spelling, value, "a period or one flag per layer")
        }
        guard flags.count == count else {
            throw ModelError(.mismatched, at: place, "\(spelling) has \(flags.count) entries, the model has \(count) layers")
        }
        return flags
    }

    private func check(_ number: Int, _ spelling: String, _ range: ClosedRange<Int>) throws(ModelError) {
        guard range.contains(number) else {
            throw ModelError(.outOfRange, at: place, "\(spelling) is \(number)", hint: "\(range.lowerBound) to \(range.upperBound)")
        }
    }

    private func mistyped(_ spelling: String, _ value: Value, _ wanted: String) -> ModelError {
        ModelError(.malformed, at: place, "\(spelling) is \(value.summary), where \(wanted) is needed")
    }
}

extension Metadata.Value {
    /// A float without fraction is a whole number too, as some writers spell them.
    var int: Int? {
        switch self {
        case .int(let value): value
        case .float(let value): Int(exactly: value)
        default: nil
        }
    }

    var double: Double? {
        switch self {
        case .int(let value): Double(value)
        case .float(let value): value.isFinite ? value : nil
        default: nil
        }
    }

    var ints: [Int]? {
        switch self {
        case .ints(let values): values
        case .floats(let values) where values.allSatisfy { Int(exactly: $0) != nil }: values.compactMap { Int(exactly: $0) }
        default: int.map { [$0] }
        }
    }

    var doubles: [Double]? {
        switch self {
        case .floats(let values): values.allSatisfy(\.isFinite) ? values : nil
        case .ints(let values): values.map(Double.init)
        default: double.map { [$0] }
        }
    }

    var bools: [Bool]? {
        switch self {
        case .bools(let values): values
        case .bool(let value): [value]
        case .ints(let values) where values.isEmpty: []
        default: nil
        }
    }

    var texts: [String]? {
        switch self {
        case .texts(let values): values
        case .text(let value): [value]
        case .ints(let values) where values.isEmpty: []
        default: nil
        }
    }

    /// For messages.
    public var summary: String {
        switch self {
        case .int(let value): String(value)
        case .float(let value): String(value)
        case .bool(let value): String(value)
        case .text(let value): ModelError.quoted(value)
        case .ints(let values): "a list of \(values.count) whole numbers"
        case .floats(let values): "a list of \(values.count) numbers"
        case .bools(let values): "a list of \(values.count) flags"
        case .texts(let values): "a list of \(values.count) texts"
        }
    }
}
