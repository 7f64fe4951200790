/// The owner of one block of bytes that tensors lie in: a mapped file or heap memory. The only place that unmaps.
#if canImport(Glibc)
    internal import Glibc
#else
    internal import Musl
#endif

@safe public final class Storage: @unchecked Sendable {  // immutable after init; the bytes are mapped read-only
    /// Valid for as long as the storage lives.
    public let bytes: UnsafeRawBufferPointer
    private let mapped: Bool

    /// Maps a regular file read-only.
    /// - Throws: `unreadable` when it can't be opened or is no regular file, `truncated` when it is empty.
    public init(mapping path: String) throws(ModelError) {
        let descriptor = unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw ModelError(.unreadable, at: path, unsafe "cannot be opened: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw ModelError(.unreadable, at: path, "is not a regular file")
        }
        guard status.st_size > 0 else { throw ModelError(.truncated, at: path, "is empty") }
        let size = Int(status.st_size)
        let address = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
        guard unsafe address != MAP_FAILED, let address = unsafe address else {
            throw ModelError(.unreadable, at: path, unsafe "cannot be mapped: \(String(cString: strerror(errno)))")
        }
        unsafe bytes = UnsafeRawBufferPointer(start: address, count: size)
        mapped = true
    }

    /// Copies bytes to the heap.
    public init(copying source: [UInt8]) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: Swift.max(source.count, 1), alignment: 64)
        unsafe copy.copyBytes(from: source)
        unsafe bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(copy)[..<source.count])
        mapped = false
    }

    /// Tells the kernel that a range will not be read again soon, so that packing never holds file and packed form together.
    public func release(_ range: Range<Int>) {
        guard mapped, let base = unsafe bytes.baseAddress else { return }
        let page = 4096
        let first = (range.lowerBound + page - 1) / page * page, last = range.upperBound / page * page
        if first < last { unsafe madvise(UnsafeMutableRawPointer(mutating: base + first), last - first, MADV_DONTNEED) }
    }

    deinit {
        guard let base = unsafe bytes.baseAddress else { return }
        if mapped { unsafe munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) } else { unsafe base.deallocate() }
    }
}
