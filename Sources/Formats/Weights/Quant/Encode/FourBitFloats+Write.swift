/// Four-bit floats with scales of one byte: the same codes and bytes in ggml's arrangement and in MLX's.

extension MXFP4: PackableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / 32 {
            unsafe row.codes.put(UInt8(truncatingIfNeeded: parts.scales[block]), at: block * 17)
            unsafe Nibbles.put(parts.codes, block * 32, row.codes, block * 17 + 1)
        }
    }
}

extension NVFP4: PackableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for group in unsafe 0..<parts.codes.count / 16 {
            let at = group / 4 * 36
            unsafe row.codes.put(UInt8(truncatingIfNeeded: parts.scales[group]), at: at + group % 4)
            for j in 0..<8 {
                let low = unsafe parts.codes[group * 16 + j], high = unsafe parts.codes[group * 16 + j + 8]
                unsafe row.codes.put(low & 15 | high << 4, at: at + 4 + group % 4 * 8 + j)
            }
        }
    }
}

extension MLXFloat4: PackableFormat {
    public func pack(_ parts: UnpackedRow, into row: MutableRowBytes) {
        for block in unsafe 0..<parts.codes.count / group {
            unsafe row.scales.put(UInt8(truncatingIfNeeded: parts.scales[block]), at: block)
        }
        for index in unsafe 0..<parts.codes.count / 2 {
            unsafe row.codes.put(parts.codes[2 * index] & 15 | parts.codes[2 * index + 1] << 4, at: index)
        }
    }
}
