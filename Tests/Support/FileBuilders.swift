/// Little-endian bytes, put together piece by piece.
public struct ByteBuilder: Sendable {
    public var bytes: [UInt8] = []
    public init() {}

    public mutating func u8(_ value: UInt8) { bytes.append(value) }
    public mutating func u16(_ value: UInt16) { integer(value) }
    public mutating func u32(_ value: UInt32) { integer(value) }
    public mutating func u64(_ value: UInt64) { integer(value) }
    public mutating func f32(_ value: Float) { integer(value.bitPattern) }
    public mutating func string(_ text: String) { string(Array(text.utf8)) }
    /// As GGUF has it: a u64 length, the bytes.
    public mutating func string(_ text: [UInt8]) {
        u64(UInt64(text.count))
        bytes += text
    }
    public mutating func pad(to alignment: Int) { while bytes.count % alignment != 0 { bytes.append(0) } }

    private mutating func integer<Number: FixedWidthInteger>(_ value: Number) {
        var value = value.littleEndian
        withUnsafeBytes(of: &value) { bytes.append(contentsOf: $0) }
    }
}

/// A GGUF file in code. Every field can be wrong on purpose.
public struct GGUFBuilder: Sendable {
    public enum Value: Sendable {
        case u8(UInt8)
        case u16(UInt16)
        case u32(UInt32)
        case i32(Int32)
        case u64(UInt64)
        case f32(Float)
        case bool(UInt8)
        case text(String)
        case texts([String])
        case floats([Float])
        case ints([Int32])
        /// A type number and the bytes after it.
        case raw(UInt32, [UInt8])
    }

    public struct Tensor: Sendable {
        public var name: String
        public var dimensions: [UInt64]  // innermost first, as in the file
        public var type: UInt32
        public var data: [UInt8]
        public var offset: UInt64?  // where it should lie otherwise
        public var rank: UInt32?

        public init(_ name: String, _ dimensions: [UInt64], type: UInt32 = 0, data: [UInt8], offset: UInt64? = nil, rank: UInt32? = nil) {
            self.name = name
            self.dimensions = dimensions
            self.type = type
            self.data = data
            self.offset = offset
            self.rank = rank
        }
    }

    public var magic: [UInt8] = Array("GGUF".utf8)
    public var version: UInt32 = 3
    public var tensorCount: UInt64?
    public var keyCount: UInt64?
    public var alignment = 32
    public var values: [(key: String, value: Value)] = [("general.architecture", .text("llama"))]
    public var tensors: [Tensor] = []

    public init() {}

    /// An f32 tensor of zeros.
    public mutating func add(_ name: String, _ dimensions: UInt64...) {
        tensors.append(Tensor(name, dimensions, data: [UInt8](repeating: 0, count: Int(dimensions.reduce(4, *)))))
    }

    public func bytes() -> [UInt8] {
        var file = ByteBuilder()
        file.bytes += magic
        file.u32(version)
        file.u64(tensorCount ?? UInt64(tensors.count))
        file.u64(keyCount ?? UInt64(values.count))
        for (key, value) in values {
            file.string(key)
            Self.write(value, to: &file)
        }
        var offset = 0
        var data: [UInt8] = []
        for tensor in tensors {
            file.string(tensor.name)
            file.u32(tensor.rank ?? UInt32(tensor.dimensions.count))
            for dimension in tensor.dimensions { file.u64(dimension) }
            file.u32(tensor.type)
            file.u64(tensor.offset ?? UInt64(offset))
            data += tensor.data
            while data.count % alignment != 0 { data.append(0) }
            offset = data.count
        }
        if !tensors.isEmpty { file.pad(to: alignment) }
        return file.bytes + data
    }

    private static func write(_ value: Value, to file: inout ByteBuilder) {
        func array(_ type: UInt32, _ count: Int) {
            file.u32(9)
            file.u32(type)
            file.u64(UInt64(count))
        }
        switch value {
        case .u8(let number):
            file.u32(0)
            file.u8(number)
        case .u16(let number):
            file.u32(2)
            file.u16(number)
        case .u32(let number):
            file.u32(4)
            file.u32(number)
        case .i32(let number):
            file.u32(5)
            file.u32(UInt32(bitPattern: number))
        case .f32(let number):
            file.u32(6)
            file.f32(number)
        case .bool(let byte):
            file.u32(7)
            file.u8(byte)
        case .text(let text):
            file.u32(8)
            file.string(text)
        case .u64(let number):
            file.u32(10)
            file.u64(number)
        case .texts(let texts):
            array(8, texts.count)
            for text in texts { file.string(text) }
        case .floats(let numbers):
            array(6, numbers.count)
            for number in numbers { file.f32(number) }
        case .ints(let numbers):
            array(5, numbers.count)
            for number in numbers { file.u32(UInt32(bitPattern: number)) }
        case .raw(let type, let bytes):
            file.u32(type)
            file.bytes += bytes
        }
    }
}

/// A safetensors file in code, laid out back to back as MLX does.
public struct SafetensorsBuilder: Sendable {
    public var entries: [(name: String, type: String, shape: [Int], data: [UInt8])] = []
    public var metadata: String? = nil

    public init() {}

    public mutating func add(_ name: String, _ type: String, _ shape: [Int], _ data: [UInt8]) {
        entries.append((name, type, shape, data))
    }

    /// The header that describes the entries.
    public var header: String {
        var parts = metadata.map { ["\"__metadata__\":\($0)"] } ?? []
        var offset = 0
        for entry in entries {
            parts.append(
                "\"\(entry.name)\":{\"dtype\":\"\(entry.type)\",\"shape\":\(entry.shape),\"data_offsets\":[\(offset),\(offset + entry.data.count)]}"
            )
            offset += entry.data.count
        }
        return "{" + parts.joined(separator: ",") + "}"
    }

    public func bytes(header: String? = nil) -> [UInt8] {
        let header = Array((header ?? self.header).utf8)
        var file = ByteBuilder()
        file.u64(UInt64(header.count))
        return file.bytes + header + entries.flatMap(\.data)
    }
}
