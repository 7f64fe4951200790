internal import CKernels
internal import Weights

/// Keys and values of all sequences in pages of 32 positions. A page holds its positions of every layer.
///
/// Sequences take pages as they grow and give them back when they are cut or closed; nothing is moved or copied. Full pages
/// can be kept, so that a later sequence with the same beginning need not compute them (``PageTable``).
public struct KVCache: ~Copyable {
    public static let pageTokens = Int(CK_PAGE_TOKENS)

    public let bytesPerPage: Int
    private var table: PageTable
    private let memory: AlignedMemory
    private let layerBytes: Int
    private let shape: ck_cache_layer  // without its base

    init(pages: Int, layout: CacheLayout, contextLength: Int) throws(ModelError) {
        let (bytes, overflow) = pages.multipliedReportingOverflow(by: layout.bytesPerPage)
        guard pages > 0, pages <= Int(Int32.max), !overflow else {
            throw ModelError(.outOfRange, at: "cache", "\(pages) pages are not between 1 and \(Int32.max)")
        }
        memory = try AlignedMemory(bytes: bytes, purpose: "cache")
        bytesPerPage = layout.bytesPerPage
        layerBytes = layout.bytesPerLayer
        shape = layout.shape
        table = PageTable(pages: pages, pageTokens: Self.pageTokens, contextLength: contextLength)
    }

    public var totalPages: Int { table.totalPages }
    /// Pages that can still be reserved; kept ones are among them.
    public var freePages: Int { table.freePages }
    public var use: CacheUse { table.use }
    /// The most positions that one sequence can hold.
    public var contextLength: Int { table.contextLength }

    /// A place for a new sequence, which holds nothing yet and takes no page.
    public mutating func open() -> SequenceSlot { table.open() }

    /// A place for a sequence that begins with `tokens` and may grow to `capacity` positions. It holds the kept pages with
    /// that beginning, so that `count` is where to go on, but never all of `tokens`: the last one is to be computed.
    /// - Returns: nil where its pages cannot be reserved.
    public mutating func open(beginning tokens: [Int32], capacity: Int) -> SequenceSlot? {
        table.open(beginning: tokens, capacity: capacity)
    }

    /// Ends a sequence and gives its pages back; those that are kept can still be found.
    public mutating func close(_ slot: SequenceSlot) { table.close(slot) }

    /// Positions that a sequence holds.
    public func count(_ slot: SequenceSlot) -> Int { table.count(slot) }

    /// Reserves the pages that `tokens` more positions need.
    /// - Returns: false, and reserves nothing, where there are not enough free pages or the context would grow too long.
    public mutating func reserve(_ slot: SequenceSlot, tokens: Int) -> Bool { table.reserve(slot, tokens: tokens) }

    /// Forgets the positions from `count` on, and gives back the pages that are no longer needed, reserved ones too.
    public mutating func truncate(_ slot: SequenceSlot, to count: Int) { table.truncate(slot, to: count) }

    /// Forgets the positions from `count` on, which are not in kept pages, and leaves their pages reserved.
    public mutating func rewind(_ slot: SequenceSlot, to count: Int) { table.rewind(slot, to: count) }

    /// Keeps the full pages of a sequence's first `count` positions for others that begin with the same tokens. `tokens`
    /// begins with theirs. They can no longer be cut apart.
    public mutating func keep(_ slot: SequenceSlot, tokens: [Int32], count: Int) { table.keep(slot, tokens: tokens, count: count) }

    /// Lets a sequence go on with kept pages that continue it as `tokens`, all of its tokens, does.
    /// - Returns: the positions that it holds now, fewer than `tokens` has.
    public mutating func adopt(_ slot: SequenceSlot, beginning tokens: [Int32]) -> Int { table.adopt(slot, beginning: tokens) }

    // ------------------------------------------------------------------------------------------- for the forward pass

    /// A run's place for the kernels. Its pages must have been reserved.
    mutating func run(_ slot: SequenceSlot, tokens: Int, firstRow: Int) -> ck_run {
        ck_run(
            pages: table.take(slot, tokens: tokens), position: Int32(table.count(slot)), tokens: Int32(tokens), first_row: Int32(firstRow))
    }

    mutating func advance(_ slot: SequenceSlot, by tokens: Int) { table.advance(slot, by: tokens) }

    func layer(_ index: Int) -> ck_cache_layer {
        var layer = shape
        layer.base = memory.base + index * layerBytes
        return layer
    }
}

/// How large a page of the cache is, and what lies in it.
struct CacheLayout {
    let shape: ck_cache_layer  // without its base
    let bytesPerLayer: Int
    let bytesPerPage: Int

    init(_ sizes: Hyperparameters, _ options: ModelOptions) {
        let type = options.precise ? CK_CACHE_F32 : options.cache == .q8 ? CK_CACHE_Q8 : CK_CACHE_F16
        let bytes = ck_cache_page_bytes(type, Int32(sizes.keyValueHeads), Int32(sizes.keySize), Int32(sizes.valueSize))
        bytesPerLayer = (Int(bytes) + 63) / 64 * 64
        bytesPerPage = bytesPerLayer * sizes.layers
        shape = ck_cache_layer(
            base: nil, page_stride: bytesPerPage, type: UInt8(type.rawValue), kv_heads: Int32(sizes.keyValueHeads),
            key_size: Int32(sizes.keySize), value_size: Int32(sizes.valueSize))
    }
}
