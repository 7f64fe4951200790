internal import Weights

/// One GGUF file being written: keys, tensor records, then the bytes of every tensor in their order.
///
///     | "GGUF" | version u32 | tensors u64 | keys u64 | keys and values | tensor records | padding | tensors, each padded |
struct GGUFWriter {
    struct Entry {
        var name: String
        var shape: [Int]  // outermost first
        var type: UInt32
        var byteCount: Int
    }

    static let alignment = 32
    /// What the conversion did, known only at the end: room is kept for it, filled with spaces.
    private static let reportKey = "lmx.conversion", reportBytes = 1024

    private let file: OutputFile
    private let reportOffset: Int

    init(_ file: OutputFile, keys given: GGUFKeys, entries: [Entry]) throws(ModelError) {
        var keys = given
        keys.add(Self.reportKey, text: String(repeating: " ", count: Self.reportBytes))
        var header = Array("GGUF".utf8)
        GGUFKeys.append(3, 4, to: &header)
        GGUFKeys.append(UInt64(entries.count), 8, to: &header)
        GGUFKeys.append(UInt64(keys.count), 8, to: &header)
        reportOffset = header.count + keys.bytes.count - Self.reportBytes
        var records: [UInt8] = []
        var offset = 0
        for entry in entries {
            guard (1...64).contains(entry.name.utf8.count), Limits.ggufRank.contains(entry.shape.count) else {
                throw ModelError(
                    .unsupported, at: entry.name, "has \(entry.shape.count) dimensions and a name of \(entry.name.utf8.count) bytes",
                    hint: "GGUF has up to 4 and 64")
            }
            GGUFKeys.append(UInt64(entry.name.utf8.count), 8, to: &records)
            records += Array(entry.name.utf8)
            GGUFKeys.append(UInt64(entry.shape.count), 4, to: &records)
            for size in entry.shape.reversed() { GGUFKeys.append(UInt64(size), 8, to: &records) }
            GGUFKeys.append(UInt64(entry.type), 4, to: &records)
            GGUFKeys.append(UInt64(offset), 8, to: &records)
            offset += (entry.byteCount + Self.alignment - 1) / Self.alignment * Self.alignment
        }
        self.file = file
        try file.append(header)
        try file.append(keys.bytes)
        try file.append(records)
        try file.pad(to: Self.alignment)
    }

    /// Ends a tensor whose bytes have been appended to the file.
    func finishTensor() throws(ModelError) { try file.pad(to: Self.alignment) }

    func finish(report: JSONObject) throws(ModelError) {
        var text = Array(JSONValue.object(report).serialized().utf8)
        if text.count > Self.reportBytes { text = [] }
        text += repeatElement(UInt8(ascii: " "), count: Self.reportBytes - text.count)
        try file.replace(at: reportOffset, with: text)
        try file.finish()
    }
}
