/// One fact about a model under the names that the dialects give it: the one table of hyperparameter spellings.
///
/// In GGUF spellings `#` stands for the architecture. Hugging Face spellings are tried in turn; nested keys are joined by a
/// dot. transformers 5 moved everything about RoPE into `rope_parameters`, one object per layer type where they differ.
public struct MetadataKey: Sendable, Hashable {
    public let gguf: [String]
    public let huggingFace: [String]

    public init(gguf: [String] = [], huggingFace: [String] = []) {
        self.gguf = gguf
        self.huggingFace = huggingFace
    }

    private init(_ gguf: String, _ huggingFace: String...) { self.init(gguf: [gguf], huggingFace: huggingFace) }

    private static func onlyHuggingFace(_ keys: String...) -> MetadataKey { MetadataKey(huggingFace: keys) }

    /// `key` inside RoPE's objects, newest spelling last, for layers of full attention.
    private static func rope(_ gguf: String..., scaling keys: String...) -> MetadataKey {
        let objects = ["rope_scaling", "rope_parameters", "rope_parameters.full_attention"]
        return MetadataKey(gguf: gguf, huggingFace: objects.flatMap { object in keys.map { "\(object).\($0)" } })
    }

    // sizes                                        GGUF                             Hugging Face
    public static let blockCount          = MetadataKey("#.block_count",             "num_hidden_layers", "n_layer", "n_layers")
    public static let contextLength       = MetadataKey("#.context_length",          "max_position_embeddings", "n_positions")
    public static let embeddingLength     = MetadataKey("#.embedding_length",        "hidden_size", "n_embd")
    public static let feedForwardLength   = MetadataKey("#.feed_forward_length",     "intermediate_size", "n_inner")
    public static let vocabularySize      = MetadataKey("#.vocab_size",              "vocab_size")
    public static let headCount           = MetadataKey("#.attention.head_count",    "num_attention_heads", "n_head")
    public static let headCountKV         = MetadataKey("#.attention.head_count_kv", "num_key_value_heads")
    public static let keyLength           = MetadataKey("#.attention.key_length",    "head_dim")
    public static let valueLength         = MetadataKey("#.attention.value_length",  "v_head_dim", "head_dim")

    // norms
    public static let rmsEpsilon          = MetadataKey("#.attention.layer_norm_rms_epsilon", "rms_norm_eps", "layer_norm_rms_epsilon")
    public static let layerNormEpsilon    = MetadataKey("#.attention.layer_norm_epsilon",     "layer_norm_eps", "layer_norm_epsilon")

    // positions
    public static let ropeBase = MetadataKey(
        gguf: ["#.rope.freq_base"],
        huggingFace: ["rope_theta", "rope_parameters.rope_theta", "rope_parameters.full_attention.rope_theta"])
    /// Of the layers with a sliding window, where it differs.
    public static let ropeBaseSliding = MetadataKey(
        gguf: ["#.rope.freq_base_swa"], huggingFace: ["rope_local_base_freq", "rope_parameters.sliding_attention.rope_theta"])
    public static let ropeDimensionCount  = MetadataKey(gguf: ["#.rope.dimension_count"])
    public static let partialRotaryFactor = MetadataKey(
        huggingFace: [
            "partial_rotary_factor", "rope_parameters.partial_rotary_factor", "rope_parameters.full_attention.partial_rotary_factor",
        ])
    /// `none`, `default`, `linear`, `llama3`, `yarn`, `longrope`, `dynamic` …
    public static let ropeScalingType     = rope("#.rope.scaling.type", scaling: "rope_type", "type")
    public static let ropeScalingFactor   = rope("#.rope.scaling.factor", "#.rope.scale_linear", scaling: "factor")
    public static let ropeLowFrequencyFactor  = rope(scaling: "low_freq_factor")
    public static let ropeHighFrequencyFactor = rope(scaling: "high_freq_factor")
    public static let ropeOriginalContext = rope("#.rope.scaling.original_context_length", scaling: "original_max_position_embeddings")
    public static let ropeAttentionFactor = rope("#.rope.scaling.attn_factor", scaling: "attention_factor")
    public static let ropeBetaFast        = rope("#.rope.scaling.yarn_beta_fast", scaling: "beta_fast")
    public static let ropeBetaSlow        = rope("#.rope.scaling.yarn_beta_slow", scaling: "beta_slow")
    /// Of the layers with a sliding window: transformers 5 states it apart, elsewhere those layers are not scaled.
    public static let ropeScalingTypeSliding   = onlyHuggingFace("rope_parameters.sliding_attention.rope_type")
    public static let ropeScalingFactorSliding = onlyHuggingFace("rope_parameters.sliding_attention.factor")

    // attention
    public static let slidingWindow       = MetadataKey("#.attention.sliding_window", "sliding_window")
    /// `false` switches a stated window off (qwen2); absent in GGUF, where a window that is off is not stated.
    public static let usesSlidingWindow   = onlyHuggingFace("use_sliding_window")
    /// A period (every n-th layer is full), or one flag per layer: true is sliding. See ``Metadata/slidingLayers(count:)``.
    public static let slidingWindowPattern = MetadataKey(
        gguf: ["#.attention.sliding_window_pattern"], huggingFace: ["sliding_window_pattern", "_sliding_window_pattern"])
    /// One of `full_attention`, `sliding_attention` … per layer.
    public static let layerTypes          = onlyHuggingFace("layer_types")
    public static let maximumWindowLayers = onlyHuggingFace("max_window_layers")
    public static let attentionSoftcap    = MetadataKey("#.attn_logit_softcapping",  "attn_logit_softcapping")
    public static let finalSoftcap        = MetadataKey("#.final_logit_softcapping", "final_logit_softcapping")
    public static let attentionScale      = MetadataKey("#.attention.scale",         "attention_multiplier")
    public static let queryPreAttentionScalar = onlyHuggingFace("query_pre_attn_scalar")
    public static let attentionBias       = onlyHuggingFace("attention_bias")
    public static let feedForwardBias     = onlyHuggingFace("mlp_bias")
    public static let activation          = onlyHuggingFace("hidden_activation", "hidden_act")

    // scales of the residual stream and the output
    public static let embeddingScale      = MetadataKey("#.embedding_scale", "embedding_multiplier")
    public static let residualScale       = MetadataKey("#.residual_scale",  "residual_multiplier")
    public static let logitScale          = MetadataKey("#.logit_scale",     "logits_scaling", "logit_scale")
    public static let tiesEmbeddings      = onlyHuggingFace("tie_word_embeddings")

    // experts
    public static let expertCount         = MetadataKey("#.expert_count",      "num_local_experts", "num_experts", "n_routed_experts")
    public static let expertUsedCount     = MetadataKey("#.expert_used_count", "num_experts_per_tok")
    public static let expertFeedForwardLength = MetadataKey("#.expert_feed_forward_length", "moe_intermediate_size")

    // about the file
    public static let name                = MetadataKey("general.name", "_name_or_path")
    public static let fileType            = MetadataKey(gguf: ["general.file_type"])
    public static let dataType            = onlyHuggingFace("torch_dtype", "dtype")
    public static let license             = MetadataKey(gguf: ["general.license"])

    /// The spellings of a dialect with the architecture filled in, in the order in which they are tried.
    public func spellings(in metadata: Metadata) -> [String] {
        switch metadata.dialect {
        case .huggingFace: huggingFace
        case .gguf: gguf.map { $0.hasPrefix("#") ? metadata.architecture + $0.dropFirst() : $0 }
        }
    }
}
