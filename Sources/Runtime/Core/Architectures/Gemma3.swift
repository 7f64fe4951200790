internal import Weights

extension Architecture {
    /// Gemma 3, its text part: four norms a block, five layers with a window for one that sees everything, and a rotation
    /// base for each of the two.
    public static let gemma3 = Architecture(
        name: "gemma3",
        ggufNames: ["gemma3"],
        huggingFaceNames: ["gemma3_text", "gemma3"],
        norms: .around,
        queryKeyNorm: .perHead,
        activation: .geluTanh,
        embeddingScale: .rootOfHidden,
        attentionScale: .queryScalar(hiddenPerHeadAt: 62),  // 27B: 5376 / 32 = 168
        windows: .allButEvery(6),
        ropeBases: .ownForWindows(standard: 10_000),
        standard: [
            .headCount: 8, .headCountKV: 4, .keyLength: 256, .valueLength: 256, .queryPreAttentionScalar: 256,
            .contextLength: 131_072, .rmsEpsilon: 1e-6, .ropeBase: 1_000_000,
        ],
        layout: .decoder(
            feedForwardNorm: "pre_feedforward_layernorm",
            adding: CheckpointLayout.queryKeyNorms + [
                CheckpointLayout.Row(.attentionPostNorm, "blk.#.post_attention_norm", "model.layers.#.post_attention_layernorm"),
                CheckpointLayout.Row(.feedForwardPostNorm, "blk.#.post_ffw_norm", "model.layers.#.post_feedforward_layernorm"),
            ],
            addsOneToNorms: true))
}
