/// Rounds 256 values to eight groups of 32 codes whose scales and minima are six-bit multiples of two f16 numbers: Q4_K and Q5_K.
///
/// Three steps: for each group the scale and minimum with the least squared error over many starting widths; then the six-bit
/// multiples nearest to them and their neighbours; then the two f16 numbers that fit those best, and the multiples once more.
@safe struct TwoLevelRounding {
    private typealias Vector = SIMD8<Float>
    private static let groups = 8, vectors = 4  // of eight values in a group

    let top: Float  // the largest code
    private var values = [Vector](repeating: .zero, count: groups * vectors)
    private var weights = [Vector](repeating: .one, count: groups * vectors)

    init(top: Int) { self.top = Float(top) }

    private struct Choice {
        var d: UInt16 = 0, dmin: UInt16 = 0  // f16
        var scales = [Float](repeating: 0, count: 8)  // whole, 0…63
        var minima = [Float](repeating: 0, count: 8)
        var error = Float.infinity
    }

    mutating func round(_ row: UnsafeBufferPointer<Float>, _ importance: UnsafeBufferPointer<Float>, into parts: UnpackedRow) {
        for block in 0..<row.count / 256 {
            for index in 0..<32 {
                for lane in 0..<8 { unsafe values[index][lane] = row[block * 256 + index * 8 + lane] }
                if importance.count == row.count {
                    for lane in 0..<8 { unsafe weights[index][lane] = importance[block * 256 + index * 8 + lane] }
                }
            }
            let choice = chosen()
            unsafe parts.superScales[block] = choice.d
            unsafe parts.superOffsets[block] = choice.dmin
            let d = HalfPrecision.float(f16: choice.d), dmin = HalfPrecision.float(f16: choice.dmin)
            for group in 0..<8 {
                unsafe parts.scales[block * 8 + group] = UInt32(choice.scales[group])
                unsafe parts.offsets[block * 8 + group] = UInt32(choice.minima[group])
                let step = d * choice.scales[group], low = dmin * choice.minima[group]
                for vector in 0..<4 {
                    let codes = codes(group * 4 + vector, step, low)
                    for lane in 0..<8 { unsafe parts.codes[block * 256 + group * 32 + vector * 8 + lane] = UInt8(codes[lane]) }
                }
            }
        }
    }

    private func chosen() -> Choice {
        var steps = [Float](repeating: 0, count: 8), lows = steps
        for group in 0..<8 { (steps[group], lows[group]) = fit(group) }
        var d = (steps.max() ?? 0) / 63, dmin = (lows.max() ?? 0) / 63
        var best = Choice()
        for _ in 0..<3 {
            var choice = Choice()
            choice.d = HalfPrecision.f16(d)
            choice.dmin = HalfPrecision.f16(dmin)
            let (error, fitted) = multiples(&choice, steps, lows)
            choice.error = error
            guard error < best.error else { break }
            best = choice
            guard let fitted else { break }
            (d, dmin) = fitted
        }
        return best
    }

    /// The scale and (negated) minimum of one group, before they become multiples.
    private func fit(_ group: Int) -> (step: Float, low: Float) {
        let first = group * 4
        var low: Float = 0
        var high = -Float.infinity
        var sumWeights = Vector.zero, sumValues = Vector.zero
        for index in first..<first + 4 {
            for lane in 0..<8 {
                low = Swift.min(low, values[index][lane])
                high = Swift.max(high, values[index][lane])
            }
            sumWeights += weights[index]
            sumValues += weights[index] * values[index]
        }
        guard high > low else { return (0, -low) }
        let w = sumWeights.sum(), x = sumValues.sum()
        var best: (gain: Float, step: Float, low: Float) = (-Float.infinity, (high - low) / top, low)
        for trial in -10...10 {
            let inverse = (top + 0.1 * Float(trial)) / (high - low)
            var codes = Vector.zero, squares = Vector.zero, products = Vector.zero
            for index in first..<first + 4 {
                let code = Self.nearest((values[index] - low) * inverse, top)
                let weighted = weights[index] * code
                codes += weighted
                squares += weighted * code
                products += weighted * values[index]
            }
            let q = codes.sum(), qq = squares.sum(), qx = products.sum()
            let determinant = w * qq - q * q
            guard determinant > 0 else { continue }
            var step = (w * qx - x * q) / determinant
            var offset = (qq * x - q * qx) / determinant
            if offset > 0 { (step, offset) = (qx / qq, 0) }
            // What the fit takes off the squared error of all zeros.
            let gain = 2 * (step * qx + offset * x) - (step * step * qq + 2 * step * offset * q + offset * offset * w)
            if gain > best.gain { best = (gain, step, offset) }
        }
        return (best.step, -best.low)
    }

    /// For each group the multiples of d and dmin with the least error among those around the wanted ones.
    /// - Returns: the error of the block, and the d and dmin that would suit these codes best.
    private func multiples(_ choice: inout Choice, _ steps: [Float], _ lows: [Float]) -> (Float, (Float, Float)?) {
        let d = HalfPrecision.float(f16: choice.d), dmin = HalfPrecision.float(f16: choice.dmin)
        var error: Float = 0
        var aa: Float = 0, ab: Float = 0, bb: Float = 0, ax: Float = 0, bx: Float = 0  // normal equations of x = d · a − dmin · b
        for group in 0..<8 {
            let wanted = d > 0 ? Code.nearest(steps[group] / d, from: 0, to: 63) : 0
            let wantedLow = dmin > 0 ? Code.nearest(lows[group] / dmin, from: 0, to: 63) : 0
            var least = Float.infinity
            for scale in Self.around(wanted, d > 0) {
                for minimum in Self.around(wantedLow, dmin > 0) {
                    let found = self.error(group, d * scale, dmin * minimum)
                    if found < least { (least, choice.scales[group], choice.minima[group]) = (found, scale, minimum) }
                }
            }
            error += least
            let scale = choice.scales[group], minimum = choice.minima[group]
            var codes = Vector.zero, squares = Vector.zero, products = Vector.zero, sum = Vector.zero, mass = Vector.zero
            for index in group * 4..<group * 4 + 4 {
                let code = self.codes(index, d * scale, dmin * minimum)
                let weighted = weights[index] * code
                codes += weighted
                squares += weighted * code
                products += weighted * values[index]
                sum += weights[index] * values[index]
                mass += weights[index]
            }
            aa += scale * scale * squares.sum()
            ab += scale * minimum * codes.sum()
            bb += minimum * minimum * mass.sum()
            ax += scale * products.sum()
            bx += minimum * sum.sum()
        }
        if bb == 0 { return (error, aa > 0 ? (ax / aa, 0) : nil) }
        let determinant = aa * bb - ab * ab
        guard determinant > 0 else { return (error, nil) }
        let fitted = ((ax * bb - bx * ab) / determinant, (ax * ab - bx * aa) / determinant)
        return (error, fitted.0 > 0 && fitted.1 >= 0 ? fitted : nil)
    }

    private static func around(_ value: Float, _ counts: Bool) -> ClosedRangeOfFloats {
        counts ? ClosedRangeOfFloats(Swift.max(value - 1, 0), Swift.min(value + 1, 63)) : ClosedRangeOfFloats(0, 0)
    }

    /// Codes of eight values: the nearest to (value + low) / step.
    private func codes(_ index: Int, _ step: Float, _ low: Float) -> Vector {
        step > 0 ? Self.nearest((values[index] + low) * (1 / step), top) : .zero
    }

    private func error(_ group: Int, _ step: Float, _ low: Float) -> Float {
        var sum = Vector.zero
        let inverse = step > 0 ? 1 / step : 0
        for index in group * 4..<group * 4 + 4 {
            let difference = Self.nearest((values[index] + low) * inverse, top) * step - low - values[index]
            sum += weights[index] * difference * difference
        }
        return sum.sum()
    }

    private static func nearest(_ value: Vector, _ top: Float) -> Vector {
        let rounded = (value + 12_582_912) - 12_582_912
        let positive = rounded.replacing(with: 0, where: .!(rounded .> 0))  // not-a-number too
        return positive.replacing(with: top, where: positive .> top)
    }
}

/// Whole floats from a first to a last one.
struct ClosedRangeOfFloats: Sequence, IteratorProtocol {
    private var value: Float
    private let last: Float

    init(_ first: Float, _ last: Float) {
        value = first
        self.last = last
    }

    mutating func next() -> Float? {
        guard value <= last else { return nil }
        defer { value += 1 }
        return value
    }
}
