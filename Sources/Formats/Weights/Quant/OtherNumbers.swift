/// Plain numbers that no kernel computes with: F64 and whole ones. They are executed as the nearest f32.
///
///     | 0..8 f64 |   | 0..1 i8 |   | 0..2 i16 |   | 0..4 i32 |   | 0..8 i64 |
public struct OtherNumbers: QuantFormat, Equatable {
    public enum Kind: String, Sendable, CaseIterable {
        case f64 = "F64", i8 = "I8", i16 = "I16", i32 = "I32", i64 = "I64"
    }
    public let kind: Kind
    public init(_ kind: Kind) { self.kind = kind }

    public static let all: [any QuantFormat] = Kind.allCases.map { OtherNumbers($0) }

    public var name: String { kind.rawValue }
    public var ggufType: UInt32? {
        switch kind {
        case .i8: 24
        case .i16: 25
        case .i32: 26
        case .i64: 27
        case .f64: 28
        }
    }
    public var valuesPerBlock: Int { 1 }
    public var bytesPerBlock: [Int] {
        switch kind {
        case .i8: [1]
        case .i16: [2]
        case .i32: [4]
        case .f64, .i64: [8]
        }
    }
    public var packing: Packing { .dense(.f32) }

    public func decode(_ row: RowBytes, into values: UnsafeMutableBufferPointer<Float>) {
        let bytes = unsafe row.codes
        for index in 0..<values.count {
            switch kind {
            case .f64: unsafe values[index] = Float(Double(bitPattern: bytes.u64(8 * index)))
            case .i8: unsafe values[index] = Float(bytes.signed(index))
            case .i16: unsafe values[index] = Float(Int16(bitPattern: bytes.u16(2 * index)))
            case .i32: unsafe values[index] = Float(Int32(bitPattern: bytes.u32(4 * index)))
            case .i64: unsafe values[index] = Float(Int64(bitPattern: bytes.u64(8 * index)))
            }
        }
    }
}
