internal import CKernels
internal import Weights

/// A sequence's place in a cache.
public struct SequenceSlot: Hashable, Sendable {
    public let index: Int
    public init(index: Int) { self.index = index }
}

/// Keys and values of all sequences in pages of 32 positions. A page holds its positions of every layer.
///
/// Sequences take pages as they grow and give them back when they are cut or closed; nothing is moved or copied.
public struct KVCache: ~Copyable {
    public static let pageTokens = Int(CK_PAGE_TOKENS)

    private struct Slot {
        var pages: UnsafeMutablePointer<Int32>  // pagesPerSlot, the first pageCount in use
        var pageCount = 0
        var count = 0
        var isOpen = true
    }

    public let totalPages: Int
    public let bytesPerPage: Int
    /// The most positions that one sequence can hold.
    public let contextLength: Int
    private let pagesPerSlot: Int
    private let memory: AlignedMemory
    private let layerBytes: Int
    private let shape: ck_cache_layer  // without its base
    private var free: [Int32]  // the last one is taken first
    private var slots: [Slot] = []
    private var closed: [Int] = []

    init(pages: Int, layout: CacheLayout, contextLength: Int) throws(ModelError) {
        let (bytes, overflow) = pages.multipliedReportingOverflow(by: layout.bytesPerPage)
        guard pages > 0, pages <= Int(Int32.max), !overflow else {
            throw ModelError(.outOfRange, at: "cache", "\(pages) pages are not between 1 and \(Int32.max)")
        }
        memory = try AlignedMemory(bytes: bytes, purpose: "cache")
        totalPages = pages
        bytesPerPage = layout.bytesPerPage
        layerBytes = layout.bytesPerLayer
        shape = layout.shape
        self.contextLength = contextLength
        pagesPerSlot = min(pages, (contextLength + Self.pageTokens - 1) / Self.pageTokens)
        free = (0..<Int32(pages)).reversed()
    }

    deinit { for slot in slots { slot.pages.deallocate() } }

    public var freePages: Int { free.count }

    /// A place for a new sequence, which holds nothing yet and takes no page.
    public mutating func open() -> SequenceSlot {
        if let index = closed.popLast() {
            slots[index].isOpen = true
            return SequenceSlot(index: index)
        }
        slots.append(Slot(pages: .allocate(capacity: pagesPerSlot)))
        closed.reserveCapacity(slots.count)
        return SequenceSlot(index: slots.count - 1)
    }

    /// Ends a sequence and gives its pages back.
    public mutating func close(_ slot: SequenceSlot) {
        check(slot)
        keep(pages: 0, of: slot.index)
        slots[slot.index].count = 0
        slots[slot.index].isOpen = false
        closed.append(slot.index)
    }

    /// Positions that a sequence holds.
    public func count(_ slot: SequenceSlot) -> Int {
        check(slot)
        return slots[slot.index].count
    }

    /// Takes the pages that `tokens` more positions need.
    /// - Returns: false, and takes nothing, where there are not enough free pages or the context would grow too long.
    public mutating func reserve(_ slot: SequenceSlot, tokens: Int) -> Bool {
        check(slot)
        let (count, overflow) = slots[slot.index].count.addingReportingOverflow(tokens)
        guard tokens >= 0, !overflow, count <= contextLength else { return false }
        let held = slots[slot.index].pageCount
        let needed = (count + Self.pageTokens - 1) / Self.pageTokens
        guard needed <= pagesPerSlot, needed - held <= free.count else { return false }
        for place in held..<max(held, needed) { slots[slot.index].pages[place] = free.removeLast() }
        slots[slot.index].pageCount = max(held, needed)
        return true
    }

    /// Forgets the positions from `count` on, and gives back the pages that are no longer needed, reserved ones too.
    public mutating func truncate(_ slot: SequenceSlot, to count: Int) {
        check(slot)
        precondition(count >= 0 && count <= slots[slot.index].count, "a sequence can only be cut to what it holds")
        slots[slot.index].count = count
        keep(pages: (count + Self.pageTokens - 1) / Self.pageTokens, of: slot.index)
    }

    // ------------------------------------------------------------------------------------------- for the forward pass

    /// A run's place for the kernels. Its pages must have been reserved.
    func run(_ slot: SequenceSlot, tokens: Int, firstRow: Int) -> ck_run {
        check(slot)
        let place = slots[slot.index]
        precondition(place.count + tokens <= place.pageCount * Self.pageTokens, "reserve the positions of a step before it runs")
        return ck_run(pages: place.pages, position: Int32(place.count), tokens: Int32(tokens), first_row: Int32(firstRow))
    }

    mutating func advance(_ slot: SequenceSlot, by tokens: Int) { slots[slot.index].count += tokens }

    func layer(_ index: Int) -> ck_cache_layer {
        var layer = shape
        layer.base = memory.base + index * layerBytes
        return layer
    }

    private func check(_ slot: SequenceSlot) {
        precondition(slots.indices.contains(slot.index) && slots[slot.index].isOpen, "the slot is not open")
    }

    private mutating func keep(pages: Int, of index: Int) {
        for place in stride(from: slots[index].pageCount - 1, through: pages, by: -1) { free.append(slots[index].pages[place]) }
        slots[index].pageCount = min(pages, slots[index].pageCount)
    }
}

/// How large a page of the cache is, and what lies in it.
struct CacheLayout {
    let shape: ck_cache_layer  // without its base
    let bytesPerLayer: Int
    let bytesPerPage: Int

    init(_ sizes: Hyperparameters, precise: Bool) {
        let type = precise ? CK_CACHE_F32 : CK_CACHE_F16
        let bytes = ck_cache_page_bytes(type, Int32(sizes.keyValueHeads), Int32(sizes.keySize), Int32(sizes.valueSize))
        bytesPerLayer = (Int(bytes) + 63) / 64 * 64
        bytesPerPage = bytesPerLayer * sizes.layers
        shape = ck_cache_layer(
            base: nil, page_stride: bytesPerPage, type: UInt8(type.rawValue), kv_heads: Int32(sizes.keyValueHeads),
            key_size: Int32(sizes.keySize), value_size: Int32(sizes.valueSize))
    }
}
