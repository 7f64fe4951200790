/// What a code point is, as a set of bits: what the published split patterns ask about.
struct UnicodeClass: OptionSet {
    let rawValue: UInt8

    static let letter = UnicodeClass(rawValue: 1)  // \p{L}
    static let number = UnicodeClass(rawValue: 2)  // \p{N}
    static let mark = UnicodeClass(rawValue: 4)  // \p{M}
    static let space = UnicodeClass(rawValue: 8)  // \s
    static let punctuation = UnicodeClass(rawValue: 16)  // \p{P}
    static let symbol = UnicodeClass(rawValue: 32)  // \p{S}
    static let upper = UnicodeClass(rawValue: 64)  // \p{Lu} and \p{Lt}, letters too
    static let lower = UnicodeClass(rawValue: 128)  // \p{Ll}, letters too

    /// The class of every code point below 0x40000; above, there are only variation selectors.
    static let table: [UInt8] = {
        var table = [UInt8](repeating: 0, count: 0x40000)
        let ranges = UnicodeClassTable.ranges
        for index in ranges.indices {
            let first = Int(ranges[index] >> 8)
            let end = index + 1 < ranges.count ? Int(ranges[index + 1] >> 8) : table.count
            for point in first..<end { table[point] = UInt8(truncatingIfNeeded: ranges[index]) }
        }
        return table
    }()
}

/// Reads text code point by code point; bytes that are not UTF-8 count as one code point each, of no class.
struct Scalars: Sendable {
    private let classes = UnicodeClass.table

    /// One code point: its value, its class, how many bytes it takes.
    struct Scalar {
        let value: UInt32
        let kind: UnicodeClass
        let length: Int
    }

    /// The code point that starts at `position`, which is below `end`; nothing at or behind `end` is read.
    @inline(__always)
    func scalar(_ text: Span<UInt8>, at position: Int, end: Int) -> Scalar {
        let first = text[position]
        if first < 0x80 { return Scalar(value: UInt32(first), kind: UnicodeClass(rawValue: classes[Int(first)]), length: 1) }
        return longScalar(text, at: position, end: end)
    }

    private func longScalar(_ text: Span<UInt8>, at position: Int, end: Int) -> Scalar {
        let (value, length) = UTF8Decoding.scalar(in: text, at: position, end: end)
        let kind: UInt8 =
            if value < UInt32(classes.count) { classes[Int(value)] } else if (0xE0100..<0xE01F0).contains(value) {
                UnicodeClass.mark.rawValue
            } else { 0 }
        return Scalar(value: value, kind: UnicodeClass(rawValue: kind), length: length)
    }

    /// The class at `position`; empty at the end.
    @inline(__always)
    func kind(_ text: Span<UInt8>, at position: Int, end: Int) -> UnicodeClass {
        position < end ? scalar(text, at: position, end: end).kind : []
    }

    /// The first position from `position` on whose code point has none of the bits that `kinds` asks for.
    @inline(__always)
    func skip(_ kinds: UnicodeClass, _ text: Span<UInt8>, from position: Int, end: Int) -> Int {
        var position = position
        while position < end {
            let scalar = scalar(text, at: position, end: end)
            if scalar.kind.isDisjoint(with: kinds) { break }
            position += scalar.length
        }
        return position
    }

    /// The first position from `position` on whose code point has one of the bits that `kinds` asks for.
    @inline(__always)
    func skip(without kinds: UnicodeClass, _ text: Span<UInt8>, from position: Int, end: Int) -> Int {
        var position = position
        while position < end {
            let scalar = scalar(text, at: position, end: end)
            if !scalar.kind.isDisjoint(with: kinds) { break }
            position += scalar.length
        }
        return position
    }
}

/// The one place that reads UTF-8: strict, so that no two byte sequences are one code point.
enum UTF8Decoding {
    /// The code point at `position` and its length in bytes; where the bytes are no UTF-8, U+FFFD and 1.
    static func scalar(in text: Span<UInt8>, at position: Int, end: Int) -> (value: UInt32, length: Int) {
        let first = text[position]
        if first < 0x80 { return (UInt32(first), 1) }
        let length = sequenceLength(first)
        guard length > 1, length <= end - position, accepts(second: text[position + 1], after: first) else { return (0xFFFD, 1) }
        var value = (UInt32(first) & (0x7F >> UInt32(length))) << 6 | UInt32(text[position + 1] & 0x3F)
        var offset = 2
        while offset < length {
            let byte = text[position + offset]
            guard byte & 0xC0 == 0x80 else { return (0xFFFD, 1) }
            value = value << 6 | UInt32(byte & 0x3F)
            offset += 1
        }
        return (value, length)
    }

    /// How many bytes a code point has that begins with this byte; 0 where none does.
    static func sequenceLength(_ first: UInt8) -> Int {
        switch first {
        case 0..<0x80: 1
        case 0xC2..<0xE0: 2
        case 0xE0..<0xF0: 3
        case 0xF0..<0xF5: 4
        default: 0
        }
    }

    /// Whether `second` may follow `first`: no overlong forms, no surrogates, nothing above U+10FFFF.
    static func accepts(second: UInt8, after first: UInt8) -> Bool {
        switch first {
        case 0xE0: (0xA0..<0xC0).contains(second)
        case 0xED: (0x80..<0xA0).contains(second)
        case 0xF0: (0x90..<0xC0).contains(second)
        case 0xF4: (0x80..<0x90).contains(second)
        default: second & 0xC0 == 0x80
        }
    }

    /// Appends a code point's bytes.
    static func append(_ value: UInt32, to bytes: inout [UInt8]) {
        let low = { (shift: UInt32) in UInt8(truncatingIfNeeded: 0x80 | (value >> shift & 0x3F)) }
        switch value {
        case 0..<0x80: bytes.append(UInt8(truncatingIfNeeded: value))
        case 0x80..<0x800: bytes += [UInt8(truncatingIfNeeded: 0xC0 | value >> 6), low(0)]
        case 0x800..<0x10000: bytes += [UInt8(truncatingIfNeeded: 0xE0 | value >> 12), low(6), low(0)]
        default: bytes += [UInt8(truncatingIfNeeded: 0xF0 | value >> 18 & 7), low(12), low(6), low(0)]
        }
    }
}
