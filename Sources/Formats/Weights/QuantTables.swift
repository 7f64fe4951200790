/// Four-bit floats: a sign bit, two bits of exponent, one of fraction.
enum E2M1 {
    /// Twice the value of a code: a whole number.
    @inline(__always)
    static func twice(_ code: UInt8) -> Float { Float(Int(codebook[Int(code & 15)]) - 12) }

    /// Twice the values, + 12.
    static let codebook: [UInt8] = [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0]
}

/// Eight signs of which seven are stored.
enum Signs {
    /// The low seven bits, and an eighth that makes the number of ones even.
    @inline(__always)
    static func even(_ bits: UInt32) -> UInt8 {
        let seven = UInt8(truncatingIfNeeded: bits & 127)
        return seven | UInt8(truncatingIfNeeded: seven.nonzeroBitCount & 1) << 7
    }
}

/// What the points of the IQ2 and IQ3 grids (``Grids``) stand for.
enum Magnitudes {
    static let two: [Float] = [8, 25, 43]
    static let threeEven: [Float] = [4, 12, 20, 28, 36, 44, 52, 62]
    static let threeOdd: [Float] = [1, 3, 5, 7, 9, 11, 13, 15]

    // The same with both signs, largest negative first, raised until nothing is negative.
    static let twoSigned = signed(two), threeEvenSigned = signed(threeEven), threeOddSigned = signed(threeOdd)

    private static func signed(_ magnitudes: [Float]) -> [UInt8] {
        let most = magnitudes.last ?? 0
        return magnitudes.reversed().map { UInt8(most - $0) } + magnitudes.map { UInt8(most + $0) }
    }
}
