/// ggml's 256-blocks with six-bit scales and minima.

extension Q4_K: WritableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 144, out = block * 256
            unsafe row.codes.put(parts.superScales[block], at: at)
            unsafe row.codes.put(parts.superOffsets[block], at: at + 2)
            unsafe SixBitPairs.put(parts, block, row.codes, at + 4)
            for half in 0..<4 {
                for j in 0..<32 {
                    let low = unsafe parts.codes[out + half * 64 + j], high = unsafe parts.codes[out + half * 64 + 32 + j]
                    unsafe row.codes.put(low & 15 | high << 4, at: at + 16 + half * 32 + j)
                }
            }
        }
    }

    public func round(_ values: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>, into parts: UnpackedRow) {
        var rounding = TwoLevelRounding(top: 15)
        unsafe rounding.round(values, importance, into: parts)
    }
}

extension Q5_K: WritableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * 176, out = block * 256
            unsafe row.codes.put(parts.superScales[block], at: at)
            unsafe row.codes.put(parts.superOffsets[block], at: at + 2)
            unsafe SixBitPairs.put(parts, block, row.codes, at + 4)
            for j in 0..<32 {
                var fifth: UInt8 = 0
                for half in 0..<4 {
                    let low = unsafe parts.codes[out + half * 64 + j], high = unsafe parts.codes[out + half * 64 + 32 + j]
                    unsafe row.codes.put(low & 15 | high << 4, at: at + 48 + half * 32 + j)
                    fifth |= (low >> 4 & 1) << UInt8(2 * half) | (high >> 4 & 1) << UInt8(2 * half + 1)
                }
                unsafe row.codes.put(fifth, at: at + 16 + j)
            }
        }
    }

    public func round(_ values: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>, into parts: UnpackedRow) {
        var rounding = TwoLevelRounding(top: 31)
        unsafe rounding.round(values, importance, into: parts)
    }
}

extension SixBitPairs {
    /// The inverse of `pair`, for all eight groups of a block.
    static func put(_ parts: UnpackedRow, _ block: Int, _ bytes: UnsafeMutableRawBufferPointer, _ at: Int) {
        for group in 0..<4 {
            let scale = unsafe UInt8(truncatingIfNeeded: parts.scales[block * 8 + group]) & 63
            let minimum = unsafe UInt8(truncatingIfNeeded: parts.offsets[block * 8 + group]) & 63
            let upperScale = unsafe UInt8(truncatingIfNeeded: parts.scales[block * 8 + group + 4]) & 63
            let upperMinimum = unsafe UInt8(truncatingIfNeeded: parts.offsets[block * 8 + group + 4]) & 63
            unsafe bytes.put(scale | (upperScale >> 4) << 6, at: at + group)
            unsafe bytes.put(minimum | (upperMinimum >> 4) << 6, at: at + group + 4)
            unsafe bytes.put(upperScale & 15 | upperMinimum << 4, at: at + group + 8)
        }
    }
}
