extension Affine: WritableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / group {
            unsafe put(parts.scales[block], row.scales, block)
            unsafe put(parts.offsets[block], row.offsets, block)
        }
        unsafe BitStream.pack(parts.codes, bits: bits, into: row.codes)
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

extension BitStream {
    /// The inverse of `unpack`.
    static func pack(_ codes: UnsafeMutableBufferPointer<UInt8>, bits: Int, into bytes: UnsafeMutableRawBufferPointer) {
        switch bits {
        case 8: unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(codes))
        case 4: for index in 0..<codes.count / 2 { unsafe bytes.put(codes[2 * index] | codes[2 * index + 1] << 4, at: index) }
        default:
            for eight in 0..<codes.count / 8 {
                var word: UInt64 = 0
                for k in 0..<8 { word |= unsafe UInt64(codes[eight * 8 + k]) << UInt64(bits * k) }
                for k in 0..<bits { unsafe bytes.put(UInt8(truncatingIfNeeded: word >> UInt64(8 * k)), at: eight * bits + k) }
            }
        }
    }
}
