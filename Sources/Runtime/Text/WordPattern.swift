/// The family of patterns that descends from GPT-2's: contractions, words, numbers, other signs, white space, in this order.
///
///     GPT-2     '(s|t|re|ve|m|ll|d) | ?L+ | ?N+ | ?[^\s L N]+ | \s+(?!\S) | \s+
///     later     (same, any case) | [^\r\n L N]?L+ | N{1,n} | ?[^\s L N]+[\r\n]* | \s*[\r\n]+ | \s+(?!\S) | \s+
struct WordPattern: Sendable {
    /// How many numbers make one word; nil: a whole run, with a space before it.
    private let numbers: Int?
    /// Contractions in any case, any sign before a word, line breaks kept together: everything after GPT-2.
    private let later: Bool
    /// What a word is made of.
    private let letters: UnicodeClass

    static let gpt2 = WordPattern(numbers: nil, later: false, letters: .letter)
    static let llama = WordPattern(numbers: 3, later: true, letters: .letter)
    static let qwen2 = WordPattern(numbers: 1, later: true, letters: .letter)
    static let qwen35 = WordPattern(numbers: 1, later: true, letters: [.letter, .mark])

    /// Appends the ends of the words in `start..<end`.
    func cut(_ scalars: Scalars, _ text: Span<UInt8>, from start: Int, to end: Int, into ends: inout [Int]) {
        var position = start
        while position < end {
            position = later ? laterWord(scalars, text, at: position, end: end) : word(scalars, text, at: position, end: end)
            ends.append(position)
        }
    }

    @inline(__always)
    private func word(_ scalars: Scalars, _ text: Span<UInt8>, at start: Int, end: Int) -> Int {
        let first = scalars.scalar(text, at: start, end: end)
        if first.value == 0x27, let stop = Self.contraction(text, at: start + 1, end: end, anyCase: false) { return stop }
        let body = first.value == 0x20 ? start + 1 : start
        let kind = first.value == 0x20 ? scalars.kind(text, at: body, end: end) : first.kind
        if kind.contains(.letter) { return scalars.skip(.letter, text, from: body, end: end) }
        if kind.contains(.number) { return scalars.skip(.number, text, from: body, end: end) }
        if body < end, !kind.contains(.space) { return scalars.skip(without: [.space, .letter, .number], text, from: body, end: end) }
        return space(scalars, text, from: start, end: end, keepsLineBreaks: false)
    }

    @inline(__always)
    private func laterWord(_ scalars: Scalars, _ text: Span<UInt8>, at start: Int, end: Int) -> Int {
        let first = scalars.scalar(text, at: start, end: end)
        if first.value == 0x27, let stop = Self.contraction(text, at: start + 1, end: end, anyCase: true) { return stop }
        let next = start + first.length
        if !first.kind.isDisjoint(with: letters) { return scalars.skip(letters, text, from: next, end: end) }
        if first.kind.contains(.number) {
            var position = next
            var count = 1
            while let numbers, count < numbers, scalars.kind(text, at: position, end: end).contains(.number) {
                position += scalars.scalar(text, at: position, end: end).length
                count += 1
            }
            return position
        }
        let following = scalars.kind(text, at: next, end: end)
        if !first.isLineBreak, !following.isDisjoint(with: letters) { return scalars.skip(letters, text, from: next, end: end) }

        let word = letters.union([.space, .number])
        let body = first.value == 0x20 ? next : start
        let kind = first.value == 0x20 ? following : first.kind
        if body < end, kind.isDisjoint(with: word) {
            var position = scalars.skip(without: word, text, from: body, end: end)
            while position < end, text[position] == 0x0A || text[position] == 0x0D { position += 1 }
            return position
        }
        return space(scalars, text, from: start, end: end, keepsLineBreaks: true)
    }

    /// `\s*[\r\n]+` where asked for, else `\s+(?!\S)`, else `\s+`: a run of spaces leaves its last one to the word behind it.
    private func space(_ scalars: Scalars, _ text: Span<UInt8>, from start: Int, end: Int, keepsLineBreaks: Bool) -> Int {
        var position = start
        var last = start  // where the last space begins
        var lines = start  // behind the last line break
        while position < end {
            let scalar = scalars.scalar(text, at: position, end: end)
            guard scalar.kind.contains(.space) else { break }
            last = position
            position += scalar.length
            if scalar.isLineBreak { lines = position }
        }
        if keepsLineBreaks, lines > start { return lines }
        return position < end && last > start ? last : position
    }

    /// The end of `s`, `t`, `re`, `ve`, `m`, `ll` or `d` at `start`. In any case, the long ſ is an s too.
    private static func contraction(_ text: Span<UInt8>, at start: Int, end: Int, anyCase: Bool) -> Int? {
        guard start < end else { return nil }
        let first = anyCase ? lowercased(text[start]) : text[start]
        switch first {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return start + 1
        case 0xC5: return anyCase && start + 1 < end && text[start + 1] == 0xBF ? start + 2 : nil
        default: break
        }
        guard start + 1 < end else { return nil }
        switch (first, anyCase ? lowercased(text[start + 1]) : text[start + 1]) {
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")), (UInt8(ascii: "l"), UInt8(ascii: "l")):
            return start + 2
        default: return nil
        }
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
}
