import Weights

extension SplitMix {
    /// Random codes with scales that make values of the size of trained weights.
    mutating func planes(of format: any QuantFormat, rows: Int, columns: Int) -> [[UInt8]] {
        let blocks = rows * columns / format.valuesPerBlock
        switch format {
        case let dense as Dense: return [(0..<blocks).flatMap { _ in number(float(in: -0.2...0.2), dense.number) }]
        case let numbers as OtherNumbers:
            return [
                (0..<blocks).flatMap { _ in
                    numbers.kind == .f64 ? Double(float(in: -0.2...0.2)).bitPattern.littleEndianBytes : some(numbers.bytesPerBlock[0])
                }
            ]
        case let affine as Affine:
            let top = Float(1 << affine.bits)
            let steps = (0..<blocks).map { _ in float(in: -0.3 / top...0.3 / top) }
            return [
                some(blocks * affine.bytesPerBlock[0]), steps.flatMap { number($0, affine.scale) },
                steps.flatMap { number(-top / 2 * $0, affine.scale) },
            ]
        case is MLXFloat4: return [some(blocks * format.bytesPerBlock[0]), byteScales(blocks, format.packing)]
        case is MLXFloat8: return [some(blocks * 32).map { $0 & 0xBF }, (0..<blocks).map { _ in UInt8.random(in: 121...123, using: &self) }]
        case is AWQ, is GPTQ, is BlockFP8:
            let sizes = format.planeBytes(rows: rows, columns: columns) ?? []
            let isFloats = format is BlockFP8
            let top: Float = isFloats ? 2 : Float(1 << (format.bytesPerBlock[0] * 8 / format.valuesPerBlock))
            let scales = (0..<sizes[1] / (isFloats ? 4 : 2)).flatMap { _ in number(float(in: 0.02 / top...0.2 / top), isFloats ? .f32 : .f16) }
            let codes = some(sizes[0]).map { isFloats ? $0 & 0xBF : $0 }
            return [codes, scales] + (sizes.count > 2 ? [some(sizes[2])] : [])
        default: return [(0..<blocks).flatMap { _ in block(of: format) }]
        }
    }

    /// A block of one plane.
    private mutating func block(of format: any QuantFormat) -> [UInt8] {
        var bytes = some(format.bytesPerBlock[0])
        switch format {
        case is MXFP4: bytes.replaceSubrange(0..<1, with: byteScales(1, format.packing))
        case is NVFP4: bytes.replaceSubrange(0..<4, with: byteScales(4, format.packing))
        default:
            func set(_ bits: UInt16) {
                if format is IQ1_M {  // four bits in each of four words
                    for k in 0..<4 { bytes[49 + 2 * k] = bytes[49 + 2 * k] & 15 | UInt8(truncatingIfNeeded: bits >> UInt16(4 * k)) << 4 }
                }
                for place in Self.halves[format.name] ?? [] { bytes.replaceSubrange(place..<place + 2, with: bits.littleEndianBytes) }
            }
            set(Float16(1).bitPattern)
            var values = [Float](repeating: 0, count: format.valuesPerBlock)
            bytes.withUnsafeBytes { bytes in values.withUnsafeMutableBufferPointer { format.decode(RowBytes(codes: bytes), into: $0) } }
            let spread = (values.reduce(0) { $0 + $1 * $1 } / Float(values.count)).squareRoot()
            set(Float16(float(in: 0.03...0.08) / spread).bitPattern)
        }
        return bytes
    }

    /// Where half-precision numbers stand in a block.
    private static let halves: [String: [Int]] = [
        "Q1_0": [0], "Q2_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
        "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ1_S": [0], "IQ2_XXS": [0], "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0],
        "IQ3_S": [0], "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64],
    ]

    /// Of four-bit floats, whose largest is 6.
    private mutating func byteScales(_ count: Int, _ packing: Packing) -> [UInt8] {
        if case .codes(_, _, .e4m3, _, _, _, _) = packing { return (0..<count).map { _ in UInt8.random(in: 4...18, using: &self) } }
        return (0..<count).map { _ in UInt8.random(in: 120...122, using: &self) }
    }

    private mutating func some(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }

    private func number(_ value: Float, _ kind: Packing.Number) -> [UInt8] {
        switch kind {
        case .f32: value.bitPattern.littleEndianBytes
        case .f16: Float16(value).bitPattern.littleEndianBytes
        case .bf16: UInt16(value.bitPattern >> 16).littleEndianBytes
        }
    }
}
