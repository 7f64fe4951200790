internal import Weights

/// GGUF's number for the type of a value.
enum GGUFType: UInt32 {
    case u8, i8, u16, i16, u32, i32, f32, bool, string, array, u64, i64, f64

    /// Of one element; for strings and arrays the least that one can take.
    var byteCount: Int {
        switch self {
        case .u8, .i8, .bool: 1
        case .u16, .i16: 2
        case .u32, .i32, .f32: 4
        case .u64, .i64, .f64, .string: 8
        case .array: 12
        }
    }
}

extension GGUFHeader {
    static func value(_ reader: inout ByteReader, _ key: String) throws(ModelError) -> Value {
        let type = try self.type(&reader, key)
        return type == .array ? .array(try array(&reader, key, depth: 1)) : .single(try single(type, &reader, key))
    }

    private static func type(_ reader: inout ByteReader, _ key: String) throws(ModelError) -> GGUFType {
        let number = try reader.u32("the type of \(ModelError.quoted(key))")
        guard let type = GGUFType(rawValue: number) else {
            throw ModelError(.malformed, at: reader.place, "\(ModelError.quoted(key)) has the unknown value type \(number)")
        }
        return type
    }

    private static func single(_ type: GGUFType, _ reader: inout ByteReader, _ key: String) throws(ModelError) -> Metadata.Value {
        switch type {
        case .string:
            let range = try reader.string(key, atMost: Limits.ggufStringBytes)
            return .text(try reader.text(range, key))
        case .bool: return .bool(try bool(&reader, key))
        case .f32: return .float(Double(try reader.f32(key)))
        case .f64: return .float(try reader.f64(key))
        default:
            if let number = try whole(type, &reader, key) { return .int(number) }
            return .float(Double(try reader.u64(key)))
        }
    }

    /// Nil for a u64 beyond 63 bits, which then stays unread.
    private static func whole(_ type: GGUFType, _ reader: inout ByteReader, _ key: String) throws(ModelError) -> Int? {
        switch type {
        case .u8: return Int(try reader.integer(UInt8.self, key))
        case .i8: return Int(try reader.integer(Int8.self, key))
        case .u16: return Int(try reader.integer(UInt16.self, key))
        case .i16: return Int(try reader.integer(Int16.self, key))
        case .u32: return Int(try reader.u32(key))
        case .i32: return Int(try reader.integer(Int32.self, key))
        case .i64: return Int(try reader.integer(Int64.self, key))
        default:
            var ahead = reader
            guard let value = Int(exactly: try ahead.u64(key)) else { return nil }
            reader = ahead
            return value
        }
    }

    private static func bool(_ reader: inout ByteReader, _ key: String) throws(ModelError) -> Bool {
        switch try reader.integer(UInt8.self, key) {
        case 0: return false
        case 1: return true
        case let byte: throw ModelError(.malformed, at: reader.place, "\(ModelError.quoted(key)) is a bool of value \(byte)")
        }
    }

    /// Passes an array and notes where its elements lie.
    private static func array(_ reader: inout ByteReader, _ key: String, depth: Int) throws(ModelError) -> List {
        guard depth <= Limits.ggufArrayNesting else {
            throw ModelError(
                .outOfRange, at: reader.place, "\(ModelError.quoted(key)) has arrays nested more than \(Limits.ggufArrayNesting) deep")
        }
        let type = try self.type(&reader, key)
        let count = try reader.count(
            of: "elements of \(ModelError.quoted(key))", atMost: Limits.ggufArrayElements, bytesEach: type.byteCount)
        let start = reader.offset
        switch type {
        case .string:
            for _ in 0..<count { _ = try reader.string(key, atMost: Limits.ggufStringBytes) }
        case .array:
            for _ in 0..<count { _ = try array(&reader, key, depth: depth + 1) }
        default:
            _ = try reader.skip(count * type.byteCount, key)  // both factors are bounded
        }
        return List(type: type, count: count, range: start..<reader.offset)
    }

    // MARK: reading

    func text(_ key: String) throws(ModelError) -> String? {
        guard let value = values[key] else { return nil }
        guard case .single(.text(let text)) = value else { throw mistyped(key, "text") }
        return text
    }

    func int(_ key: String) throws(ModelError) -> Int? {
        guard let value = values[key] else { return nil }
        guard case .single(.int(let number)) = value else { throw mistyped(key, "a whole number") }
        return number
    }

    func bool(_ key: String) throws(ModelError) -> Bool? {
        guard let value = values[key] else { return nil }
        guard case .single(.bool(let flag)) = value else { throw mistyped(key, "a bool") }
        return flag
    }

    func array(_ key: String, of type: GGUFType, _ what: String) throws(ModelError) -> List? {
        guard let value = values[key] else { return nil }
        guard case .array(let array) = value, array.type == type else { throw mistyped(key, what) }
        return array
    }

    func strings(_ key: String) throws(ModelError) -> ByteStrings? {
        guard let array = try array(key, of: .string, "a list of texts") else { return nil }
        var reader = ByteReader(storage, place: place, range: array.range)
        var strings = ByteStrings()
        strings.reserve(strings: array.count, bytes: array.range.count - 8 * array.count)
        for _ in 0..<array.count {
            let range = try reader.string(key, atMost: Limits.ggufStringBytes)
            unsafe strings.append(bytes: UnsafeRawBufferPointer(rebasing: storage.bytes[range]))
        }
        return strings
    }

    func floats(_ key: String) throws(ModelError) -> [Float]? {
        guard let array = try array(key, of: .f32, "a list of f32") else { return nil }
        var reader = ByteReader(storage, place: place, range: array.range)
        var numbers: [Float] = []
        numbers.reserveCapacity(array.count)
        for _ in 0..<array.count { numbers.append(try reader.f32(key)) }
        return numbers
    }

    func mistyped(_ key: String, _ wanted: String) -> ModelError {
        ModelError(.malformed, at: place, "\(ModelError.quoted(key)) is not \(wanted)")
    }

    /// The header's keys as metadata: all but the tokenizer's and very long lists.
    func metadata() throws(ModelError) -> Metadata {
        guard let architecture = try text("general.architecture") else {
            throw ModelError(.missing, at: place, "has no general.architecture")
        }
        var table: [String: Metadata.Value] = [:]
        for (key, value) in values {
            switch value {
            case .single(let value): table[key] = value
            case .array(let array):
                guard !key.hasPrefix("tokenizer."), array.count <= 65_536 else { continue }
                table[key] = try elements(of: array, key)
            }
        }
        return Metadata(dialect: .gguf, place: place, architecture: architecture, values: table)
    }

    private func elements(of array: List, _ key: String) throws(ModelError) -> Metadata.Value? {
        var reader = ByteReader(storage, place: place, range: array.range)
        switch array.type {
        case .array: return nil
        case .string:
            var texts: [String] = []
            for _ in 0..<array.count {
                texts.append(try reader.text(reader.string(key, atMost: Limits.ggufStringBytes), key))
            }
            return .texts(texts)
        case .bool:
            var flags: [Bool] = []
            for _ in 0..<array.count { flags.append(try Self.bool(&reader, key)) }
            return .bools(flags)
        case .f32, .f64:
            var numbers: [Double] = []
            for _ in 0..<array.count { numbers.append(array.type == .f32 ? Double(try reader.f32(key)) : try reader.f64(key)) }
            return .floats(numbers)
        default:
            var numbers: [Int] = []
            for _ in 0..<array.count {
                guard let number = try Self.whole(array.type, &reader, key) else { return nil }
                numbers.append(number)
            }
            return .ints(numbers)
        }
    }
}
