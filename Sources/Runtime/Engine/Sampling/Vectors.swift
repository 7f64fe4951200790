/// The three passes over a whole vocabulary that sampling needs, eight numbers at a time.
///
/// Only additions, multiplications and comparisons in a fixed order: the same logits give the same bits on every machine,
/// which the C library's `exp` does not promise.
enum Vectors {
    typealias Lanes = SIMD8<Float>
    /// Weights are summed in blocks of this many, so that a draw finds its block before it looks at single weights.
    static let block = 256

    private static func lanes(_ values: UnsafeBufferPointer<Float>, _ index: Int) -> Lanes {
        UnsafeRawPointer(values.baseAddress.unsafelyUnwrapped + index).loadUnaligned(as: Lanes.self)
    }

    /// The largest value, or nil when there is none or any value is infinite or not a number.
    static func finiteMaximum(_ values: UnsafeBufferPointer<Float>) -> Float? {
        guard let first = values.first else { return nil }
        var best = Lanes(repeating: first)
        var poison = Lanes.zero  // x·0 is 0 for finite x and NaN otherwise; NaN stays
        let whole = values.count & ~7
        for index in stride(from: 0, to: whole, by: 8) {
            let part = lanes(values, index)
            best.replace(with: part, where: part .> best)
            poison += part * 0
        }
        var maximum = first
        var rest: Float = 0
        for lane in 0..<8 {
            if best[lane] > maximum { maximum = best[lane] }
            rest += poison[lane]
        }
        for index in whole..<values.count {
            if values[index] > maximum { maximum = values[index] }
            rest += values[index] * 0
        }
        return rest == 0 && first - first == 0 ? maximum : nil
    }

    /// The lowest index at which `values` has exactly `value`.
    static func firstIndex(of value: Float, in values: UnsafeBufferPointer<Float>) -> Int? {
        let wanted = Lanes(repeating: value)
        let whole = values.count & ~7
        var index = 0
        while index < whole, !any(lanes(values, index) .== wanted) { index += 8 }
        while index < values.count {
            if values[index] == value { return index }
            index += 1
        }
        return nil
    }

    /// The next block of eight from `index` on that has a value above `floor`; the count's whole part when there is none.
    static func nextBlock(above floor: Float, in values: UnsafeBufferPointer<Float>, from index: Int) -> Int {
        let wall = Lanes(repeating: floor)
        let whole = values.count & ~7
        var index = index
        while index < whole, !any(lanes(values, index) .> wall) { index += 8 }
        return index
    }

    /// The same for values of at least `floor`.
    static func nextBlock(reaching floor: Float, in values: UnsafeBufferPointer<Float>, from index: Int) -> Int {
        let wall = Lanes(repeating: floor)
        let whole = values.count & ~7
        var index = index
        while index < whole, !any(lanes(values, index) .>= wall) { index += 8 }
        return index
    }

    /// weights[i] = e^((logits[i] − best) · factor), in 0…1; sums[b] = the sum of block b. Returns the sum of all.
    ///
    /// `weights` may be the logits' own memory. `sums` has one element per started block.
    static func exponentials(
        _ logits: UnsafeBufferPointer<Float>, best: Float, factor: Float,
        weights: UnsafeMutableBufferPointer<Float>, sums: UnsafeMutableBufferPointer<Double>
    ) -> Double {
        var total = 0.0
        var start = 0
        var number = 0
        while start < logits.count {
            let end = min(start + block, logits.count)
            var partial = Lanes.zero
            var index = start
            while index + 8 <= end {
                let power = exponential((lanes(logits, index) - best) * factor)
                UnsafeMutableRawPointer(weights.baseAddress.unsafelyUnwrapped + index).storeBytes(of: power, as: Lanes.self)
                partial += power
                index += 8
            }
            if index < end {
                var padded = Lanes(repeating: -.infinity)
                for lane in 0..<(end - index) { padded[lane] = (logits[index + lane] - best) * factor }
                let power = exponential(padded)
                for lane in 0..<(end - index) { weights[index + lane] = power[lane] }
                partial += power
            }
            var sum = 0.0
            for lane in 0..<8 { sum += Double(partial[lane]) }
            sums[number] = sum
            total += sum
            number += 1
            start = end
        }
        return total
    }

    /// e^x for x ≤ 0, within 2 ulp; 0 below −87.
    ///
    /// x = n·ln 2 + r with |r| ≤ ln 2 / 2; e^r by its Taylor series to r⁷ (the rest is below 6·10⁻⁹).
    @inline(__always)
    static func exponential(_ x: Lanes) -> Lanes {
        let clamped = x.replacing(with: Lanes(repeating: -87), where: x .< Lanes(repeating: -87))
        let shift: Float = 12_582_912  // 1.5 · 2²³: adding it leaves the nearest whole number in the low bits
        let shifted = clamped * 1.442_695_04 + shift
        let n = shifted - shift
        let r = (clamped - n * 0.693_359_375) + n * 2.121_944_4e-4  // ln 2 in two parts, the first one exact in n·part
        var series = Lanes(repeating: 1.0 / 5040)
        series = series * r + Float(1.0 / 720)
        series = series * r + Float(1.0 / 120)
        series = series * r + Float(1.0 / 24)
        series = series * r + Float(1.0 / 6)
        series = series * r + Float(0.5)
        series = series * r + Float(1)
        series = series * r + Float(1)
        let exponent = (unsafeBitCast(shifted, to: SIMD8<UInt32>.self) &+ 127) &<< 23  // the low bits hold n
        let power = series * unsafeBitCast(exponent, to: Lanes.self)
        return power.replacing(with: Lanes.zero, where: x .< Lanes(repeating: -87))
    }
}
