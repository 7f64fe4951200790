/// What the formats of `Quant/` share: unaligned loads, and the two nibbles of ggml's 32-blocks.
extension UnsafeRawBufferPointer {
    /// Two little-endian bytes at any alignment.
    @inline(__always)
    func u16(_ offset: Int) -> UInt16 { unsafe UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self)) }
    @inline(__always)
    func u32(_ offset: Int) -> UInt32 { unsafe UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
    @inline(__always)
    func u64(_ offset: Int) -> UInt64 { unsafe UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    /// A half-precision number as a float.
    @inline(__always)
    func f16(_ offset: Int) -> Float { unsafe HalfPrecision.float(f16: u16(offset)) }
    @inline(__always)
    func byte(_ offset: Int) -> UInt8 { unsafe loadUnaligned(fromByteOffset: offset, as: UInt8.self) }
    @inline(__always)
    func signed(_ offset: Int) -> Int8 { unsafe loadUnaligned(fromByteOffset: offset, as: Int8.self) }
}

extension QuantFormat {
    /// Bytes of a row of `columns` values in each plane; nil where the row is no whole number of blocks or too long.
    public func rowBytes(columns: Int) -> [Int]? {
        guard columns >= 0, columns % valuesPerBlock == 0 else { return nil }
        var sizes: [Int] = []
        for bytes in bytesPerBlock {
            guard let size = CheckedSize.product([columns / valuesPerBlock, bytes]) else { return nil }
            sizes.append(size)
        }
        return sizes
    }

    public var sharesBytes: Bool { false }

    public func planeBytes(rows: Int, columns: Int) -> [Int]? {
        guard rows >= 0, let sizes = rowBytes(columns: columns) else { return nil }
        let planes = sizes.compactMap { CheckedSize.product([rows, $0]) }
        return planes.count == sizes.count ? planes : nil
    }

    /// By way of floats: for dense formats whose stored numbers are others than the executed ones.
    public func unpack(_ row: RowBytes, into numbers: UnsafeMutableRawBufferPointer) {
        guard case .dense(let number) = packing else { return }
        let count = numbers.count / number.byteCount
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { values in
            unsafe decode(row, into: values)
            for index in 0..<count {
                let bits = unsafe HalfPrecision.nearest(values[index], as: number)
                if number == .f32 {
                    unsafe numbers.storeBytes(of: bits.littleEndian, toByteOffset: 4 * index, as: UInt32.self)
                } else {
                    let half = UInt16(truncatingIfNeeded: bits)
                    unsafe numbers.storeBytes(of: half.littleEndian, toByteOffset: 2 * index, as: UInt16.self)
                }
            }
        }
    }

    /// A format that quantises has no use for dense numbers, a dense one none for codes.
    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {}

    /// Whether this keeps plain numbers.
    public var isDense: Bool { if case .dense = packing { true } else { false } }

    /// Bits of file per weight.
    public var bitsPerWeight: Double { 8 * Double(bytesPerBlock.reduce(0, +)) / Double(valuesPerBlock) }
}
