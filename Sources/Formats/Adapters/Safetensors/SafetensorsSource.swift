public import Weights

/// A Hugging Face or MLX model: a folder with `config.json` and `*.safetensors`.
public struct SafetensorsSource: ModelSource {
    public let path: String
    public let formatName: String
    public let metadata: Metadata
    public let records: [TensorName: StoredTensor]
    public let tokenizer: TokenizerSpec?
    public let storages: [Storage]

    public static func recognises(_ path: String) -> Bool { false }

    public init(opening path: String) throws(ModelError) {
        throw ModelError(.unsupported, at: path, "safetensors are not read")
    }
}
