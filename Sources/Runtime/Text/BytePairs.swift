/// Says which neighbours merge: by a table of ranked pairs, or by the scores of a vocabulary.
package protocol MergeRule {
    /// What the symbols `left` and `right` become; together they are `text[start..<end]`.
    func join(_ left: Int32, _ right: Int32, _ text: Span<UInt8>, _ start: Int, _ end: Int) -> Join
}

/// The merges of a byte-pair vocabulary, in the order of a list.
package struct RankedPairs: MergeRule {
    let pairs: PairTable

    @inline(__always)
    package func join(_ left: Int32, _ right: Int32, _ text: Span<UInt8>, _ start: Int, _ end: Int) -> Join { pairs.find(left, right) }
}

/// SentencePiece's merges: two symbols merge if together they are a piece, those with the highest score first.
package struct ScoredPairs: MergeRule {
    let vocabulary: Vocabulary
    let priorities: [UInt32]  // by id: the higher the score, the smaller

    init(_ vocabulary: Vocabulary, scores: [Float]) {
        self.vocabulary = vocabulary
        priorities = scores.map(Self.priority)
    }

    @inline(__always)
    package func join(_ left: Int32, _ right: Int32, _ text: Span<UInt8>, _ start: Int, _ end: Int) -> Join {
        guard end - start <= vocabulary.longest else { return .none }
        let id = vocabulary.find(in: text, from: start, to: end)
        return id < 0 ? .none : Join(priority: priorities[Int(id)], id: id)
    }

    /// Floats sorted as unsigned numbers, the greatest first; not a number is last of all.
    private static func priority(_ score: Float) -> UInt32 {
        if score.isNaN { return .max - 1 }
        let bits = (score + 0).bitPattern  // + 0: no negative zero
        return ~(bits >> 31 == 1 ? ~bits : bits | 0x8000_0000)
    }
}

/// One word on its way from symbols to pieces: the memory that merging needs, used again for every word.
///
/// `ids` and `offsets` are set by the caller; symbol i is `text[offsets[i]..<offsets[i + 1]]`. After ``merge(_:_:)`` they
/// describe the pieces. Of equal priorities the leftmost merges first.
package struct MergeBuffer {
    /// Words of up to so many symbols are searched from end to end for the next merge; longer ones use a heap.
    static let shortWord = 24

    package init() {}

    package var ids: [Int32] = []
    package var offsets: [Int] = []  // one more than ids
    private var joins: [Join] = []  // of symbol i and the one behind it
    private var heap = MergeHeap()
    private var symbolEnds: [UInt32] = []  // by first symbol: where the piece ends; 0 where it was swallowed
    private var symbolStarts: [UInt32] = []  // by end: where the piece begins

    mutating func removeAll() {
        ids.removeAll(keepingCapacity: true)
        offsets.removeAll(keepingCapacity: true)
    }

    /// Merges until nothing more merges.
    package mutating func merge(_ rule: some MergeRule, _ text: Span<UInt8>) {
        if ids.count <= Self.shortWord { mergeShort(rule, text) } else { mergeLong(rule, text) }
    }

    /// The definition: look for the first of the smallest priorities, merge, look again. Quadratic.
    package mutating func mergeShort(_ rule: some MergeRule, _ text: Span<UInt8>) {
        var count = ids.count
        guard count > 1 else { return }
        joins.removeAll(keepingCapacity: true)
        for index in 0..<(count - 1) { joins.append(rule.join(ids[index], ids[index + 1], text, offsets[index], offsets[index + 2])) }
        while count > 1 {
            var best = 0
            var least = joins[0].priority
            for index in 1..<max(count - 1, 1) where joins[index].priority < least {
                least = joins[index].priority
                best = index
            }
            if least == .max { break }
            ids[best] = joins[best].id
            count -= 1
            for index in (best + 1)..<max(count, best + 1) {
                ids[index] = ids[index + 1]
                offsets[index] = offsets[index + 1]
                joins[index - 1] = joins[index]
            }
            offsets[count] = offsets[count + 1]
            if best > 0 { joins[best - 1] = rule.join(ids[best - 1], ids[best], text, offsets[best - 1], offsets[best + 1]) }
            if best + 1 < count { joins[best] = rule.join(ids[best], ids[best + 1], text, offsets[best], offsets[best + 2]) }
        }
        ids.removeSubrange(count...)
        offsets.removeSubrange((count + 1)...)
    }

    /// The same by a heap of candidates, of which those are dropped whose symbols have merged otherwise. n log n.
    package mutating func mergeLong(_ rule: some MergeRule, _ text: Span<UInt8>) {
        let count = ids.count
        guard count > 1, count < Int(UInt32.max) else { return }
        heap.removeAll()
        symbolEnds.removeAll(keepingCapacity: true)
        symbolStarts.removeAll(keepingCapacity: true)
        symbolStarts.append(0)
        for index in 0..<UInt32(count) {
            symbolEnds.append(index + 1)
            symbolStarts.append(index)
        }
        for index in 0..<(count - 1) {
            let join = rule.join(ids[index], ids[index + 1], text, offsets[index], offsets[index + 2])
            if join.priority != .max { heap.append(MergeHeap.Entry(join, at: index, end: index + 2)) }
        }
        heap.order()
        while let entry = heap.pop() {
            let left = entry.position
            let right = Int(symbolEnds[left])
            guard right > 0, right < count, symbolEnds[right] == entry.end else { continue }
            let end = Int(entry.end)
            ids[left] = entry.id
            symbolEnds[left] = entry.end
            symbolEnds[right] = 0
            symbolStarts[end] = UInt32(left)
            if left > 0 {
                let before = Int(symbolStarts[left])
                let join = rule.join(ids[before], entry.id, text, offsets[before], offsets[end])
                if join.priority != .max { heap.push(MergeHeap.Entry(join, at: before, end: end)) }
            }
            if end < count {
                let after = Int(symbolEnds[end])
                let join = rule.join(entry.id, ids[end], text, offsets[left], offsets[after])
                if join.priority != .max { heap.push(MergeHeap.Entry(join, at: left, end: after)) }
            }
        }
        var kept = 0
        var index = 0
        while index < count {
            ids[kept] = ids[index]
            offsets[kept] = offsets[index]
            kept += 1
            index = Int(symbolEnds[index])
        }
        offsets[kept] = offsets[count]
        ids.removeSubrange(kept...)
        offsets.removeSubrange((kept + 1)...)
    }
}

/// Candidates for merging, the smallest priority on top, of equal ones the leftmost.
struct MergeHeap {
    struct Entry {
        let key: UInt64  // priority << 32 | first symbol
        let id: Int32  // what the two become
        let end: UInt32  // behind the last symbol

        init(_ join: Join, at position: Int, end: Int) {
            key = UInt64(join.priority) << 32 | UInt64(UInt32(truncatingIfNeeded: position))
            id = join.id
            self.end = UInt32(truncatingIfNeeded: end)
        }

        var position: Int { Int(key & 0xFFFF_FFFF) }
    }

    private var entries: [Entry] = []

    mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

    /// Adds without keeping the order; ``order()`` makes a heap of all of it.
    mutating func append(_ entry: Entry) { entries.append(entry) }

    mutating func order() {
        for index in stride(from: entries.count / 2 - 1, through: 0, by: -1) { sink(index) }
    }

    mutating func push(_ entry: Entry) {
        var index = entries.count
        entries.append(entry)
        while index > 0, entries[(index - 1) / 2].key > entry.key {
            entries[index] = entries[(index - 1) / 2]
            index = (index - 1) / 2
        }
        entries[index] = entry
    }

    mutating func pop() -> Entry? {
        guard let top = entries.first, let last = entries.popLast() else { return nil }
        if !entries.isEmpty {
            entries[0] = last
            sink(0)
        }
        return top
    }

    private mutating func sink(_ start: Int) {
        let entry = entries[start]
        var index = start
        while true {
            var child = index * 2 + 1
            if child >= entries.count { break }
            if child + 1 < entries.count, entries[child + 1].key < entries[child].key { child += 1 }
            if entries[child].key >= entry.key { break }
            entries[index] = entries[child]
            index = child
        }
        entries[index] = entry
    }
}
