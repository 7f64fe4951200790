/// ggml's 32-blocks written as its reference quantiser writes them, bit for bit; where some values matter more, with a search.

extension Q4_0: WritableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / 32 {
            let at = block * 18
            unsafe row.codes.put(UInt16(truncatingIfNeeded: parts.scales[block]), at: at)
            unsafe Nibbles.put(parts.codes, block * 32, row.codes, at + 2)
        }
    }

    public func round(_ values: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>, into parts: UnpackedRow) {
        if importance.count == values.count {
            unsafe WeightedRounding.symmetric(values, importance, zero: 8, into: parts)
        } else {
            unsafe BlockRounding.symmetric(values, zero: 8, into: parts)
        }
    }
}

extension Q4_1: WritableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / 32 {
            let at = block * 20
            unsafe row.codes.put(UInt16(truncatingIfNeeded: parts.scales[block]), at: at)
            unsafe row.codes.put(UInt16(truncatingIfNeeded: parts.offsets[block]), at: at + 2)
            unsafe Nibbles.put(parts.codes, block * 32, row.codes, at + 4)
        }
    }

    public func round(_ values: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>, into parts: UnpackedRow) {
        if importance.count == values.count {
            unsafe WeightedRounding.withMinimum(values, importance, top: 15, into: parts)
        } else {
            unsafe BlockRounding.withMinimum(values, top: 15, into: parts)
        }
    }
}

extension Q5_0: WritableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / 32 {
            let at = block * 22
            unsafe row.codes.put(UInt16(truncatingIfNeeded: parts.scales[block]), at: at)
            unsafe row.codes.put(Nibbles.fifthBits(parts.codes, block * 32), at: at + 2)
            unsafe Nibbles.put(parts.codes, block * 32, row.codes, at + 6)
        }
    }

    public func round(_ values: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>, into parts: UnpackedRow) {
        if importance.count == values.count {
            unsafe WeightedRounding.symmetric(values, importance, zero: 16, into: parts)
        } else {
            unsafe BlockRounding.symmetric(values, zero: 16, into: parts)
        }
    }
}

extension Q5_1: WritableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / 32 {
            let at = block * 24
            unsafe row.codes.put(UInt16(truncatingIfNeeded: parts.scales[block]), at: at)
            unsafe row.codes.put(UInt16(truncatingIfNeeded: parts.offsets[block]), at: at + 2)
            unsafe row.codes.put(Nibbles.fifthBits(parts.codes, block * 32), at: at + 4)
            unsafe Nibbles.put(parts.codes, block * 32, row.codes, at + 8)
        }
    }

    public func round(_ values: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>, into parts: UnpackedRow) {
        if importance.count == values.count {
            unsafe WeightedRounding.withMinimum(values, importance, top: 31, into: parts)
        } else {
            unsafe BlockRounding.withMinimum(values, top: 31, into: parts)
        }
    }
}

extension Q8_0: WritableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / 32 {
            let at = block * 34
            unsafe row.codes.put(UInt16(truncatingIfNeeded: parts.scales[block]), at: at)
            for j in 0..<32 { unsafe row.codes.put(parts.codes[block * 32 + j] ^ 0x80, at: at + 2 + j) }
        }
    }

    public func round(_ values: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>, into parts: UnpackedRow) {
        for block in 0..<values.count / 32 {
            let at = block * 32
            var largest: Float = 0
            for j in 0..<32 {
                let size = unsafe abs(values[at + j])
                if size > largest { largest = size }
            }
            let step = largest / 127
            let inverse = step != 0 ? 1 / step : 0
            unsafe parts.scales[block] = UInt32(HalfPrecision.f16(step))
            for j in 0..<32 {
                // Halves go away from zero here.
                let scaled = unsafe (values[at + j] * inverse).rounded(.toNearestOrAwayFromZero)
                unsafe parts.codes[at + j] = UInt8(truncatingIfNeeded: (scaled >= -128 ? Int(scaled < 127 ? scaled : 127) : -128) + 128)
            }
        }
    }
}

enum Nibbles {
    /// 32 codes as 16 bytes: byte j holds the low four bits of codes j and j + 16.
    @inline(__always)
    static func put(_ codes: UnsafeMutableBufferPointer<UInt8>, _ at: Int, _ bytes: UnsafeMutableRawBufferPointer, _ offset: Int) {
        for j in 0..<16 { unsafe bytes.put(codes[at + j] & 15 | codes[at + j + 16] << 4, at: offset + j) }
    }

    /// Bit j is bit 4 of code j.
    @inline(__always)
    static func fifthBits(_ codes: UnsafeMutableBufferPointer<UInt8>, _ at: Int) -> UInt32 {
        var bits: UInt32 = 0
        for j in 0..<32 { bits |= unsafe UInt32(codes[at + j] >> 4 & 1) << UInt32(j) }
        return bits
    }
}

/// The reference's rounding of a 32-block, its order of operations in f32 included.
enum BlockRounding {
    /// The value of largest magnitude becomes code 0: value ≈ scale · (code − zero).
    static func symmetric(_ values: UnsafeBufferPointer<Float>, zero: Float, into parts: UnpackedRow) {
        for block in 0..<values.count / 32 {
            let at = block * 32
            var size: Float = 0
            var peak: Float = 0
            for j in 0..<32 {
                let value = unsafe values[at + j]
                if size < abs(value) {
                    size = abs(value)
                    peak = value
                }
            }
            let step = peak / -zero
            let inverse = step != 0 ? 1 / step : 0
            unsafe parts.scales[block] = UInt32(HalfPrecision.f16(step))
            for j in 0..<32 {
                let scaled = unsafe values[at + j] * inverse
                unsafe parts.codes[at + j] = Code.truncated(scaled + (zero + 0.5), atMost: 2 * zero - 1)
            }
        }
    }

    /// The smallest value becomes the offset: value ≈ scale · code + offset.
    static func withMinimum(_ values: UnsafeBufferPointer<Float>, top: Float, into parts: UnpackedRow) {
        for block in 0..<values.count / 32 {
            let at = block * 32
            var low = Float.greatestFiniteMagnitude
            var high = -Float.greatestFiniteMagnitude
            for j in 0..<32 {
                let value = unsafe values[at + j]
                if value < low { low = value }
                if value > high { high = value }
            }
            let step = (high - low) / top
            let inverse = step != 0 ? 1 / step : 0
            unsafe parts.scales[block] = UInt32(HalfPrecision.f16(step))
            unsafe parts.offsets[block] = UInt32(HalfPrecision.f16(low))
            for j in 0..<32 {
                let scaled = unsafe (values[at + j] - low) * inverse
                unsafe parts.codes[at + j] = Code.truncated(scaled + 0.5, atMost: top)
            }
        }
    }
}
