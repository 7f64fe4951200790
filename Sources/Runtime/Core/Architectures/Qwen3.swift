internal import Weights

extension Architecture {
    /// Qwen 3: a llama that normalises each head's queries and keys.
    public static let qwen3 = Architecture(
        name: "qwen3",
        ggufNames: ["qwen3"],
        huggingFaceNames: ["qwen3"],
        queryKeyNorm: .perHead,
        windows: .whereEnabled,
        layout: .decoder(adding: CheckpointLayout.queryKeyNorms))
}
