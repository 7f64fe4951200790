/// One model file or directory, opened and checked: what it says, and where its tensors lie.
///
/// One file format is one conformance. Opening reads headers only and checks every number in them; tensor bytes are mapped.
public protocol ModelSource: Sendable {
    /// Whether the bytes at a path are of this format: by content, never by name alone.
    static func recognises(_ path: String) -> Bool
    init(opening path: String) throws(ModelError)

    /// The path it was opened with.
    var path: String { get }
    /// A word for people: `GGUF v3`, `MLX safetensors`, `Hugging Face safetensors`.
    var formatName: String { get }
    var metadata: Metadata { get }
    /// Every tensor, by its spelling in the file.
    var records: [TensorName: StoredTensor] { get }
    /// Nil where the file has none.
    var tokenizer: TokenizerSpec? { get }
    /// The mapped files that planes point into, by file index.
    var storages: [Storage] { get }
}

extension ModelSource {
    /// One row's bytes in every plane, or whole planes where rows share bytes. `row` must be below `record.rows`.
    @unsafe public func bytes(of record: StoredTensor, row: Int) -> RowBytes {
        precondition(row >= 0 && row < record.rows)
        func part(_ plane: Int) -> UnsafeRawBufferPointer {
            guard plane < record.planes.count else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
            let place = record.planes[plane]
            if record.format.sharesBytes { return unsafe UnsafeRawBufferPointer(rebasing: storages[place.file].bytes[place.range]) }
            let length = record.columns / record.format.valuesPerBlock * record.format.bytesPerBlock[plane]
            let start = place.range.lowerBound + row * length
            return unsafe UnsafeRawBufferPointer(rebasing: storages[place.file].bytes[start..<start + length])
        }
        return unsafe RowBytes(codes: part(0), scales: part(1), offsets: part(2), row: row)
    }
}
