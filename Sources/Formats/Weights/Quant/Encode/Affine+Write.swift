extension Affine: WritableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / group {
            unsafe put(parts.scales[block], row.scales, block)
            unsafe put(parts.offsets[block], row.offsets, block)
        }
        // One little-endian bit stream; 32 codes are a whole number of bytes at any width.
        var pending: UInt64 = 0
        var count: UInt64 = 0
        var place = 0
        for index in unsafe 0..<parts.codes.count {
            pending |= unsafe UInt64(parts.codes[index]) << count
            count += UInt64(bits)
            while count >= 8 {
                unsafe row.codes.put(UInt8(truncatingIfNeeded: pending), at: place)
                place += 1
                pending >>= 8
                count -= 8
            }
        }
    }

    /// As mlx rounds, bit for bit: the end of the range that lies further from zero is met exactly, and zero falls on a code.
    public func round(_ values: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>, into parts: UnpackedRow) {
        let top = Float(1 << bits - 1)
        for block in 0..<values.count / group {
            let at = block * group
            var low = Float.infinity
            var high = -Float.infinity
            for j in 0..<group {
                let value = unsafe values[at + j]
                if value < low { low = value }
                if value > high { high = value }
            }
            let lowIsEdge = abs(low) > abs(high)
            var step = Swift.max((high - low) / top, 1e-7)
            if !lowIsEdge { step = -step }
            let edge = lowIsEdge ? low : high
            let zero = (edge / step).rounded(.toNearestOrEven)
            var bias: Float = 0
            if zero != 0 {
                step = edge / zero
                bias = edge
            }
            unsafe parts.scales[block] = HalfPrecision.nearest(step, as: scale)
            unsafe parts.offsets[block] = HalfPrecision.nearest(bias, as: scale)
            for j in 0..<group {
                unsafe parts.codes[at + j] = UInt8(Code.nearest((values[at + j] - bias) / step, from: 0, to: top))
            }
        }
    }

    @inline(__always)
    private func put(_ bits: UInt32, _ bytes: UnsafeMutableRawBufferPointer, _ block: Int) {
        if scale == .f32 {
            unsafe bytes.put(bits, at: 4 * block)
        } else {
            unsafe bytes.put(UInt16(truncatingIfNeeded: bits), at: 2 * block)
        }
    }
}
