#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Whether something still fits into memory, asked before it is allocated.
public enum MemoryGuard {
    /// Left to everything else on the machine.
    public static let reservedBytes = 256 << 20

    /// What this process can still take: the kernel's estimate (`MemAvailable`), or less inside a limited control group.
    /// Nil where neither can be read.
    public static func availableBytes() -> Int? {
        let system = contents("/proc/meminfo").flatMap { meminfo($0, "MemAvailable") }
        let group = groupAvailableBytes()
        guard let least = [system, group].compactMap({ $0 }).min() else { return nil }
        return max(0, least - reservedBytes)
    }

    /// All memory that this process could ever have.
    public static func totalBytes() -> Int? {
        let system = contents("/proc/meminfo").flatMap { meminfo($0, "MemTotal") }
        let group = number("/sys/fs/cgroup/memory.max")
        return [system, group].compactMap { $0 }.min()
    }

    /// Throws `insufficientMemory` with both numbers unless `bytes` fit.
    public static func require(_ bytes: Int, available: Int? = availableBytes()) throws(EngineError) {
        if let available, bytes > available {
            throw .insufficientMemory(neededBytes: bytes, availableBytes: available)
        }
    }

    /// Pages for `parallel` sequences of `contextLength` tokens, or fewer where memory is short: half of what is available,
    /// and all of it only to hold one whole context.
    ///
    /// Throws when not even `minimumTokens` fit.
    package static func cachePages(
        contextLength: Int, parallel: Int, pageTokens: Int, bytesPerPage: Int, available: Int?, minimumTokens: Int = 512
    ) throws(EngineError) -> Int {
        func pages(_ tokens: Int) -> Int { max(1, tokens / pageTokens + (tokens % pageTokens == 0 ? 0 : 1)) }
        let one = pages(contextLength)
        let (all, overflow) = one.multipliedReportingOverflow(by: max(1, parallel))
        let wanted = min(overflow ? Int(Int32.max) : all, Int(Int32.max))
        guard let available, bytesPerPage > 0 else { return wanted }
        let granted = min(wanted, max(available / 2 / bytesPerPage, min(one, available / bytesPerPage)))
        let least = pages(min(contextLength, minimumTokens))
        if granted < least {
            throw .insufficientMemory(
                neededBytes: least.multipliedReportingOverflow(by: bytesPerPage).partialValue, availableBytes: available)
        }
        return granted
    }

    /// Returns freed heap pages to the system, which the C library else keeps.
    static func releaseFreed() {
        typealias Trim = @convention(c) (Int) -> Int32
        // Not every C library has it, and the module map of the one that has leaves it out.
        if let symbol = dlsym(nil, "malloc_trim") { _ = unsafeBitCast(symbol, to: Trim.self)(0) }
    }

    /// The number of a line like `MemAvailable:   24061612 kB`, in bytes.
    package static func meminfo(_ text: String, _ key: String) -> Int? {
        for line in text.split(separator: "\n") where line.utf8.starts(with: (key + ":").utf8) {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard words.count >= 2, let kilobytes = Int(words[1]) else { return nil }
            let (bytes, overflow) = kilobytes.multipliedReportingOverflow(by: 1024)
            return overflow ? nil : bytes
        }
        return nil
    }

    private static func groupAvailableBytes() -> Int? {
        guard let limit = number("/sys/fs/cgroup/memory.max"), let used = number("/sys/fs/cgroup/memory.current") else { return nil }
        // Pages of files count as used but are dropped when memory is wanted.
        let files = contents("/sys/fs/cgroup/memory.stat").flatMap { text -> Int? in
            text.split(separator: "\n").first { $0.utf8.starts(with: "inactive_file ".utf8) }.flatMap { Int($0.dropFirst(14)) }
        }
        return max(0, limit - max(0, used - (files ?? 0)))
    }

    /// A file that holds one decimal number; nil for others ("max").
    private static func number(_ path: String) -> Int? {
        contents(path).flatMap { Int($0.split(whereSeparator: \.isWhitespace).first ?? "") }
    }

    private static func contents(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 14)
        let count = read(file, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes.prefix(count), as: UTF8.self) : nil
    }
}
