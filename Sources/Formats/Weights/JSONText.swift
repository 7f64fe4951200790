/// The rules of JSON strings at byte level.
enum JSONText {
    /// Whether eight bytes are all ASCII without quote, backslash and control characters.
    @inline(__always)
    static func isPlain(_ word: UInt64) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101, tops: UInt64 = 0x8080_8080_8080_8080
        let quote = word ^ (ones &* 0x22), slash = word ^ (ones &* 0x5C)
        let control = (word &- (ones &* 0x20)) & ~word
        let special = ((quote &- ones) & ~quote) | ((slash &- ones) & ~slash) | control | word
        return special & tops == 0
    }

    /// Reads the escape whose backslash is at `index`: its scalar (of both halves of a pair) and where it ends.
    static func escape(
        _ base: UnsafePointer<UInt8>, at index: Int, end: Int
    ) throws(JSONError) -> (scalar: Unicode.Scalar, next: Int) {
        guard index + 1 < end else { throw JSONError(at: index, "the text ends inside an escape") }
        switch unsafe base[index + 1] {
        case UInt8(ascii: "\""): return ("\"", index + 2)
        case UInt8(ascii: "\\"): return ("\\", index + 2)
        case UInt8(ascii: "/"): return ("/", index + 2)
        case UInt8(ascii: "b"): return ("\u{8}", index + 2)
        case UInt8(ascii: "f"): return ("\u{C}", index + 2)
        case UInt8(ascii: "n"): return ("\n", index + 2)
        case UInt8(ascii: "r"): return ("\r", index + 2)
        case UInt8(ascii: "t"): return ("\t", index + 2)
        case UInt8(ascii: "u"): break
        default: throw JSONError(at: index, "no such escape")
        }
        let first = try unsafe fourDigits(base, at: index + 2, end: end)
        if let scalar = Unicode.Scalar(first) { return (scalar, index + 6) }
        guard first < 0xDC00, end - index > 7, unsafe base[index + 6] == UInt8(ascii: "\\"), unsafe base[index + 7] == UInt8(ascii: "u")
        else { throw JSONError(at: index, "half of a surrogate pair stands alone") }
        let second = try unsafe fourDigits(base, at: index + 8, end: end)
        guard second & 0xFC00 == 0xDC00, let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) else {
            throw JSONError(at: index, "half of a surrogate pair stands alone")
        }
        return (scalar, index + 12)
    }

    private static func fourDigits(_ base: UnsafePointer<UInt8>, at index: Int, end: Int) throws(JSONError) -> UInt32 {
        guard end - index >= 4 else { throw JSONError(at: index, "four hexadecimal digits are needed here") }
        var value: UInt32 = 0
        for offset in 0..<4 {
            let digit: UInt8
            switch unsafe base[index + offset] {
            case let byte where byte &- 48 < 10: digit = byte &- 48
            case let byte where (byte | 0x20) &- 97 < 6: digit = (byte | 0x20) &- 87
            default: throw JSONError(at: index + offset, "four hexadecimal digits are needed here")
            }
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    /// Checks the UTF-8 sequence of two to four bytes at `index` and says where it ends.
    @inline(__always)
    static func multibyte(_ base: UnsafePointer<UInt8>, at index: Int, end: Int) throws(JSONError) -> Int {
        let lead = unsafe base[index]
        let length: Int
        var low: UInt8 = 0x80, high: UInt8 = 0xBF  // bounds of the second byte
        switch lead {
        case 0xC2...0xDF: length = 2
        case 0xE0: (length, low) = (3, 0xA0)
        case 0xED: (length, high) = (3, 0x9F)
        case 0xE1...0xEF: length = 3
        case 0xF0: (length, low) = (4, 0x90)
        case 0xF4: (length, high) = (4, 0x8F)
        case 0xF1...0xF3: length = 4
        default: throw JSONError(at: index, "the bytes are not UTF-8")
        }
        guard end - index >= length else { throw JSONError(at: index, "the text ends inside a character") }
        let second = unsafe base[index + 1]
        guard second >= low, second <= high else { throw JSONError(at: index, "the bytes are not UTF-8") }
        for offset in 2..<Swift.max(length, 2) where unsafe base[index + offset] & 0xC0 != 0x80 {
            throw JSONError(at: index, "the bytes are not UTF-8")
        }
        return index + length
    }
}

/// The keys of one open object, to notice a repeated one. A few are compared in turn, many through an open table.
struct JSONKeySet {
    struct Entry {
        var hash = 0
        var start = 0  // in the text, or in the scanner's decoded keys
        var length = 0
        var isDecoded = false
    }

    private static let fewKeys = 12
    private var entries: [Entry] = []
    /// A power of two of slots: entry index + 1 in the low half, 0 is free; the hash's upper half above it.
    private var table: [UInt64] = []

    mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        if !table.isEmpty { table.removeAll(keepingCapacity: false) }
    }

    /// Adds a key; false when its bytes are there already.
    mutating func insert(_ entry: Entry, source: UnsafePointer<UInt8>, decoded: UnsafePointer<UInt8>?) -> Bool {
        func same(_ other: Entry) -> Bool {
            guard other.hash == entry.hash, other.length == entry.length else { return false }
            guard let left = unsafe other.isDecoded ? decoded : source, let right = unsafe entry.isDecoded ? decoded : source else {
                return true  // both empty
            }
            for index in 0..<entry.length where unsafe left[other.start + index] != right[entry.start + index] { return false }
            return true
        }
        if table.isEmpty {
            for other in entries where same(other) { return false }
            entries.append(entry)
            if entries.count > Self.fewKeys { grow() }
            return true
        }
        let mark = Self.mark(entry)
        var slot = entry.hash & (table.count - 1)
        while table[slot] != 0 {
            if table[slot] & ~0xFFFF_FFFF == mark, same(entries[Int(table[slot] & 0xFFFF_FFFF) - 1]) { return false }
            slot = (slot + 1) & (table.count - 1)
        }
        entries.append(entry)
        table[slot] = mark | UInt64(entries.count)
        if entries.count * 2 > table.count { grow() }
        return true
    }

    private static func mark(_ entry: Entry) -> UInt64 { UInt64(bitPattern: Int64(entry.hash)) & ~0xFFFF_FFFF }

    private mutating func grow() {
        table = Array(repeating: 0, count: Swift.max(table.count * 4, 64))
        for (index, entry) in entries.enumerated() {
            var slot = entry.hash & (table.count - 1)
            while table[slot] != 0 { slot = (slot + 1) & (table.count - 1) }
            table[slot] = Self.mark(entry) | UInt64(index + 1)
        }
    }
}
