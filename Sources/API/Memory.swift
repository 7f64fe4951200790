package import Engine
import Weights

/// The memory of this machine, of the control group that the server is confined to, or the server's own budget, at one moment.
package struct Memory: Sendable {
    let totalBytes: Int
    let availableBytes: Int

    package init(totalBytes: Int, availableBytes: Int) {
        self.totalBytes = totalBytes
        self.availableBytes = availableBytes
    }

    var usedBytes: Int { max(0, totalBytes - availableBytes) }
    var usedPercent: Double { totalBytes > 0 ? 100 * Double(usedBytes) / Double(totalBytes) : 0 }

    package init(_ reading: MemoryReading?) {
        self.init(totalBytes: reading?.totalBytes ?? 0, availableBytes: reading?.availableBytes ?? 0)
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
