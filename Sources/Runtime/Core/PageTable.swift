/// A sequence's place in a cache.
public struct SequenceSlot: Hashable, Sendable {
    public let index: Int
    public init(index: Int) { self.index = index }
}

/// How the pages of a cache are used at one moment.
public struct CacheUse: Sendable, Equatable {
    public var totalPages = 0
    /// Held by sequences.
    public var heldPages = 0
    /// Promised to sequences that have not come to need them.
    public var promisedPages = 0
    /// Held by no sequence, but kept for one that begins with the same tokens.
    public var keptPages = 0
    /// Ever written: only these take memory.
    public var touchedPages = 0

    public init() {}
}

/// Which pages of a cache belong to which sequences, and which full pages are kept because another sequence may begin with
/// the same tokens. It knows numbers of pages and tokens, and no memory.
///
/// **Kept pages.** A full page whose positions are final is found again by its tokens and by the page before it: both are
/// compared exactly, a hash of all tokens from the beginning only says where to look. So a page stands for one whole
/// beginning of a text. Sequences that begin alike share such pages; nobody writes to them any more.
///
/// **Which go first.** A kept page that no sequence holds waits in a list, last used last. A sequence gives its pages back
/// from its end to its beginning, and whoever holds a page holds all before it, so in that list a page always stands before
/// the page that it continues. Taking the first one therefore takes the page used longest ago, never one that another kept
/// page needs, and never one in use.
///
/// **Promises.** A sequence reserves pages as a number; it takes them as it grows. Kept pages count as free, since each of
/// them can be taken at once.
package struct PageTable: ~Copyable {
    private struct Slot {
        var pages: UnsafeMutablePointer<Int32>  // pagesPerSlot, the first pageCount in use
        var pageCount = 0
        var promised = 0  // pages that it may hold; at least pageCount
        var kept = 0  // of its first pages, those that are kept
        var keepsMore = true
        var count = 0  // positions
        var isOpen = true
    }

    private struct Page {
        var holders: Int32 = 0  // sequences
        var isKept = false
        var before: Int32 = none  // the page that a kept page continues
        var hash: UInt64 = 0  // of all tokens from the beginning to the end of a kept page
        var older: Int32 = none, newer: Int32 = none  // neighbours in the list of idle pages
    }

    private static let none: Int32 = -1

    package let totalPages: Int
    package let pageTokens: Int
    /// The most positions that one sequence can hold.
    package let contextLength: Int
    private let pagesPerSlot: Int
    private var slots: [Slot] = []
    private var closed: [Int] = []

    private var pages: [Page] = []  // that were ever taken
    private var free: [Int32] = []  // of those, the ones that nobody holds and that are not kept; the last is taken first
    private var promised = 0  // pages that sequences may still take
    private let tokens: UnsafeMutablePointer<Int32>  // [totalPages, pageTokens], of kept pages; written before it is read
    private var byHash: [UInt64: Int32] = [:]  // kept pages
    private var oldest = none, newest = none  // ends of the list of idle pages: kept and held by nobody
    private var idle = 0  // length of that list

    package init(pages: Int, pageTokens: Int, contextLength: Int) {
        totalPages = pages
        self.pageTokens = pageTokens
        self.contextLength = contextLength
        pagesPerSlot = min(pages, (contextLength + pageTokens - 1) / pageTokens)
        tokens = .allocate(capacity: pages * pageTokens)
        self.pages.reserveCapacity(min(pages, 1 << 16))  // so that a step that takes one allocates nothing
    }

    deinit {
        for slot in slots { slot.pages.deallocate() }
        tokens.deallocate()
    }

    /// Pages that can still be promised.
    package var freePages: Int { totalPages - pages.count + free.count + idle - promised }

    package var use: CacheUse {
        var use = CacheUse()
        use.totalPages = totalPages
        use.heldPages = pages.count - free.count - idle
        use.promisedPages = promised
        use.keptPages = idle
        use.touchedPages = pages.count
        return use
    }

    // --------------------------------------------------------------------------------------------------- sequences

    /// A place for a new sequence, which holds nothing yet and takes no page.
    package mutating func open() -> SequenceSlot {
        if let index = closed.popLast() {
            let memory = slots[index].pages
            slots[index] = Slot(pages: memory)
            return SequenceSlot(index: index)
        }
        slots.append(Slot(pages: .allocate(capacity: pagesPerSlot)))
        closed.reserveCapacity(slots.count)
        return SequenceSlot(index: slots.count - 1)
    }

    /// A place for a sequence that begins with `tokens` and may grow to `capacity` positions. It holds the kept pages with
    /// that beginning, but never all of `tokens`: the last one is to be computed.
    /// - Returns: nil where its pages cannot be promised.
    package mutating func open(beginning tokens: [Int32], capacity: Int) -> SequenceSlot? {
        guard capacity >= 0, capacity <= contextLength else { return nil }
        let needed = (capacity + pageTokens - 1) / pageTokens
        // Pages that a sequence holds already cost nothing; kept ones that nobody holds are no longer free for others.
        var shared = 0
        var last = Self.none
        var place = 0
        while place < needed, let page = kept(after: last, place: place, of: tokens) {
            if pages[Int(page)].holders > 0 { shared += 1 }
            last = page
            place += 1
        }
        guard needed <= pagesPerSlot, needed - shared <= freePages else { return nil }
        let slot = open()
        slots[slot.index].promised = needed
        promised += needed
        adopt(slot, beginning: tokens)
        return slot
    }

    /// Ends a sequence and gives its pages back; those that are kept can still be found.
    package mutating func close(_ slot: SequenceSlot) {
        check(slot)
        cut(slot.index, pages: 0)
        slots[slot.index].isOpen = false
        closed.append(slot.index)
    }

    /// Positions that a sequence holds.
    package func count(_ slot: SequenceSlot) -> Int {
        check(slot)
        return slots[slot.index].count
    }

    /// Promises the pages that `tokens` more positions need.
    /// - Returns: false, and promises nothing, where there are not enough free pages or the context would grow too long.
    package mutating func reserve(_ slot: SequenceSlot, tokens: Int) -> Bool {
        check(slot)
        let (count, overflow) = slots[slot.index].count.addingReportingOverflow(tokens)
        guard tokens >= 0, !overflow, count <= contextLength else { return false }
        let needed = (count + pageTokens - 1) / pageTokens
        let more = needed - slots[slot.index].promised
        guard needed <= pagesPerSlot, more <= freePages else { return false }
        if more > 0 {
            slots[slot.index].promised += more
            promised += more
        }
        return true
    }

    /// Forgets the positions from `count` on, and gives back the pages that are no longer needed, promised ones too.
    package mutating func truncate(_ slot: SequenceSlot, to count: Int) {
        rewind(slot, to: count)
        cut(slot.index, pages: (count + pageTokens - 1) / pageTokens)
    }

    /// Forgets the positions from `count` on, and keeps the promise of their pages. Positions in kept pages stay.
    package mutating func rewind(_ slot: SequenceSlot, to count: Int) {
        check(slot)
        precondition(count >= 0 && count <= slots[slot.index].count, "a sequence can only be cut to what it holds")
        let kept = min(slots[slot.index].kept, (count + pageTokens - 1) / pageTokens)
        precondition(count >= kept * pageTokens, "a kept page is whole")
        // What follows is written anew, so not into kept pages.
        if kept < slots[slot.index].kept { while slots[slot.index].pageCount > kept { dropLast(of: slot.index) } }
        slots[slot.index].kept = kept
        slots[slot.index].count = count
    }

    /// Takes the pages for `tokens` more positions, which must have been reserved.
    /// - Returns: all pages of the sequence in the order of its positions; good until the sequence changes.
    package mutating func take(_ slot: SequenceSlot, tokens: Int) -> UnsafePointer<Int32> {
        check(slot)
        let index = slot.index
        let needed = (slots[index].count + tokens + pageTokens - 1) / pageTokens
        precondition(needed <= slots[index].promised, "reserve the positions of a step before it runs")
        while slots[index].pageCount < needed { append(freePage(), to: index) }
        return UnsafePointer(slots[index].pages)
    }

    package mutating func advance(_ slot: SequenceSlot, by tokens: Int) { slots[slot.index].count += tokens }

    // -------------------------------------------------------------------------------------------------- kept pages

    /// Lets a sequence go on with kept pages that continue it as `tokens` does, in place of computing them. `tokens` are
    /// all of its tokens, those that it holds included; the last one stays to be computed.
    /// - Returns: the positions that it holds now.
    @discardableResult
    package mutating func adopt(_ slot: SequenceSlot, beginning tokens: [Int32]) -> Int {
        check(slot)
        let index = slot.index
        // Behind whole kept pages there may be the beginning of one page more, which a kept one replaces.
        guard slots[index].kept == slots[index].count / pageTokens else { return slots[index].count }
        while slots[index].kept < slots[index].promised {
            let place = slots[index].kept
            let last = place == 0 ? Self.none : slots[index].pages[place - 1]
            guard let page = kept(after: last, place: place, of: tokens) else { break }
            while slots[index].pageCount > place { dropLast(of: index) }
            hold(page)
            append(page, to: index)
            slots[index].kept += 1
            slots[index].count = slots[index].kept * pageTokens
        }
        return slots[index].count
    }

    /// Keeps the full pages of a sequence's first `count` positions, which are computed and final. `tokens` begins with theirs.
    ///
    /// Where a page of the same beginning is kept already, the sequence goes on with that one and gives its own back.
    package mutating func keep(_ slot: SequenceSlot, tokens: [Int32], count: Int) {
        check(slot)
        let index = slot.index
        let whole = min(count, slots[index].count, tokens.count) / pageTokens
        while slots[index].kept < whole, slots[index].keepsMore {
            let place = slots[index].kept
            let last = place == 0 ? Self.none : slots[index].pages[place - 1]
            let hash = hash(after: last, place: place, of: tokens)
            let own = slots[index].pages[place]
            if let other = byHash[hash] {
                guard matches(other, after: last, place: place, of: tokens) else {
                    slots[index].keepsMore = false  // another text of the same hash
                    return
                }
                hold(other)
                slots[index].pages[place] = other
                letGo(own)
            } else {
                byHash[hash] = own
                pages[Int(own)].isKept = true
                pages[Int(own)].before = last
                pages[Int(own)].hash = hash
                for offset in 0..<pageTokens { self.tokens[Int(own) * pageTokens + offset] = tokens[place * pageTokens + offset] }
            }
            slots[index].kept += 1
        }
    }

    /// Forgets every kept page that no sequence holds.
    package mutating func forget() {
        while oldest != Self.none { free.append(takeOldest()) }
    }

    /// The kept page for the tokens at `place`, counted in pages, after the page `last`; at least one token stays behind it.
    private func kept(after last: Int32, place: Int, of tokens: [Int32]) -> Int32? {
        guard (place + 1) * pageTokens < tokens.count else { return nil }
        guard let page = byHash[hash(after: last, place: place, of: tokens)] else { return nil }
        return matches(page, after: last, place: place, of: tokens) ? page : nil
    }

    private func matches(_ page: Int32, after last: Int32, place: Int, of tokens: [Int32]) -> Bool {
        guard pages[Int(page)].before == last else { return false }
        let own = self.tokens + Int(page) * pageTokens
        for offset in 0..<pageTokens where own[offset] != tokens[place * pageTokens + offset] { return false }
        return true
    }

    /// Of the tokens of one page and, through the hash of the page before it, of all before them.
    private func hash(after last: Int32, place: Int, of tokens: [Int32]) -> UInt64 {
        var hash = last == Self.none ? 0x9E37_79B9_7F4A_7C15 : pages[Int(last)].hash
        for offset in 0..<pageTokens {
            hash = (hash ^ UInt64(UInt32(bitPattern: tokens[place * pageTokens + offset]))) &* 0xFF51_AFD7_ED55_8CCD
            hash ^= hash >> 29
        }
        return hash
    }

    // ------------------------------------------------------------------------------------------------ single pages

    private func check(_ slot: SequenceSlot) {
        precondition(slots.indices.contains(slot.index) && slots[slot.index].isOpen, "the slot is not open")
    }

    /// A page that nobody holds: one that was given back, one never used, or the kept one that was used longest ago.
    private mutating func freePage() -> Int32 {
        var page = free.popLast()
        if page == nil, pages.count < totalPages {
            pages.append(Page())
            page = Int32(pages.count - 1)
        }
        let taken = page ?? takeOldest()
        pages[Int(taken)].holders = 1
        return taken
    }

    /// Takes the first page out of the list of idle ones; it is no longer kept.
    private mutating func takeOldest() -> Int32 {
        let page = oldest
        precondition(page != Self.none, "promises are only made of pages that are there")
        unlink(page)
        byHash[pages[Int(page)].hash] = nil
        pages[Int(page)].isKept = false
        return page
    }

    private mutating func hold(_ page: Int32) {
        if pages[Int(page)].holders == 0 { unlink(page) }
        pages[Int(page)].holders += 1
    }

    private mutating func letGo(_ page: Int32) {
        pages[Int(page)].holders -= 1
        guard pages[Int(page)].holders == 0 else { return }
        if pages[Int(page)].isKept { link(page) } else { free.append(page) }
    }

    /// Puts a page that was reserved into a sequence that holds it by now.
    private mutating func append(_ page: Int32, to index: Int) {
        slots[index].pages[slots[index].pageCount] = page
        slots[index].pageCount += 1
        promised -= 1
    }

    /// Gives the last page of a sequence back; the promise of one stays.
    private mutating func dropLast(of index: Int) {
        slots[index].pageCount -= 1
        letGo(slots[index].pages[slots[index].pageCount])
        promised += 1
    }

    /// Gives all pages behind the first `count` back, and the promise of them.
    private mutating func cut(_ index: Int, pages count: Int) {
        while slots[index].pageCount > count { dropLast(of: index) }
        slots[index].kept = min(slots[index].kept, count)
        if slots[index].promised > count {
            promised -= slots[index].promised - count
            slots[index].promised = count
        }
    }

    private mutating func link(_ page: Int32) {
        pages[Int(page)].older = newest
        pages[Int(page)].newer = Self.none
        if newest == Self.none { oldest = page } else { pages[Int(newest)].newer = page }
        newest = page
        idle += 1
    }

    private mutating func unlink(_ page: Int32) {
        let (older, newer) = (pages[Int(page)].older, pages[Int(page)].newer)
        if older == Self.none { oldest = newer } else { pages[Int(older)].newer = newer }
        if newer == Self.none { newest = older } else { pages[Int(newer)].older = older }
        idle -= 1
    }
}

extension PageTable {
    /// The first rule that the bookkeeping breaks, or nil; for tests.
    package func contradiction() -> String? {
        var holders = [Int32](repeating: 0, count: pages.count)
        var promises = 0
        for (index, slot) in slots.enumerated() {
            if !slot.isOpen {
                if slot.pageCount != 0 || slot.promised != 0 { return "closed slot \(index) holds pages" }
                continue
            }
            if slot.pageCount > slot.promised { return "slot \(index) holds more than it was promised" }
            if slot.count > slot.pageCount * pageTokens { return "slot \(index) has positions without pages" }
            if slot.kept * pageTokens > slot.count { return "slot \(index) keeps positions that it does not hold" }
            promises += slot.promised - slot.pageCount
            for place in 0..<slot.pageCount {
                let page = Int(slot.pages[place])
                holders[page] += 1
                let before = place == 0 ? Self.none : slot.pages[place - 1]
                if place < slot.kept && !(pages[page].isKept && pages[page].before == before) { return "page \(page) is not in its chain" }
                if place >= slot.kept && (pages[page].isKept || pages[page].holders != 1) { return "page \(page) is written to and shared" }
            }
        }
        if promises != promised { return "\(promised) pages promised, \(promises) to slots" }
        if freePages < 0 { return "more promised than there is" }
        for page in pages.indices where pages[page].holders != holders[page] { return "page \(page) counts its holders wrongly" }

        var listed: [Int32] = []
        var next = oldest
        while next != Self.none, listed.count <= pages.count {
            listed.append(next)
            next = pages[Int(next)].newer
        }
        if listed.count != idle || listed.last ?? Self.none != newest { return "the list of idle pages is torn" }
        var places: [Int32: Int] = [:]
        for (place, page) in listed.enumerated() { places[page] = place }
        for page in pages.indices {
            let isFree = free.contains(Int32(page))
            let isIdle = places[Int32(page)] != nil
            if isIdle != (pages[page].isKept && holders[page] == 0) { return "page \(page) is idle or not, and listed otherwise" }
            if [isFree, isIdle, holders[page] > 0].filter({ $0 }).count != 1 { return "page \(page) is not in exactly one place" }
            guard pages[page].isKept else { continue }
            if byHash[pages[page].hash] != Int32(page) { return "kept page \(page) is not found" }
            let before = pages[page].before
            guard before != Self.none else { continue }
            if !pages[Int(before)].isKept { return "page \(page) continues one that is not kept" }
            if let own = places[Int32(page)], let other = places[before], other < own {
                return "page \(before) goes before its continuation"
            }
        }
        if byHash.count != pages.count(where: \.isKept) { return "the index holds what is not kept" }
        if Set(free).count != free.count { return "a page is free twice" }
        return nil
    }
}
