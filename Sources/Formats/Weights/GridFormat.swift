/// Blocks of 256 values, each ± step · magnitude: magnitudes come several at a time from a grid of points, signs lie apart,
/// and a small scale per group refines the block's `d`. Where each field lies is what the formats differ in.
///
/// `at` is where a block begins; `eight` numbers its runs of eight values.
protocol GridFormat: QuantFormat {
    var grid: [UInt16] { get }
    var magnitudes: [Float] { get }
    /// Values that share one small scale: 16 or 32.
    var group: Int { get }
    /// What a magnitude is multiplied with, in the reference's order of operations.
    func step(_ d: Float, _ scale: UInt8) -> Float
    func scale(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ group: Int) -> UInt8
    /// Bit j set: value j of eight is negative.
    func signs(_ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int) -> UInt8
    /// Which magnitude value j of eight has.
    func point(_ grid: [UInt16], _ bytes: UnsafeRawBufferPointer, _ at: Int, _ eight: Int, _ j: Int) -> Int
}

extension GridFormat {
    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let (grid, magnitudes, size) = (grid, magnitudes, bytesPerBlock[0])
        for block in 0..<values.count / 256 {
            let at = block * size
            let d = unsafe row.codes.f16(at)
            for eight in 0..<32 {
                let step = unsafe step(d, scale(row.codes, at, eight * 8 / group))
                let signs = unsafe signs(row.codes, at, eight)
                for j in 0..<8 {
                    let value = unsafe step * magnitudes[point(grid, row.codes, at, eight, j)]
                    unsafe values[block * 256 + eight * 8 + j] = signs >> UInt8(j) & 1 == 0 ? value : -value
                }
            }
        }
    }

    /// Codes number the magnitudes with both signs, largest negative first; scales are twice the stored ones and one.
    public func unpack(_ row: RowBytes, into parts: UnpackedRow) {
        let (grid, size) = (grid, bytesPerBlock[0])
        let zero = UInt8(magnitudes.count)  // the code of the smallest positive one
        let groups = 256 / group
        for block in unsafe 0..<parts.codes.count / 256 {
            let at = block * size
            unsafe parts.superScales[block] = row.codes.u16(at)
            for group in 0..<groups {
                unsafe parts.scales[block * groups + group] = UInt32(2 * scale(row.codes, at, group) + 1)
            }
            for eight in 0..<32 {
                let signs = unsafe signs(row.codes, at, eight)
                for j in 0..<8 {
                    let magnitude = unsafe UInt8(point(grid, row.codes, at, eight, j))
                    unsafe parts.codes[block * 256 + eight * 8 + j] = signs >> UInt8(j) & 1 == 0 ? zero + magnitude : zero - 1 - magnitude
                }
            }
        }
    }
}
