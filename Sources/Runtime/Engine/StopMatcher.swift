/// Finds stop strings in streamed text and holds back what may still become one.
///
/// Where the text is cut into pieces makes no difference: the stop that ends first wins, of those that end together the
/// longest. Bytes are compared, not characters. Costs a few comparisons per byte and stop string (Knuth, Morris and
/// Pratt, 1977).
package struct StopMatcher: Sendable {
    package static let maximumStops = 16
    package static let maximumBytes = 256

    private struct Stop: Sendable {
        let bytes: [UInt8]
        let fallback: [Int]  // by matched length: the longest shorter beginning that also ends here
        var matched = 0  // length of the longest beginning of `bytes` that the text ends with

        init(_ bytes: [UInt8]) {
            self.bytes = bytes
            var fallback = [0, 0]
            var length = 0
            for index in bytes.indices.dropFirst() {
                while length > 0, bytes[index] != bytes[length] { length = fallback[length] }
                if bytes[index] == bytes[length] { length += 1 }
                fallback.append(length)
            }
            self.fallback = fallback
        }

        /// True when the text now ends with the whole stop string.
        mutating func advance(_ byte: UInt8) -> Bool {
            while matched > 0, bytes[matched] != byte { matched = fallback[matched] }
            if bytes[matched] == byte { matched += 1 }
            return matched == bytes.count
        }
    }

    private var stops: [Stop]
    private var held: [UInt8] = []
    /// Whether a stop string has been found; everything after it is ignored.
    package private(set) var isStopped = false

    /// Empty strings never match.
    package init(_ strings: [String]) {
        stops = strings.filter { !$0.isEmpty }.map { Stop(Array($0.utf8)) }
    }

    /// Whether text is waiting that may become a stop string.
    package var holdsText: Bool { !held.isEmpty }

    /// The part of the text that is certain now. Stop strings are whole characters, so it never ends inside one.
    package mutating func append(_ text: String) -> String {
        if isStopped { return "" }
        if stops.isEmpty { return text }
        for byte in text.utf8 {
            held.append(byte)
            var longest = 0
            for index in stops.indices where stops[index].advance(byte) { longest = max(longest, stops[index].bytes.count) }
            if longest > 0 {
                isStopped = true
                held.removeLast(longest)
                return release(held.count)
            }
        }
        return release(held.count - (stops.lazy.map(\.matched).max() ?? 0))
    }

    /// What was held back, at the end of the text.
    package mutating func finish() -> String { isStopped ? "" : release(held.count) }

    private mutating func release(_ count: Int) -> String {
        let text = String(decoding: held.prefix(count), as: UTF8.self)
        held.removeFirst(count)
        return text
    }
}
