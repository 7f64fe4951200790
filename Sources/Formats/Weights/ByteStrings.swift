/// Many short byte strings in one block of memory, addressed by index: the pieces of a vocabulary, its merges.
public struct ByteStrings: Sendable, Equatable, RandomAccessCollection {
    public private(set) var bytes: [UInt8] = []
    private var ends: [Int] = []

    public init() {}
    public init(_ strings: some Sequence<String>) { for string in strings { append(string.utf8) } }

    public var startIndex: Int { 0 }
    public var endIndex: Int { ends.count }

    public subscript(index: Int) -> ArraySlice<UInt8> {
        bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]]
    }

    public mutating func append(_ string: some Sequence<UInt8>) {
        bytes.append(contentsOf: string)
        ends.append(bytes.count)
    }

    /// The same without generics: for vocabularies of a quarter million pieces.
    @unsafe public mutating func append(bytes string: UnsafeRawBufferPointer) {
        unsafe bytes.append(contentsOf: string)
        ends.append(bytes.count)
    }

    /// Appends one string that `body` writes at the end of the bytes it is given; nothing when it throws.
    mutating func append<Failure: Error>(writing body: (inout [UInt8]) throws(Failure) -> Void) throws(Failure) {
        let start = bytes.count
        do { try body(&bytes) } catch {
            bytes.removeSubrange(start...)
            throw error
        }
        ends.append(bytes.count)
    }

    public mutating func reserve(strings: Int, bytes count: Int) {
        ends.reserveCapacity(strings)
        bytes.reserveCapacity(count)
    }
}
