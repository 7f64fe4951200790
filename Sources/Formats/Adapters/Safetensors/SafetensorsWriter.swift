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
        case u8 = "U8"

        init(_ number: Packing.Number) {
            self =
                switch number {
                case .f32: .f32
                case .f16: .f16
                case .bf16: .bf16
                }
        }

        var byteCount: Int {
            switch self {
            case .f32, .u32: 4
            case .f16, .bf16: 2
            case .u8: 1
            }
        }
    }

    struct Entry {
        var name: String
        var type: DataType
        var shape: [Int]
        var byteCount: Int { shape.reduce(type.byteCount, *) }
    }

    private let file: OutputFile
    private let end: Int

    /// - Parameter format: whose reader it is for: `mlx`, or `pt` for transformers.
    init(_ file: OutputFile, entries: [Entry], format: String) throws(ModelError) {
        var header = JSONObject()
        header.members = [.init(key: "__metadata__", value: .object(["format": .string(format)]))]
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

    /// All tensors have been appended to the file.
    func finish() throws(ModelError) {
        precondition(file.count == end, "as many bytes as the header says")
        try file.finish()
    }
}
