/// A tensor's name as its file spells it. Names are bytes: Swift's `String` equality would merge canonically
/// equivalent spellings that a file keeps apart.
public struct TensorName: Hashable, Sendable, Comparable, CustomStringConvertible, ExpressibleByStringLiteral {
    public let bytes: [UInt8]

    public init(_ bytes: some Sequence<UInt8>) { self.bytes = Array(bytes) }
    public init(_ text: String) { bytes = Array(text.utf8) }
    public init(stringLiteral text: String) { self.init(text) }

    public var description: String { String(decoding: bytes, as: UTF8.self) }

    public static func < (left: TensorName, right: TensorName) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}
