/// Finds where the end of a text stood in it before: what followed there is a guess at what follows now.
///
/// A chain per pair of tokens leads from each place where the pair stands to the one before; the place whose text agrees
/// furthest back with the end wins, of equals the latest. Adding a token and looking up cost a few dozen comparisons.
package struct PromptLookup: Sendable {
    /// A place where the text stood before.
    package struct Match: Sendable, Equatable {
        /// How many tokens agree; at least two.
        package var length: Int
        /// The index of the token that followed them.
        package var next: Int

        package init(length: Int, next: Int) {
            self.length = length
            self.next = next
        }
    }

    package static let longest = 32  // agreement beyond this makes no difference
    private static let tries = 24  // places looked at

    private var heads: [Int32] = []  // by hash of a pair: the last index at which such a pair ends, or −1
    private var earlier: [Int32] = []  // by index: the one before with the same hash, or −1
    private var indexed = 1  // pairs that end below this index are entered

    package init() {}

    /// Enters what is new in `tokens`, which only ever grows, all but the pair at its end.
    package mutating func add(_ tokens: [Int32]) {
        let end = max(1, tokens.count - 1)
        guard end > indexed else { return }
        if heads.count < 2 * end {
            heads = [Int32](repeating: -1, count: max(1024, Self.powerOfTwo(above: 3 * end)))
            earlier.removeAll(keepingCapacity: true)
            earlier.append(-1)
            indexed = 1
        }
        for index in indexed..<end {
            let place = hash(tokens, endingAt: index)
            earlier.append(heads[place])
            heads[place] = Int32(truncatingIfNeeded: index)
        }
        indexed = end
    }

    /// The best earlier place of what `tokens`, the same as were entered, ends with.
    package func match(_ tokens: [Int32]) -> Match? {
        let end = tokens.count - 1
        guard end >= 1, !heads.isEmpty else { return nil }
        var best: Match?
        var place = heads[hash(tokens, endingAt: end)]
        var left = Self.tries
        while place > 0, left > 0 {
            let index = Int(place)
            var length = 0
            while length < Self.longest, length <= index, tokens[index - length] == tokens[end - length] { length += 1 }
            if length >= 2, length > best?.length ?? 0 { best = Match(length: length, next: index + 1) }
            if length == Self.longest { break }
            place = earlier[index]
            left -= 1
        }
        return best
    }

    private func hash(_ tokens: [Int32], endingAt index: Int) -> Int {
        let pair = UInt64(UInt32(bitPattern: tokens[index - 1])) << 32 | UInt64(UInt32(bitPattern: tokens[index]))
        return Int(truncatingIfNeeded: (pair &* 0x9E37_79B9_7F4A_7C15) >> 32) & (heads.count - 1)
    }

    private static func powerOfTwo(above count: Int) -> Int {
        var power = 1
        while power < count { power *= 2 }
        return power
    }
}
