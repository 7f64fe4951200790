/// A pull scanner over JSON bytes: the caller asks for what it expects and gets it, or an error with a position.
///
/// It is stricter than its standard leaves room for, because two readers of one text must not disagree: keys are compared
/// as bytes and must not repeat within an object nor hold U+0000; strings are valid UTF-8 without lone surrogates; numbers
/// fit their type; nesting is capped. Nothing recurses, so the cap holds on any stack.
///
///     try scanner.beginObject()
///     while try scanner.nextKey() {
///         if scanner.keyIs("vocab") { … } else { try scanner.skip() }
///     }
///     try scanner.finish()
@safe public struct JSONScanner {
    /// What kind of value comes next.
    public enum Kind: String, Sendable { case object, array, string, number, bool, null }

    public enum Number: Sendable, Equatable {
        case int(Int)  // written without fraction and exponent, and fits
        case float(Double)  // finite
        public var double: Double {
            switch self {
            case .int(let value): Double(value)
            case .float(let value): value
            }
        }
    }

    private struct Frame {
        var isObject: Bool
        var isFirst = true
    }

    /// Where the next byte is read.
    public private(set) var position: Int
    public let maximumDepth: Int

    private let base: UnsafePointer<UInt8>
    private let end: Int
    private let owner: Storage?
    private var frames: [Frame] = []
    private var keySets: [JSONKeySet] = []  // by depth, reused
    private var decoded: [UInt8] = []  // keys that were written with escapes
    private var key = JSONKeySet.Entry()

    /// Scans a storage, or a part of it, which is cut to what the storage has.
    public init(_ storage: Storage, range: Range<Int>? = nil, maximumDepth: Int = Limits.jsonDepthOfFiles) {
        let whole = unsafe range?.clamped(to: 0..<storage.bytes.count) ?? 0..<storage.bytes.count
        unsafe self.init(storage.bytes, from: whole, owner: storage, maximumDepth: maximumDepth)
    }

    /// Scans bytes that the caller keeps alive for as long as the scanner lives.
    @unsafe public init(borrowing bytes: UnsafeRawBufferPointer, maximumDepth: Int = Limits.jsonDepthOfFiles) {
        unsafe self.init(bytes, from: 0..<bytes.count, owner: nil, maximumDepth: maximumDepth)
    }

    private init(_ bytes: UnsafeRawBufferPointer, from range: Range<Int>, owner: Storage?, maximumDepth: Int) {
        let nothing: StaticString = ""
        unsafe base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? nothing.utf8Start
        end = range.upperBound
        position = range.lowerBound
        self.owner = owner
        self.maximumDepth = maximumDepth
    }

    // MARK: containers

    public var depth: Int { frames.count }

    /// The kind of the next value, which stays unread.
    public mutating func peek() throws(JSONError) -> Kind {
        skipSpace()
        guard position < end else { throw JSONError(at: position, "the text ends where a value is needed") }
        switch byte(position) {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool
        case UInt8(ascii: "n"): return .null
        case UInt8(ascii: "N"), UInt8(ascii: "I"):
            throw JSONError(at: position, "NaN and Infinity are not JSON numbers")
        default: throw JSONError(at: position, "a value is needed here, not \(shown(byte(position)))")
        }
    }

    public mutating func beginObject() throws(JSONError) {
        try open(UInt8(ascii: "{"), isObject: true)
        if keySets.count < frames.count {
            while keySets.count < frames.count { keySets.append(JSONKeySet()) }
        }
        keySets[frames.count - 1].removeAll()
    }

    public mutating func beginArray() throws(JSONError) { try open(UInt8(ascii: "["), isObject: false) }

    /// Reads the next key and its colon; false at the end of the object, which is then closed.
    public mutating func nextKey() throws(JSONError) -> Bool {
        guard let frame = frames.last, frame.isObject else { throw JSONError(at: position, "not inside an object") }
        guard try advance(in: frame, closing: UInt8(ascii: "}")) else { return false }
        skipSpace()
        let start = position
        guard position < end, byte(position) == UInt8(ascii: "\"") else {
            throw JSONError(at: position, "a key in quotes is needed here")
        }
        let body = try stringBody()
        if body.hasEscapes {
            key.start = decoded.count
            key.isDecoded = true
            decode(body.range, into: &decoded)
            key.length = decoded.count - key.start
            guard !decoded[key.start...].contains(0) else { throw JSONError(at: start, "a key holds U+0000") }
        } else {
            key.start = body.range.lowerBound
            key.length = body.range.count
            key.isDecoded = false
        }
        var hasher = Hasher()
        unsafe withKey { unsafe hasher.combine(bytes: $0) }
        key.hash = hasher.finalize()
        let isNew = unsafe decoded.withUnsafeBufferPointer { decoded in
            unsafe keySets[frames.count - 1].insert(key, source: base, decoded: decoded.baseAddress)
        }
        guard isNew else { throw JSONError(at: start, "the key \(ModelError.quoted(keyBytes)) stands twice in one object") }
        skipSpace()
        guard position < end, byte(position) == UInt8(ascii: ":") else {
            throw JSONError(at: position, "a colon is needed after the key \(ModelError.quoted(keyBytes))")
        }
        position += 1
        return true
    }

    /// Whether another element follows; false at the end of the array, which is then closed.
    @inline(__always)
    public mutating func nextElement() throws(JSONError) -> Bool {
        guard let frame = frames.last, !frame.isObject else { throw JSONError(at: position, "not inside an array") }
        return try advance(in: frame, closing: UInt8(ascii: "]"))
    }

    /// Makes sure that nothing but white space follows the one value.
    public mutating func finish() throws(JSONError) {
        guard frames.isEmpty else { throw JSONError(at: position, "an object or array is not closed") }
        skipSpace()
        guard position == end else { throw JSONError(at: position, "more text after the value") }
    }

    // MARK: the key just read

    public func keyIs(_ text: StaticString) -> Bool {
        guard text.utf8CodeUnitCount == key.length else { return false }
        return unsafe withKey { bytes in
            for index in 0..<text.utf8CodeUnitCount where unsafe bytes[index] != text.utf8Start[index] { return false }
            return true
        }
    }

    public var keyBytes: [UInt8] { unsafe withKey { unsafe Array($0) } }
    public var keyText: String { unsafe withKey { unsafe String(decoding: $0, as: UTF8.self) } }
    public func appendKey(to strings: inout ByteStrings) { unsafe withKey { unsafe strings.append(bytes: $0) } }

    private func withKey<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        if key.isDecoded {
            return unsafe decoded.withUnsafeBytes {
                unsafe body(UnsafeRawBufferPointer(rebasing: $0[key.start..<key.start + key.length]))
            }
        }
        return unsafe body(UnsafeRawBufferPointer(start: base + key.start, count: key.length))
    }

    // MARK: values

    public mutating func readString() throws(JSONError) -> String {
        let body = try stringValue()
        if !body.hasEscapes {
            return unsafe String(
                decoding: UnsafeBufferPointer(start: base + body.range.lowerBound, count: body.range.count), as: UTF8.self)
        }
        var bytes: [UInt8] = []
        decode(body.range, into: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    public mutating func readBytes() throws(JSONError) -> [UInt8] {
        var bytes: [UInt8] = []
        try appendString(to: &bytes)
        return bytes
    }

    /// Appends the string's bytes.
    public mutating func appendString(to bytes: inout [UInt8]) throws(JSONError) {
        let body = try stringValue()
        if body.hasEscapes {
            decode(body.range, into: &bytes)
        } else {
            unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: base + body.range.lowerBound, count: body.range.count))
        }
    }

    /// Appends the string as one more of many.
    public mutating func appendString(to strings: inout ByteStrings) throws(JSONError) {
        try strings.append { (bytes) throws(JSONError) in try appendString(to: &bytes) }
    }

    /// Reads an array of two strings and appends them as one, with a space between.
    public mutating func appendPair(to strings: inout ByteStrings) throws(JSONError) {
        try beginArray()
        try strings.append { (bytes) throws(JSONError) in
            for side in 0..<2 {
                guard try nextElement() else { throw JSONError(at: position, "a pair of strings is needed here") }
                if side == 1 { bytes.append(UInt8(ascii: " ")) }
                try appendString(to: &bytes)
            }
        }
        guard try !nextElement() else { throw JSONError(at: position, "a pair of strings is needed here") }
    }

    /// Reads a whole number; one with a fraction or an exponent, or beyond 64 bits, is refused.
    public mutating func readInt() throws(JSONError) -> Int {
        let start = position
        guard case .int(let value) = try readNumber() else {
            throw JSONError(at: start, "a whole number of at most 64 bits is needed here")
        }
        return value
    }

    public mutating func readBool() throws(JSONError) -> Bool {
        guard try peek() == .bool else { throw JSONError(at: position, "true or false is needed here") }
        let value = byte(position) == UInt8(ascii: "t")
        try literal(value ? "true" : "false")
        return value
    }

    public mutating func readNull() throws(JSONError) {
        guard try peek() == .null else { throw JSONError(at: position, "null is needed here") }
        try literal("null")
    }

    /// Checks and passes over one value of any kind.
    public mutating func skip() throws(JSONError) {
        let outside = frames.count
        repeat {
            if let frame = frames.last, frames.count > outside {
                guard try frame.isObject ? nextKey() : nextElement() else { continue }
            }
            switch try peek() {
            case .object: try beginObject()
            case .array: try beginArray()
            case .string: _ = try stringValue()
            case .number: _ = try readNumber()
            case .bool: _ = try readBool()
            case .null: try readNull()
            }
        } while frames.count > outside
    }

    public mutating func readNumber() throws(JSONError) -> Number {
        guard try peek() == .number else { throw JSONError(at: position, "a number is needed here") }
        let start = position
        var index = position
        let isNegative = byte(index) == UInt8(ascii: "-")
        if isNegative { index += 1 }
        var magnitude: UInt64 = 0
        var fits = true
        let firstDigit = index
        while index < end, isDigit(byte(index)) {
            if fits {
                let (tenfold, overflow) = magnitude.multipliedReportingOverflow(by: 10)
                let (sum, carry) = tenfold.addingReportingOverflow(UInt64(byte(index) &- 48))
                fits = !overflow && !carry
                magnitude = sum
            }
            index += 1
        }
        guard index > firstDigit else { throw JSONError(at: index, "a digit is needed after the minus sign") }
        guard byte(firstDigit) != UInt8(ascii: "0") || index == firstDigit + 1 else {
            throw JSONError(at: firstDigit, "a number may not begin with a zero")
        }
        var isWhole = true
        if index < end, byte(index) == UInt8(ascii: ".") {
            isWhole = false
            index += 1
            let first = index
            while index < end, isDigit(byte(index)) { index += 1 }
            guard index > first else { throw JSONError(at: index, "a digit is needed after the decimal point") }
        }
        if index < end, byte(index) | 0x20 == UInt8(ascii: "e") {
            isWhole = false
            index += 1
            if index < end, byte(index) == UInt8(ascii: "+") || byte(index) == UInt8(ascii: "-") { index += 1 }
            let first = index
            while index < end, isDigit(byte(index)) { index += 1 }
            guard index > first else { throw JSONError(at: index, "a digit is needed in the exponent") }
        }
        position = index
        if isWhole, fits {
            if magnitude <= UInt64(Int.max) { return .int(isNegative ? -Int(magnitude) : Int(magnitude)) }
            if isNegative, magnitude == UInt64(Int.max) + 1 { return .int(Int.min) }
        }
        guard index - start <= Limits.jsonNumberBytes else {
            throw JSONError(at: start, "a number of more than \(Limits.jsonNumberBytes) characters")
        }
        let text = unsafe String(decoding: UnsafeBufferPointer(start: base + start, count: index - start), as: UTF8.self)
        guard let value = Double(text), value.isFinite else {
            throw JSONError(at: start, "the number is beyond the range of 64-bit floating point")
        }
        return .float(value)
    }

    // MARK: bytes

    private mutating func open(_ bracket: UInt8, isObject: Bool) throws(JSONError) {
        skipSpace()
        guard position < end, byte(position) == bracket else {
            throw JSONError(at: position, "an \(isObject ? "object" : "array") is needed here")
        }
        guard frames.count < maximumDepth else {
            throw JSONError(at: position, "more than \(maximumDepth) objects and arrays inside each other")
        }
        position += 1
        frames.append(Frame(isObject: isObject))
    }

    @inline(__always)
    private mutating func advance(in frame: Frame, closing bracket: UInt8) throws(JSONError) -> Bool {
        skipSpace()
        guard position < end else { throw JSONError(at: position, "the text ends inside an object or array") }
        let byte = self.byte(position)
        if byte == bracket {
            position += 1
            frames.removeLast()
            return false
        }
        if frame.isFirst {
            frames[frames.count - 1].isFirst = false
            return true
        }
        guard byte == UInt8(ascii: ",") else {
            throw JSONError(at: position, "a comma or \(shown(bracket)) is needed here, not \(shown(byte))")
        }
        position += 1
        return true
    }

    @inline(__always)
    private mutating func skipSpace() {
        while position < end {
            switch byte(position) {
            case 0x20:
                position += 1
                while end - position >= 8, eightBytes(position) == 0x2020_2020_2020_2020 { position += 8 }  // indentation
            case 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    private mutating func literal(_ word: StaticString) throws(JSONError) {
        let count = word.utf8CodeUnitCount
        guard end - position >= count else { throw JSONError(at: position, "the text ends inside \(word)") }
        for index in 0..<count where unsafe byte(position + index) != word.utf8Start[index] {
            throw JSONError(at: position, "\(word) is needed here")
        }
        position += count
    }

    private mutating func stringValue() throws(JSONError) -> (range: Range<Int>, hasEscapes: Bool) {
        skipSpace()
        guard position < end, byte(position) == UInt8(ascii: "\"") else {
            throw JSONError(at: position, "a string is needed here")
        }
        return try stringBody()
    }

    /// Passes a string that begins at `position`; the range is what stands between its quotes. Checks escapes and UTF-8.
    private mutating func stringBody() throws(JSONError) -> (range: Range<Int>, hasEscapes: Bool) {
        let start = position + 1
        var index = start
        var hasEscapes = false
        while true {
            while end - index >= 8 {  // eight plain ASCII bytes at once
                guard JSONText.isPlain(eightBytes(index)) else { break }
                index += 8
            }
            guard index < end else { throw JSONError(at: start - 1, "the string is not closed") }
            let byte = self.byte(index)
            switch byte {
            case UInt8(ascii: "\""):
                position = index + 1
                return (start..<index, hasEscapes)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                index = try unsafe JSONText.escape(base, at: index, end: end).next
            case 0..<0x20: throw JSONError(at: index, "the control character \(shown(byte)) must be escaped")
            case 0x20..<0x80: index += 1
            default: index = try unsafe JSONText.multibyte(base, at: index, end: end)
            }
        }
    }

    /// Resolves the escapes of a string body that `stringBody` has passed.
    private func decode(_ range: Range<Int>, into bytes: inout [UInt8]) {
        var index = range.lowerBound
        while index < range.upperBound {
            var plain = index
            while plain < range.upperBound, byte(plain) != UInt8(ascii: "\\") { plain += 1 }
            unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: base + index, count: plain - index))
            index = plain
            guard index < range.upperBound, let escape = try? unsafe JSONText.escape(base, at: index, end: end) else { return }
            bytes.append(contentsOf: UTF8.encode(escape.scalar) ?? UTF8.encodedReplacementCharacter)
            index = escape.next
        }
    }

    /// `index` is below `end`, always.
    @inline(__always)
    private func byte(_ index: Int) -> UInt8 { unsafe base[index] }

    /// `index + 8` is not above `end`, always.
    @inline(__always)
    private func eightBytes(_ index: Int) -> UInt64 { unsafe UnsafeRawPointer(base + index).loadUnaligned(as: UInt64.self) }

    @inline(__always)
    private func isDigit(_ byte: UInt8) -> Bool { byte &- 48 < 10 }

    private func shown(_ byte: UInt8) -> String { ModelError.quoted(CollectionOfOne(byte)) }
}
