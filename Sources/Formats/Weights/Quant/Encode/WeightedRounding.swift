/// Rounds a block of 32 values whose errors do not count alike: the scale, and the offset where there is one, with the least
/// weighted squared error among many starting widths. The reference's rounding takes part, so it is never better.
@safe struct WeightedRounding {
    private typealias Vector = SIMD8<Float>

    private let x: InlineArray<4, Vector>
    private let w: InlineArray<4, Vector>

    private init(_ values: UnsafeBufferPointer<Float>, _ importance: UnsafeBufferPointer<Float>, at start: Int) {
        func vectors(_ numbers: UnsafeBufferPointer<Float>) -> InlineArray<4, Vector> {
            InlineArray { index in
                var vector = Vector()
                for lane in 0..<8 { unsafe vector[lane] = numbers[start + index * 8 + lane] }
                return vector
            }
        }
        x = unsafe vectors(values)
        w = unsafe vectors(importance)
    }

    /// value ≈ scale · (code − zero), for codes below 2 · zero.
    static func symmetric(
        _ values: UnsafeBufferPointer<Float>, _ importance: UnsafeBufferPointer<Float>, zero: Float, into parts: UnpackedRow
    ) {
        for block in 0..<values.count / 32 {
            let rounding = unsafe WeightedRounding(values, importance, at: block * 32)
            let step = rounding.step(zero)
            unsafe parts.scales[block] = UInt32(step)
            let width = HalfPrecision.float(f16: step)
            for index in 0..<4 {
                let codes = rounding.codes(index, width, low: -zero * width, top: 2 * zero - 1)
                for lane in 0..<8 { unsafe parts.codes[block * 32 + index * 8 + lane] = UInt8(codes[lane]) }
            }
        }
    }

    /// value ≈ scale · code + offset, for codes up to top.
    static func withMinimum(
        _ values: UnsafeBufferPointer<Float>, _ importance: UnsafeBufferPointer<Float>, top: Float, into parts: UnpackedRow
    ) {
        for block in 0..<values.count / 32 {
            let rounding = unsafe WeightedRounding(values, importance, at: block * 32)
            let (step, low) = rounding.stepAndLow(top)
            unsafe parts.scales[block] = UInt32(step)
            unsafe parts.offsets[block] = UInt32(low)
            for index in 0..<4 {
                let codes = rounding.codes(index, HalfPrecision.float(f16: step), low: HalfPrecision.float(f16: low), top: top)
                for lane in 0..<8 { unsafe parts.codes[block * 32 + index * 8 + lane] = UInt8(codes[lane]) }
            }
        }
    }

    /// The scale, as f16. The value of largest magnitude lies near the lowest code, or near the highest.
    private func step(_ zero: Float) -> UInt16 {
        var peak: Float = 0
        for index in 0..<4 { for lane in 0..<8 where abs(x[index][lane]) > abs(peak) { peak = x[index][lane] } }
        var best: (error: Float, step: UInt16) = (.infinity, HalfPrecision.f16(peak / -zero))
        func consider(_ step: Float) {
            let stored = HalfPrecision.f16(step)
            let width = HalfPrecision.float(f16: stored)
            let error = self.error(width, low: -zero * width, top: 2 * zero - 1)
            if error < best.error { best = (error, stored) }
        }
        consider(peak / -zero)
        for edge in [-zero, zero - 1] {
            for trial in -9...9 {
                let width = peak / (edge + 0.1 * Float(trial))
                var products = Vector.zero, squares = Vector.zero
                for index in 0..<4 {
                    let code = codes(index, width, low: -zero * width, top: 2 * zero - 1) - zero
                    products += w[index] * code * x[index]
                    squares += w[index] * code * code
                }
                let qq = squares.sum()
                if qq > 0 { consider(products.sum() / qq) }
            }
        }
        return best.step
    }

    /// Scale and offset, as f16.
    private func stepAndLow(_ top: Float) -> (step: UInt16, low: UInt16) {
        var low = Float.infinity
        var high = -Float.infinity
        var mass = Vector.zero, sum = Vector.zero
        for index in 0..<4 {
            low = Swift.min(low, x[index].min())
            high = Swift.max(high, x[index].max())
            mass += w[index]
            sum += w[index] * x[index]
        }
        let total = mass.sum(), weighted = sum.sum()
        var best: (error: Float, step: UInt16, low: UInt16) = (.infinity, HalfPrecision.f16((high - low) / top), HalfPrecision.f16(low))
        func consider(_ step: Float, _ low: Float) {
            let stored = (HalfPrecision.f16(step), HalfPrecision.f16(low))
            let error = self.error(HalfPrecision.float(f16: stored.0), low: HalfPrecision.float(f16: stored.1), top: top)
            if error < best.error { best = (error, stored.0, stored.1) }
        }
        consider((high - low) / top, low)
        guard high > low else { return (best.step, best.low) }
        for trial in -10...10 {
            let width = (high - low) / (top + 0.1 * Float(trial))
            var codes = Vector.zero, squares = Vector.zero, products = Vector.zero
            for index in 0..<4 {
                let code = self.codes(index, width, low: low, top: top)
                codes += w[index] * code
                squares += w[index] * code * code
                products += w[index] * code * x[index]
            }
            let q = codes.sum(), qq = squares.sum(), qx = products.sum()
            let determinant = total * qq - q * q
            guard determinant > 0 else { continue }
            consider((total * qx - weighted * q) / determinant, (qq * weighted - q * qx) / determinant)
        }
        return (best.step, best.low)
    }

    /// Codes of eight values: the nearest to (value − low) / step.
    private func codes(_ index: Int, _ step: Float, low: Float, top: Float) -> Vector {
        guard step != 0 else { return Vector(repeating: 0) }
        let rounded = ((x[index] - low) * (1 / step) + 12_582_912) - 12_582_912  // 1.5 · 2^23: the sum keeps no fraction
        let positive = rounded.replacing(with: 0, where: .!(rounded .> 0))  // not-a-number too
        return positive.replacing(with: top, where: positive .> top)
    }

    private func error(_ step: Float, low: Float, top: Float) -> Float {
        var sum = Vector.zero
        for index in 0..<4 {
            let difference = codes(index, step, low: low, top: top) * step + low - x[index]
            sum += w[index] * difference * difference
        }
        return sum.sum()
    }
}
