/// A checked little-endian cursor over bytes that nobody vouches for: the only way to read a binary header.
///
/// Every read compares with what remains first and throws `truncated`; no read allocates more than the bytes it covers.
public struct ByteReader: Sendable {
    public let storage: Storage
    /// The file, for errors.
    public let place: String
    public private(set) var offset: Int
    /// Exclusive; never past the storage.
    public let end: Int

    public init(_ storage: Storage, place: String) {
        self.storage = storage
        self.place = place
        offset = 0
        end = unsafe storage.bytes.count
    }

    /// A cursor over a part, which is cut to what the storage has.
    public init(_ storage: Storage, place: String, range: Range<Int>) {
        self.storage = storage
        self.place = place
        end = unsafe Swift.min(Swift.max(range.upperBound, 0), storage.bytes.count)
        offset = Swift.min(Swift.max(range.lowerBound, 0), end)
    }

    public var remaining: Int { end - offset }

    /// Moves past `count` bytes and says where they lie.
    @inline(__always)
    public mutating func skip(_ count: Int, _ what: @autoclosure () -> String) throws(ModelError) -> Range<Int> {
        guard count >= 0, count <= end - offset else { throw ends(needing: count, what()) }
        let start = offset
        offset += count
        return start..<offset
    }

    @inline(__always)
    public mutating func integer<Number: FixedWidthInteger & BitwiseCopyable>(
        _ type: Number.Type, _ what: @autoclosure () -> String
    ) throws(ModelError) -> Number {
        let range = try skip(MemoryLayout<Number>.size, what())
        return unsafe Number(littleEndian: storage.bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: Number.self))
    }

    @inline(__always)
    public mutating func u32(_ what: @autoclosure () -> String) throws(ModelError) -> UInt32 { try integer(UInt32.self, what()) }
    @inline(__always)
    public mutating func u64(_ what: @autoclosure () -> String) throws(ModelError) -> UInt64 { try integer(UInt64.self, what()) }

    public mutating func f32(_ what: @autoclosure () -> String) throws(ModelError) -> Float {
        Float(bitPattern: try integer(UInt32.self, what()))
    }
    public mutating func f64(_ what: @autoclosure () -> String) throws(ModelError) -> Double {
        Double(bitPattern: try integer(UInt64.self, what()))
    }

    /// Reads a u64 that counts things of at least `bytesEach`, before anything is reserved for them.
    public mutating func count(
        of what: @autoclosure () -> String, atMost limit: Int, bytesEach: Int
    ) throws(ModelError) -> Int {
        let number = try u64("the number of \(what())")
        guard number <= UInt64(limit) else {
            throw ModelError(.outOfRange, at: place, "states \(number) \(what())", hint: "at most \(limit) are read")
        }
        let count = Int(number)
        guard count <= remaining / bytesEach else {
            throw ModelError(
                .truncated, at: place, "states \(count) \(what()) at byte \(offset - 8), where only \(remaining) bytes remain")
        }
        return count
    }

    /// A u64 length and as many bytes, none of them copied.
    @inline(__always)
    public mutating func string(_ what: @autoclosure () -> String, atMost limit: Int) throws(ModelError) -> Range<Int> {
        let length = try u64(what())
        guard length <= UInt64(limit) else { throw tooLong(length, limit, what()) }
        return try skip(Int(length), what())
    }

    /// The bytes of a range that this reader has given out.
    public func bytes(_ range: Range<Int>) -> [UInt8] {
        unsafe Array(UnsafeRawBufferPointer(rebasing: storage.bytes[range]))
    }

    /// The text of a range, or an error where it is not UTF-8.
    public func text(_ range: Range<Int>, _ what: @autoclosure () -> String) throws(ModelError) -> String {
        let bytes = bytes(range)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ModelError(.malformed, at: place, "\(what()) at byte \(range.lowerBound) is not UTF-8: \(ModelError.quoted(bytes))")
        }
        return text
    }

    @inline(never)
    private func ends(needing count: Int, _ what: String) -> ModelError {
        ModelError(.truncated, at: place, "ends inside \(what): \(count) bytes needed at byte \(offset), \(remaining) remain")
    }

    @inline(never)
    private func tooLong(_ length: UInt64, _ limit: Int, _ what: String) -> ModelError {
        ModelError(.outOfRange, at: place, "\(what) at byte \(offset - 8) is \(length) bytes long", hint: "at most \(limit)")
    }
}
