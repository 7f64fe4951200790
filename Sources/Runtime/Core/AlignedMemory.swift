internal import Weights

#if canImport(Glibc)
    internal import Glibc
#else
    internal import Musl
#endif

/// One large zeroed block from the operating system, aligned for huge pages. Its pages cost memory once they are written.
struct AlignedMemory: ~Copyable {
    let base: UnsafeMutableRawPointer
    let count: Int

    private static let hugePage = 2 << 20

    /// - Parameters:
    ///   - purpose: what for, in the words of the error.
    ///   - sparse: most of it will never be written, so it is not held against the memory that the machine has.
    /// - Throws: `insufficient_memory` when the system refuses.
    init(bytes: Int, purpose: String, sparse: Bool = false) throws(ModelError) {
        let refusal = ModelError(.insufficientMemory, at: purpose, "\(bytes) bytes are not to be had")
        let (reserved, overflow) = max(bytes, 64).addingReportingOverflow(Self.hugePage)
        guard bytes >= 0, !overflow else { throw refusal }
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | (sparse ? MAP_NORESERVE : 0)
        guard let start = mmap(nil, reserved, PROT_READ | PROT_WRITE, flags, -1, 0), start != MAP_FAILED else { throw refusal }

        // Cut the mapping down to an aligned middle.
        let before = (Self.hugePage - Int(bitPattern: start) % Self.hugePage) % Self.hugePage
        count = (max(bytes, 64) + 4095) / 4096 * 4096
        base = start + before
        if before > 0 { munmap(start, before) }
        if reserved > before + count { munmap(base + count, reserved - before - count) }
        if !sparse, count >= Self.hugePage { madvise(base, count, MADV_HUGEPAGE) }
    }

    deinit { munmap(base, count) }
}
