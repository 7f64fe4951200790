/// The pieces of a vocabulary as the bytes that they stand for, by id, and the way back from bytes to an id.
///
/// Keys are bytes, never `String`, whose equality would merge `é` with `e` and an accent.
struct Vocabulary: Sendable {
    private var bytes: [UInt8] = []
    private var starts: [UInt32] = [0]  // by id, and behind the last; half the size of Int keeps more of it in cache
    private var slots: [UInt64]  // high half of the hash | id + 1; 0 where empty; a power of two, at most half full
    private(set) var longest = 0  // bytes of the longest piece

    /// An empty vocabulary with room for so many pieces; all of them together have to stay below 4 GiB.
    init(pieces: Int, bytes count: Int) {
        var size = 16
        while size < pieces * 2 { size *= 2 }
        slots = [UInt64](repeating: 0, count: size)
        bytes.reserveCapacity(count)
        starts.reserveCapacity(pieces + 1)
    }

    var count: Int { starts.count - 1 }

    /// The bytes that `id` stands for; empty where there is no such id.
    func bytes(of id: Int) -> ArraySlice<UInt8> {
        guard id >= 0, id < count else { return [] }
        return bytes[range(of: id)]
    }

    /// Gives the next id to a piece. Only with ``addKey()`` will ``find(in:from:to:)`` find it.
    mutating func append(_ piece: some Sequence<UInt8>) {
        let before = bytes.count
        bytes.append(contentsOf: piece)
        starts.append(UInt32(clamping: bytes.count))
        longest = max(longest, bytes.count - before)
    }

    /// Makes the last piece findable, unless a piece of the same bytes is already.
    mutating func addKey() {
        let id = count - 1
        let range = range(of: id)
        let hash = Self.hash(bytes.span, range, 0..<0)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != 0 {
            if slots[slot] >> 32 == hash >> 32, equals(Int(slots[slot] & 0xFFFF_FFFF) - 1, bytes.span, range, 0..<0) { return }
            slot = (slot + 1) & (slots.count - 1)
        }
        slots[slot] = (hash & ~0xFFFF_FFFF) | UInt64(id + 1)
    }

    /// The id of the piece that is `text[start..<end]`, or -1.
    func find(in text: Span<UInt8>, from start: Int, to end: Int) -> Int32 { find(in: text, start..<end, end..<end) }

    /// The id of the piece that is `text[first]` and `text[second]` together, or -1.
    func find(in text: Span<UInt8>, _ first: Range<Int>, _ second: Range<Int>) -> Int32 {
        let hash = Self.hash(text, first, second)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != 0 {
            let id = Int(slots[slot] & 0xFFFF_FFFF) - 1
            if slots[slot] >> 32 == hash >> 32, equals(id, text, first, second) { return Int32(truncatingIfNeeded: id) }
            slot = (slot + 1) & (slots.count - 1)
        }
        return -1
    }

    private func range(of id: Int) -> Range<Int> { Int(starts[id])..<Int(starts[id + 1]) }

    /// FNV-1a over both ranges, mixed once more so that all bits depend on all bytes.
    private static func hash(_ text: Span<UInt8>, _ first: Range<Int>, _ second: Range<Int>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for index in first { hash = (hash ^ UInt64(text[index])) &* 0x100_0000_01B3 }
        for index in second { hash = (hash ^ UInt64(text[index])) &* 0x100_0000_01B3 }
        hash = (hash ^ hash >> 29) &* 0xBF58_476D_1CE4_E5B9
        return hash ^ hash >> 32
    }

    private func equals(_ id: Int, _ text: Span<UInt8>, _ first: Range<Int>, _ second: Range<Int>) -> Bool {
        let range = range(of: id)
        guard range.count == first.count + second.count else { return false }
        var position = range.lowerBound
        for index in first {
            if bytes[position] != text[index] { return false }
            position += 1
        }
        for index in second {
            if bytes[position] != text[index] { return false }
            position += 1
        }
        return true
    }
}
