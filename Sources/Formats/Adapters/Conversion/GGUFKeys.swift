internal import Weights

/// The keys and values of a GGUF file being written, as bytes.
struct GGUFKeys {
    private(set) var bytes: [UInt8] = []
    private(set) var count = 0

    mutating func add(_ key: String, u32 value: Int) throws(ModelError) {
        guard let number = UInt32(exactly: value) else {
            throw ModelError(.outOfRange, at: key, "is \(value), which GGUF's u32 does not hold")
        }
        begin(key, .u32)
        append(UInt64(number), 4)
    }

    mutating func add(_ key: String, i32 value: Int32) {
        begin(key, .i32)
        append(UInt64(UInt32(bitPattern: value)), 4)
    }

    mutating func add(_ key: String, f32 value: Double) {
        begin(key, .f32)
        append(UInt64(Float(value).bitPattern), 4)
    }

    mutating func add(_ key: String, bool value: Bool) {
        begin(key, .bool)
        bytes.append(value ? 1 : 0)
    }

    mutating func add(_ key: String, text value: String) {
        begin(key, .string)
        append(string: value.utf8)
    }

    mutating func add(_ key: String, texts: ByteStrings) {
        beginArray(key, .string, texts.count)
        bytes.reserveCapacity(bytes.count + texts.bytes.count + 8 * texts.count)
        for text in texts { append(string: text) }
    }

    mutating func add(_ key: String, i32s values: [Int32]) {
        beginArray(key, .i32, values.count)
        for value in values { append(UInt64(UInt32(bitPattern: value)), 4) }
    }

    mutating func add(_ key: String, f32s values: [Float]) {
        beginArray(key, .f32, values.count)
        for value in values { append(UInt64(value.bitPattern), 4) }
    }

    /// A value as another file has it: its type and its bytes.
    mutating func add(_ key: String, raw value: [UInt8]) {
        append(string: key.utf8)
        bytes += value
        count += 1
    }

    private mutating func begin(_ key: String, _ type: GGUFType) {
        append(string: key.utf8)
        append(UInt64(type.rawValue), 4)
        count += 1
    }

    private mutating func beginArray(_ key: String, _ type: GGUFType, _ elements: Int) {
        begin(key, .array)
        append(UInt64(type.rawValue), 4)
        append(UInt64(elements), 8)
    }

    private mutating func append(string: some Collection<UInt8>) {
        append(UInt64(string.count), 8)
        bytes.append(contentsOf: string)
    }

    private mutating func append(_ value: UInt64, _ width: Int) { GGUFKeys.append(value, width, to: &bytes) }

    static func append(_ value: UInt64, _ width: Int, to bytes: inout [UInt8]) {
        for index in 0..<width { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
    }

    /// The keys of an opened file, as they are.
    static func all(of storage: Storage, place: String) throws(ModelError) -> [(key: String, value: [UInt8])] {
        var reader = ByteReader(storage, place: place)
        _ = try reader.skip(16, "the header")
        let count = try reader.count(of: "keys", atMost: Limits.ggufKeys, bytesEach: 13)
        var all: [(key: String, value: [UInt8])] = []
        for _ in 0..<count {
            let key = try reader.text(reader.string("a key", atMost: Limits.ggufKeyBytes), "a key")
            let start = reader.offset
            _ = try GGUFHeader.value(&reader, key)
            all.append((key, reader.bytes(start..<reader.offset)))
        }
        return all
    }
}
