#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Memory at one moment.
public struct MemoryReading: Sendable, Equatable {
    /// That there could ever be for this process.
    public var totalBytes: Int
    public var usedBytes: Int

    public init(totalBytes: Int, usedBytes: Int) {
        self.totalBytes = totalBytes
        self.usedBytes = usedBytes
    }

    public var availableBytes: Int { max(0, totalBytes - usedBytes) }

    /// What may still be taken below `percent` of all memory.
    public func room(below percent: Double) -> Int {
        let share = percent < 1 ? 1 : percent <= 100 ? percent : 100
        let limit = Double(totalBytes) * share / 100
        return max(0, Int(limit) - usedBytes)
    }
}

/// Measures memory.
///
/// Without a configured total it is the machine's, or less inside control groups with a limit (of both versions, every group
/// from this process's up to the root): used is what neither is free nor can be made free. With a configured total it is
/// a budget for this process, of which its own pages in memory are used; files that it has mapped are not counted, for their
/// pages can be dropped.
public struct MemoryGauge: Sendable, Equatable {
    /// What this process may take; nil: whatever there is.
    public var configuredBytes: Int?
    /// Before `/proc` and `/sys`; other than empty in tests.
    package var root = ""

    public init(configuredBytes: Int? = nil) { self.configuredBytes = configuredBytes }

    /// Nil where the system tells nothing of its memory.
    public func read() -> MemoryReading? {
        let system = machine()
        guard let configured = configuredBytes, configured > 0 else { return system }
        let total = min(configured, system?.totalBytes ?? configured)
        guard let own = processBytes() else { return system }
        // A budget is of no use where the machine itself has less to give.
        let room = min(max(0, total - own), system?.availableBytes ?? .max)
        return MemoryReading(totalBytes: total, usedBytes: total - room)
    }

    /// Bytes of this process that are in memory and in no file.
    public func processBytes() -> Int? {
        guard let text = contents("/proc/self/status"), let anonymous = Self.line(text, "RssAnon") else { return nil }
        return anonymous + (Self.line(text, "RssShmem") ?? 0)
    }

    private func machine() -> MemoryReading? {
        let text = contents("/proc/meminfo") ?? ""
        let total = Self.line(text, "MemTotal")
        let available = Self.line(text, "MemAvailable")
        var readings: [MemoryReading] = []
        if let total, let available { readings.append(MemoryReading(totalBytes: total, usedBytes: max(0, total - available))) }
        for group in groups() where group.totalBytes < total ?? .max { readings.append(group) }
        guard let least = readings.map(\.totalBytes).min(), let room = readings.map(\.availableBytes).min() else { return nil }
        return MemoryReading(totalBytes: least, usedBytes: max(0, least - room))
    }

    // ---------------------------------------------------------------------------------------------------- control groups

    private struct Version {
        let folder: String
        let limit: String
        let use: String
        let droppable: String  // of `memory.stat`: pages of files, which are dropped when memory is wanted
    }

    private static let second = Version(
        folder: "/sys/fs/cgroup", limit: "memory.max", use: "memory.current", droppable: "inactive_file")
    private static let first = Version(
        folder: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes", use: "memory.usage_in_bytes", droppable: "total_inactive_file")

    /// The groups with a limit that this process is in.
    private func groups() -> [MemoryReading] {
        var found: [MemoryReading] = []
        for line in (contents("/proc/self/cgroup") ?? "").split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let version = parts[0] == "0" && parts[1].isEmpty ? Self.second : Self.first
            if version.limit == Self.first.limit, !parts[1].split(separator: ",").contains("memory") { continue }
            var path = parts[2].split(separator: "/")
            while true {
                if let reading = group(version, version.folder + path.map { "/" + $0 }.joined()) { found.append(reading) }
                if path.popLast() == nil { break }
            }
        }
        return found
    }

    private func group(_ version: Version, _ folder: String) -> MemoryReading? {
        guard let limit = number("\(folder)/\(version.limit)"), let used = number("\(folder)/\(version.use)") else { return nil }
        let statistics = contents("\(folder)/memory.stat") ?? ""
        let line = statistics.split(separator: "\n").first { $0.utf8.starts(with: (version.droppable + " ").utf8) }
        let files = line.flatMap { Int($0.dropFirst(version.droppable.utf8.count + 1)) } ?? 0
        return MemoryReading(totalBytes: limit, usedBytes: max(0, used - max(0, files)))
    }

    // -------------------------------------------------------------------------------------------------------------- files

    /// The number of a line like `MemAvailable:   24061612 kB`, in bytes.
    package static func line(_ text: String, _ key: String) -> Int? {
        for line in text.split(separator: "\n") where line.utf8.starts(with: (key + ":").utf8) {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.count >= 2, let kilobytes = Int(words[1]) else { return nil }
            let (bytes, overflow) = kilobytes.multipliedReportingOverflow(by: 1024)
            return overflow ? nil : bytes
        }
        return nil
    }

    /// A file that holds one decimal number; nil for others ("max").
    private func number(_ path: String) -> Int? {
        contents(path).flatMap { Int($0.split(whereSeparator: \.isWhitespace).first ?? "") }
    }

    private func contents(_ path: String) -> String? { text(ofFile: root + path) }
}

/// The first 16 KiB of a file.
private func text(ofFile path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 14)
    let count = read(file, &bytes, bytes.count)
    return count > 0 ? String(decoding: bytes.prefix(count), as: UTF8.self) : nil
}
