import Engine
import Weights

/// The memory of this machine, or of the control group that the server is confined to, at one moment.
package struct Memory: Sendable {
    let totalBytes: Int
    let availableBytes: Int

    package init(totalBytes: Int, availableBytes: Int) {
        self.totalBytes = totalBytes
        self.availableBytes = availableBytes
    }

    var usedBytes: Int { max(0, totalBytes - availableBytes) }
    var usedPercent: Double { totalBytes > 0 ? 100 * Double(usedBytes) / Double(totalBytes) : 0 }

    static var now: Memory {
        let total = MemoryGuard.totalBytes() ?? 0
        let available = MemoryGuard.availableBytes().map { $0 + MemoryGuard.reservedBytes } ?? total
        return Memory(totalBytes: total, availableBytes: min(available, total))
    }

    /// `memory` of the status; every `*_gb` is GiB and has an exact `*_bytes` beside it.
    func json(threshold: Double) -> JSONValue { .object(members(threshold: threshold)) }

    func members(threshold: Double) -> JSONObject {
        [
            "total_gb": .gibibytes(totalBytes), "total_bytes": .int(totalBytes),
            "used_gb": .gibibytes(usedBytes), "used_bytes": .int(usedBytes),
            "available_gb": .gibibytes(availableBytes), "available_bytes": .int(availableBytes),
            "usage_percent": .float(usedPercent), "used_percent": .float(usedPercent), "threshold_percent": .float(threshold),
        ]
    }
}
