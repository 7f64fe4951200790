internal import Weights

/// What one dialect leaves unsaid about an architecture and the other must say.
struct ConvertedFamily {
    /// The class in transformers that runs it.
    var className: String
    var activation = "silu"
    /// config.json states `attention_bias`.
    var statesAttentionBias = true
    /// Every n-th layer sees everything, the others a window; GGUF's readers take it for granted.
    var windowPeriod: Int?
    /// Layers with a window rotate with a base of their own.
    var hasOwnWindowBase = false
    /// config.json states what queries are scaled by.
    var statesQueryScale = false

    private static let all: [String: ConvertedFamily] = [
        "llama": ConvertedFamily(className: "LlamaForCausalLM"),
        "mistral": ConvertedFamily(className: "MistralForCausalLM", statesAttentionBias: false),
        "qwen2": ConvertedFamily(className: "Qwen2ForCausalLM", statesAttentionBias: false),
        "qwen3": ConvertedFamily(className: "Qwen3ForCausalLM"),
        "gemma3_text": ConvertedFamily(
            className: "Gemma3ForCausalLM", activation: "gelu_pytorch_tanh", windowPeriod: 6, hasOwnWindowBase: true,
            statesQueryScale: true),
    ]

    /// - Throws: `unsupported` for a `model_type` that is not in the table.
    static func named(_ modelType: String, place: String) throws(ModelError) -> ConvertedFamily {
        if let family = all[modelType == "gemma3" ? "gemma3_text" : modelType] { return family }
        throw ModelError(
            .unsupported, at: place, "conversion does not know the architecture \(ModelError.quoted(modelType))",
            hint: "known: " + all.keys.sorted().joined(separator: ", "))
    }
}
