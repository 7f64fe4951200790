internal import Weights

/// One safetensors file being written: the header first, then the bytes of every tensor in the header's order.
///
///     | 0..8 header length, little-endian | JSON header, padded with spaces to a multiple of 8 | tensors, back to back |
struct SafetensorsWriter {
    enum DataType: String {
        case f32 = "F32"
        case f16 = "F16"
        case bf16 = "BF16"
        case u32 = "U32"

        init(_ number: Packing.Number) {
            self =
                switch number {
                case .f32: .f32
                case .f16: .f16
                case .bf16: .bf16
                }
        }

        var byteCount: Int { self == .f32 || self == .u32 ? 4 : 2 }
    }

    struct Entry {
        var name: String
        var type: DataType
        var shape: [Int]
        var byteCount: Int { shape.reduce(type.byteCount, *) }
    }

    private let file: OutputFile
    private let end: Int

    init(_ file: OutputFile, entries: [Entry]) throws(ModelError) {
        var header = JSONObject()
        header.members = [.init(key: "__metadata__", value: .object(["format": .string("mlx")]))]
        var offset = 0
        for entry in entries {
            header.members.append(
                .init(
                    key: entry.name,
                    value: .object([
                        "dtype": .string(entry.type.rawValue),
                        "shape": .array(entry.shape.map(JSONValue.int)),
                        "data_offsets": .array([.int(offset), .int(offset + entry.byteCount)]),
                    ])))
            offset += entry.byteCount
        }
        var text: [UInt8] = []
        JSONValue.object(header).write(to: &text)
        text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - text.count % 8) % 8))
        self.file = file
        end = 8 + text.count + offset
        try file.append((0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) })
        try file.append(text)
    }

    /// The next bytes of the tensor section.
    func append(_ bytes: some Collection<UInt8>) throws(ModelError) { try file.append(bytes) }
    func append(_ bytes: UnsafeRawBufferPointer) throws(ModelError) { try unsafe file.append(bytes) }

    func finish() throws(ModelError) {
        precondition(file.count == end, "as many bytes as the header says")
        try file.finish()
    }
}
