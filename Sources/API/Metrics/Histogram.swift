/// How often a figure fell below each of some bounds: what a Prometheus histogram is made of.
package struct Histogram: Sendable, Equatable {
    package let bounds: [Double]  // ascending; beyond the last one everything else
    package private(set) var counts: [Int]  // one more than bounds; each of its own range alone
    package private(set) var sum = 0.0

    package init(_ bounds: [Double]) {
        self.bounds = bounds
        counts = [Int](repeating: 0, count: bounds.count + 1)
    }

    package var count: Int { counts.reduce(0, +) }

    package mutating func observe(_ value: Double) {
        // A bound belongs to the range below it.
        var low = 0
        var high = bounds.count
        while low < high {
            let middle = (low + high) / 2
            if bounds[middle] < value { low = middle + 1 } else { high = middle }
        }
        counts[low] += 1
        sum += value
    }

    /// Takes what another of the same bounds has seen.
    package mutating func add(_ other: Histogram) {
        guard other.bounds == bounds else { return }
        for (index, count) in other.counts.enumerated() { counts[index] += count }
        sum += other.sum
    }

    package static let requestBounds = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
    package static let secondsBounds = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
    ]
    package static let gapBounds = [
        0.0005, 0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5,
    ]
}
