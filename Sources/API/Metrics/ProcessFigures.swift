import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// What the system says of this process.
struct ProcessFigures: Sendable {
    let residentBytes: Int
    let anonymousBytes: Int  // of those, the ones that are no file's
    let cpuSeconds: Double

    /// Nil where the system does not say.
    static var now: ProcessFigures? {
        guard let text = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return nil }
        func kilobytes(_ key: String) -> Int {
            let line = text.split(separator: "\n").first { $0.hasPrefix(key + ":") }
            return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0
        }
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let time = [usage.ru_utime, usage.ru_stime].reduce(0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) * 1e-6 }
        return ProcessFigures(
            residentBytes: kilobytes("VmRSS") << 10, anonymousBytes: kilobytes("RssAnon") << 10, cpuSeconds: time)
    }
}
