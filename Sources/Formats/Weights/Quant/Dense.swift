/// Plain numbers, one after the other.
///
///     | 0..4 f32 |   | 0..2 f16 |   | 0..2 bf16: the upper half of an f32 |
public struct Dense: QuantFormat, Equatable {
    public let number: Packing.Number
    public init(_ number: Packing.Number) { self.number = number }

    public static let all: [any QuantFormat] = [Dense(.f32), Dense(.f16), Dense(.bf16)]

    public var name: String {
        switch number {
        case .f32: "F32"
        case .f16: "F16"
        case .bf16: "BF16"
        }
    }
    public var ggufType: UInt32? {
        switch number {
        case .f32: 0
        case .f16: 1
        case .bf16: 30
        }
    }
    public var valuesPerBlock: Int { 1 }
    public var bytesPerBlock: [Int] { [number.byteCount] }
    public var packing: Packing { .dense(number) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let bytes = unsafe row.codes
        switch number {
        case .f32: for index in 0..<values.count { unsafe values[index] = Float(bitPattern: bytes.u32(4 * index)) }
        case .f16: for index in 0..<values.count { unsafe values[index] = bytes.f16(2 * index) }
        case .bf16: for index in 0..<values.count { unsafe values[index] = HalfPrecision.float(bf16: bytes.u16(2 * index)) }
        }
    }

    /// As they are.
    public func unpack(_ row: RowBytes, into numbers: UnsafeMutableRawBufferPointer) {
        unsafe numbers.copyMemory(from: row.codes)
    }
}

extension Packing.Number {
    public var byteCount: Int { self == .f32 ? 4 : 2 }
}
