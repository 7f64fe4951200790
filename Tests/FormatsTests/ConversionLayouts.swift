import Formats
import Weights

/// The layouts of the tiny models' architectures, written out here because this module does not know the runtime's.
enum ConversionLayouts {
    static func architecture(of metadata: Metadata) -> ConversionArchitecture? {
        guard let (layout, gguf, modelType) = layout(of: metadata.architecture) else { return nil }
        return ConversionArchitecture(
            layout: layout, ggufName: gguf, modelType: metadata.dialect == .gguf ? modelType : metadata.architecture)
    }

    private static func layout(of architecture: String) -> (layout: CheckpointLayout, gguf: String, modelType: String)? {
        switch architecture {
        case "llama", "mistral": (CheckpointLayout(rows: decoder(), interleavesQueryKeyRows: true), "llama", "llama")
        case "qwen2": (CheckpointLayout(rows: decoder()), "qwen2", "qwen2")
        case "qwen3": (CheckpointLayout(rows: decoder() + headNorms), "qwen3", "qwen3")
        case "gemma3", "gemma3_text":
            (
                CheckpointLayout(
                    rows: decoder(feedForwardNorm: "pre_feedforward_layernorm") + headNorms + [
                        .init(.attentionPostNorm, "blk.#.post_attention_norm", block + "post_attention_layernorm"),
                        .init(.feedForwardPostNorm, "blk.#.post_ffw_norm", block + "post_feedforward_layernorm"),
                    ], addsOneToNorms: true), "gemma3", "gemma3_text"
            )
        default: nil
        }
    }

    private static let block = "model.layers.#."

    private static let headNorms: [CheckpointLayout.Row] = [
        .init(.queryNorm, "blk.#.attn_q_norm", block + "self_attn.q_norm"),
        .init(.keyNorm, "blk.#.attn_k_norm", block + "self_attn.k_norm"),
    ]

    private static func decoder(feedForwardNorm: String = "post_attention_layernorm") -> [CheckpointLayout.Row] {
        [
            .init(.tokenEmbedding, "token_embd", "model.embed_tokens"),
            .init(.outputNorm, "output_norm", "model.norm"),
            .init(.output, "output", "lm_head"),
            .init(.ropeFrequencyDivisors, "rope_freqs", "rope_freqs"),
            .init(.attentionNorm, "blk.#.attn_norm", block + "input_layernorm"),
            .init(.query, "blk.#.attn_q", block + "self_attn.q_proj"),
            .init(.key, "blk.#.attn_k", block + "self_attn.k_proj"),
            .init(.value, "blk.#.attn_v", block + "self_attn.v_proj"),
            .init(.attentionOutput, "blk.#.attn_output", block + "self_attn.o_proj"),
            .init(.feedForwardNorm, "blk.#.ffn_norm", block + feedForwardNorm),
            .init(.gate, "blk.#.ffn_gate", block + "mlp.gate_proj"),
            .init(.up, "blk.#.ffn_up", block + "mlp.up_proj"),
            .init(.down, "blk.#.ffn_down", block + "mlp.down_proj"),
        ]
    }
}
