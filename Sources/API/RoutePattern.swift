/// The shape of a path: literal segments, and at most one parameter in braces that takes everything it can, slashes too.
///
/// `/v1/models/{id}` matches `/v1/models/org/name` and `/v1/models/org%2Fname`, both with the parameter `org/name`.
package struct RoutePattern: Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    package let description: String
    private let before: [UInt8]
    private let after: [UInt8]?  // nil: no parameter

    package init(stringLiteral text: String) {
        description = text
        let bytes = Array(text.utf8)
        if let open = bytes.firstIndex(of: UInt8(ascii: "{")), let close = bytes.firstIndex(of: UInt8(ascii: "}")), open < close {
            before = Array(bytes[..<open])
            after = Array(bytes[(close + 1)...])
        } else {
            before = bytes
            after = nil
        }
    }

    /// The decoded parameters if `path` (as sent) has this shape, else nil.
    func match(_ path: some StringProtocol) -> [String]? {
        let bytes = Array(path.utf8)
        guard let after else { return bytes == before ? [] : nil }
        guard bytes.count > before.count + after.count, bytes.starts(with: before), bytes.suffix(after.count).elementsEqual(after)
        else { return nil }
        return Self.decoded(bytes[before.count..<(bytes.count - after.count)]).map { [$0] }
    }

    /// Percent-decoding; nil for a broken escape, a zero byte or bytes that are not UTF-8.
    static func decoded(_ bytes: some Collection<UInt8>) -> String? {
        var result: [UInt8] = []
        var iterator = bytes.makeIterator()
        while let byte = iterator.next() {
            guard byte == UInt8(ascii: "%") else {
                result.append(byte)
                continue
            }
            guard let high = iterator.next().flatMap(digit), let low = iterator.next().flatMap(digit) else { return nil }
            result.append(high << 4 | low)
        }
        return result.contains(0) ? nil : String(validating: result, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
