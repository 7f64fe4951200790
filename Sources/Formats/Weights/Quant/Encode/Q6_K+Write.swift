extension Q6_K: WritableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 210
            for half in 0..<2 {
                let out = block * 256 + half * 128
                for l in 0..<32 {
                    let first = unsafe parts.codes[out + l], second = unsafe parts.codes[out + l + 32]
                    let third = unsafe parts.codes[out + l + 64], fourth = unsafe parts.codes[out + l + 96]
                    unsafe row.codes.put(first & 15 | third << 4, at: at + half * 64 + l)
                    unsafe row.codes.put(second & 15 | fourth << 4, at: at + half * 64 + l + 32)
                    let high = first >> 4 | (second >> 4) << 2 | (third >> 4) << 4 | (fourth >> 4) << 6
                    unsafe row.codes.put(high, at: at + 128 + half * 32 + l)
                }
            }
            for group in 0..<16 {
                unsafe row.codes.put(UInt8(truncatingIfNeeded: parts.scales[block * 16 + group]), at: at + 192 + group)
            }
            unsafe row.codes.put(parts.superScales[block], at: at + 208)
        }
    }

    /// For each group of 16 the scale with the least squared error, then the signed bytes times one f16 that come nearest.
    public func round(_ values: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>, into parts: UnpackedRow) {
        for block in 0..<values.count / 256 {
            let x = unsafe UnsafeBufferPointer(rebasing: values[block * 256..<block * 256 + 256])
            let w =
                unsafe importance.count == values.count
                ? UnsafeBufferPointer(rebasing: importance[block * 256..<block * 256 + 256])
                : UnsafeBufferPointer(start: nil, count: 0)
            let rounding = unsafe SymmetricRounding(values: x, weights: w)
            let (d, scales) = rounding.chosen()
            unsafe parts.superScales[block] = HalfPrecision.f16(d)
            for group in 0..<16 {
                unsafe parts.scales[block * 16 + group] = UInt32(bitPattern: Int32(scales[group]))
                rounding.codes(group, HalfPrecision.float(f16: HalfPrecision.f16(d)) * scales[group]) { index, code in
                    unsafe parts.codes[block * 256 + index] = UInt8(code + 32)
                }
            }
        }
    }
}

/// One block of Q6_K being rounded: 16 groups of 16 codes from −32 to 31.
@safe private struct SymmetricRounding {
    let values: UnsafeBufferPointer<Float>  // 256
    let weights: UnsafeBufferPointer<Float>  // 256, or none

    func chosen() -> (d: Float, scales: [Float]) {
        let wanted = (0..<16).map(scale)
        guard let peak = wanted.max(by: { abs($0) < abs($1) }), peak != 0 else { return (0, Array(repeating: 0, count: 16)) }
        var d = peak / -128
        var best: (d: Float, scales: [Float], error: Float) = (0, [], .infinity)
        for _ in 0..<2 {
            let stored = HalfPrecision.float(f16: HalfPrecision.f16(d))
            guard stored != 0, stored.isFinite else { break }
            var scales: [Float] = []
            var error: Float = 0
            var top: Float = 0, bottom: Float = 0  // of the fitted d
            for group in 0..<16 {
                let nearest = Code.nearest(wanted[group] / stored, from: -128, to: 127)
                var least = (error: Float.infinity, scale: nearest)
                for scale in ClosedRangeOfFloats(Swift.max(nearest - 1, -128), Swift.min(nearest + 1, 127)) {
                    var sum: Float = 0
                    codes(group, stored * scale) { index, code in
                        let difference = unsafe stored * scale * code - values[index]
                        sum += weight(index) * difference * difference
                    }
                    if sum < least.error { least = (sum, scale) }
                }
                error += least.error
                scales.append(least.scale)
                codes(group, stored * least.scale) { index, code in
                    let product = least.scale * code
                    top += unsafe weight(index) * product * values[index]
                    bottom += weight(index) * product * product
                }
            }
            guard error < best.error else { break }
            best = (d, scales, error)
            guard bottom > 0 else { break }
            d = top / bottom
        }
        return best.scales.isEmpty ? (0, Array(repeating: 0, count: 16)) : (best.d, best.scales)
    }

    private func scale(_ group: Int) -> Float {
        var peak: Float = 0
        for index in group * 16..<group * 16 + 16 {
            let value = unsafe values[index]
            if abs(value) > abs(peak) { peak = value }
        }
        guard abs(peak) > 1e-15 else { return 0 }
        var best: (gain: Float, scale: Float) = (0, 0)
        // The plain width first: where others are no better, its scale is the simplest number.
        for trial in [0] + Array(-9...9) {
            let step = -peak / (32 + 0.1 * Float(trial))
            var products: Float = 0, squares: Float = 0
            codes(group, step) { index, code in
                products += unsafe weight(index) * code * values[index]
                squares += weight(index) * code * code
            }
            if squares > 0, products * products > best.gain * squares * (1 + 1e-6) {
                best = (products * products / squares, products / squares)
            }
        }
        return best.scale
    }

    /// The codes of one group at a step.
    @inline(__always)
    func codes(_ group: Int, _ step: Float, _ body: (Int, Float) -> Void) {
        let inverse = step != 0 ? 1 / step : 0
        for index in group * 16..<group * 16 + 16 { unsafe body(index, Code.nearest(values[index] * inverse, from: -32, to: 31)) }
    }

    @inline(__always)
    private func weight(_ index: Int) -> Float { unsafe weights.isEmpty ? 1 : weights[index] }
}
