/// A sequence's place in a cache.
public struct SequenceSlot: Hashable, Sendable {
    public let index: Int
    public init(index: Int) { self.index = index }
}

/// Which pages of a cache belong to which sequence. It knows numbers of pages and positions, and no memory.
package struct PageTable: ~Copyable {
    private struct Slot {
        var pages: UnsafeMutablePointer<Int32>  // pagesPerSlot, the first pageCount in use
        var pageCount = 0
        var count = 0
        var isOpen = true
    }

    package let totalPages: Int
    package let pageTokens: Int
    /// The most positions that one sequence can hold.
    package let contextLength: Int
    private let pagesPerSlot: Int
    private var free: [Int32]  // the last one is taken first
    private var slots: [Slot] = []
    private var closed: [Int] = []

    package init(pages: Int, pageTokens: Int, contextLength: Int) {
        totalPages = pages
        self.pageTokens = pageTokens
        self.contextLength = contextLength
        pagesPerSlot = min(pages, (contextLength + pageTokens - 1) / pageTokens)
        free = (0..<Int32(pages)).reversed()
    }

    deinit { for slot in slots { slot.pages.deallocate() } }

    package var freePages: Int { free.count }

    /// A place for a new sequence, which holds nothing yet and takes no page.
    package mutating func open() -> SequenceSlot {
        if let index = closed.popLast() {
            slots[index].isOpen = true
            return SequenceSlot(index: index)
        }
        slots.append(Slot(pages: .allocate(capacity: pagesPerSlot)))
        closed.reserveCapacity(slots.count)
        return SequenceSlot(index: slots.count - 1)
    }

    /// Ends a sequence and gives its pages back.
    package mutating func close(_ slot: SequenceSlot) {
        check(slot)
        keep(pages: 0, of: slot.index)
        slots[slot.index].count = 0
        slots[slot.index].isOpen = false
        closed.append(slot.index)
    }

    /// Positions that a sequence holds.
    package func count(_ slot: SequenceSlot) -> Int {
        check(slot)
        return slots[slot.index].count
    }

    /// Takes the pages that `tokens` more positions need.
    /// - Returns: false, and takes nothing, where there are not enough free pages or the context would grow too long.
    package mutating func reserve(_ slot: SequenceSlot, tokens: Int) -> Bool {
        check(slot)
        let (count, overflow) = slots[slot.index].count.addingReportingOverflow(tokens)
        guard tokens >= 0, !overflow, count <= contextLength else { return false }
        let held = slots[slot.index].pageCount
        let needed = (count + pageTokens - 1) / pageTokens
        guard needed <= pagesPerSlot, needed - held <= free.count else { return false }
        for place in held..<max(held, needed) { slots[slot.index].pages[place] = free.removeLast() }
        slots[slot.index].pageCount = max(held, needed)
        return true
    }

    /// Forgets the positions from `count` on, and gives back the pages that are no longer needed, reserved ones too.
    package mutating func truncate(_ slot: SequenceSlot, to count: Int) {
        check(slot)
        precondition(count >= 0 && count <= slots[slot.index].count, "a sequence can only be cut to what it holds")
        slots[slot.index].count = count
        keep(pages: (count + pageTokens - 1) / pageTokens, of: slot.index)
    }

    /// The pages of a sequence in the order of its positions, with room for `tokens` more. They must have been reserved.
    ///
    /// The pointer is good until the sequence changes.
    package func pages(of slot: SequenceSlot, for tokens: Int) -> UnsafePointer<Int32> {
        check(slot)
        let place = slots[slot.index]
        precondition(place.count + tokens <= place.pageCount * pageTokens, "reserve the positions of a step before it runs")
        return UnsafePointer(place.pages)
    }

    package mutating func advance(_ slot: SequenceSlot, by tokens: Int) { slots[slot.index].count += tokens }

    private func check(_ slot: SequenceSlot) {
        precondition(slots.indices.contains(slot.index) && slots[slot.index].isOpen, "the slot is not open")
    }

    private mutating func keep(pages: Int, of index: Int) {
        for place in stride(from: slots[index].pageCount - 1, through: pages, by: -1) { free.append(slots[index].pages[place]) }
        slots[index].pageCount = min(pages, slots[index].pageCount)
    }
}
