/// Which two pieces merge into which, and how early: rank 0 first.
struct PairTable: Sendable {
    private struct Slot {
        var pair: UInt64  // left id << 32 | right id; `empty` where nothing is
        var rank: UInt32
        var joined: Int32
    }

    private static let empty = UInt64.max
    private var slots: [Slot]  // a power of two, at most half full

    init(pairs: Int) {
        var size = 16
        while size < pairs * 2 { size *= 2 }
        slots = [Slot](repeating: Slot(pair: Self.empty, rank: .max, joined: -1), count: size)
    }

    /// Adds a merge, unless these two pieces merge earlier already.
    mutating func insert(_ left: Int32, _ right: Int32, rank: UInt32, joined: Int32) {
        let pair = Self.pair(left, right)
        var slot = start(pair)
        while slots[slot].pair != Self.empty {
            if slots[slot].pair == pair { return }
            slot = (slot + 1) & (slots.count - 1)
        }
        slots[slot] = Slot(pair: pair, rank: rank, joined: joined)
    }

    /// What the two pieces become; ``Join/none`` where they never merge.
    @inline(__always)
    func find(_ left: Int32, _ right: Int32) -> Join {
        let pair = Self.pair(left, right)
        var slot = start(pair)
        while true {
            let found = slots[slot]
            if found.pair == pair { return Join(priority: found.rank, id: found.joined) }
            if found.pair == Self.empty { return .none }
            slot = (slot + 1) & (slots.count - 1)
        }
    }

    private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    @inline(__always)
    private func start(_ pair: UInt64) -> Int {
        var hash = (pair ^ pair >> 32) &* 0x9E37_79B9_7F4A_7C15
        hash ^= hash >> 32
        return Int(truncatingIfNeeded: hash) & (slots.count - 1)
    }
}

/// What two neighbouring symbols become, and how early: the smallest priority merges first.
package struct Join: Equatable {
    package var priority: UInt32
    package var id: Int32

    package init(priority: UInt32, id: Int32) {
        self.priority = priority
        self.id = id
    }

    package static let none = Join(priority: .max, id: -1)
}
