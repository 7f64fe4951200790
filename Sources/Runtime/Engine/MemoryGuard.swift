#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Whether something still fits below the limit, asked before it is allocated.
public struct MemoryGuard: Sendable {
    /// Left to everything else on the machine, where there is no configured total.
    public static let reservedBytes = 256 << 20

    public let gauge: MemoryGauge
    /// Of all memory, above which nothing more is taken.
    public let limitPercent: Double

    public init(_ gauge: MemoryGauge = MemoryGauge(), limitPercent: Double = 90) {
        self.gauge = gauge
        self.limitPercent = limitPercent
    }

    /// What can still be taken; nil where memory can't be measured.
    public func room() -> Int? {
        guard let reading = gauge.read() else { return nil }
        let kept = gauge.configuredBytes == nil ? Self.reservedBytes : 0
        return min(reading.room(below: limitPercent), max(0, reading.availableBytes - kept))
    }

    /// Throws `insufficientMemory` with both numbers unless `bytes` fit.
    public static func require(_ bytes: Int, available: Int?) throws(EngineError) {
        if let available, bytes > available {
            throw .insufficientMemory(neededBytes: bytes, availableBytes: available)
        }
    }

    /// Pages for `parallel` sequences of `contextLength` tokens, or fewer where memory is short: half of what is available,
    /// and all of it only to hold one whole context.
    ///
    /// Throws when not even `minimumTokens` fit.
    package static func cachePages(
        contextLength: Int, parallel: Int, pageTokens: Int, bytesPerPage: Int, available: Int?, minimumTokens: Int = Self.minimumTokens
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

    /// A model whose cache holds fewer tokens is of no use.
    package static let minimumTokens = 512

    /// Returns freed heap pages to the system, which the C library else keeps.
    public static func releaseFreed() {
        typealias Trim = @convention(c) (Int) -> Int32
        // Not every C library has it, and the module map of the one that has leaves it out.
        if let symbol = dlsym(nil, "malloc_trim") { _ = unsafeBitCast(symbol, to: Trim.self)(0) }
    }
}
