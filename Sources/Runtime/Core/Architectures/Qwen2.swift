internal import Weights

extension Architecture {
    /// Qwen 2 and 2.5: a llama with biases on query, key and value (found by their presence).
    public static let qwen2 = Architecture(
        name: "qwen2",
        ggufNames: ["qwen2"],
        huggingFaceNames: ["qwen2"],
        windows: .whereEnabled,
        layout: .decoder())
}
