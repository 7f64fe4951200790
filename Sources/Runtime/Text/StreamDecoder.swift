/// Ids to text, one by one: what it has returned so far is always whole characters, and all of it together is the whole text.
///
/// A character whose bytes come in several pieces is held back until it is complete. Bytes that are not UTF-8 become
/// U+FFFD, one for every longest beginning of a character, as Unicode recommends and Python's `errors="replace"` does.
public struct StreamDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let special: Bool
    private var stripsSpace: Bool  // the next byte is the text's first
    private var pending: [UInt8] = []  // the beginning of a character

    /// - Parameters:
    ///   - special: Control tokens are spelled out.
    ///   - continuing: The text goes on from another, so that a first space belongs to it.
    public init(_ tokenizer: Tokenizer, special: Bool = false, continuing: Bool = false) {
        self.tokenizer = tokenizer
        self.special = special
        stripsSpace = tokenizer.stripsFirstSpace && !continuing
    }

    /// The text that this id completes; may be empty.
    public mutating func append(_ id: Int32) -> String {
        if tokenizer.isSpecial(id), !special { return "" }
        let piece = tokenizer.vocabulary.bytes(of: Int(id))
        if piece.isEmpty { return "" }
        pending.append(contentsOf: stripsSpace && piece.first == 0x20 ? piece.dropFirst() : piece)
        stripsSpace = false
        let complete = pending.count - Self.incompleteTail(pending.span)
        let text = String(decoding: pending[..<complete], as: UTF8.self)
        pending.removeFirst(complete)
        return text
    }

    /// What was held back, at the end of the text: U+FFFD if a character was never completed.
    public mutating func finish() -> String {
        let text = String(decoding: pending, as: UTF8.self)
        pending.removeAll()
        return text
    }

    /// How many bytes at the end begin a character that further bytes may complete.
    private static func incompleteTail(_ bytes: Span<UInt8>) -> Int {
        for length in 1..<4 where length <= bytes.count {
            let start = bytes.count - length
            let first = bytes[start]
            if first & 0xC0 == 0x80 { continue }  // inside a character: its first byte is further to the left
            guard UTF8Decoding.sequenceLength(first) > length else { return 0 }
            return length == 1 || UTF8Decoding.accepts(second: bytes[start + 1], after: first) ? length : 0
        }
        return 0
    }
}
