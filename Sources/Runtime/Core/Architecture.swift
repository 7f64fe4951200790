public import Weights

/// One kind of transformer as data: every choice the forward pass branches on, and how checkpoints of it are laid out.
///
/// All of them are decoders of pre-normalised blocks with rotary positions, grouped-query attention and a gated feed-forward
/// part. Biases and an output matrix of its own are no choices: they are there where the file has them.
public struct Architecture: Sendable, Equatable {
    /// Where a block's RMS norms stand.
    public enum Norms: String, Sendable {
        /// Before attention and before the feed-forward part.
        case before
        /// Before both, and again after both, before the residual is added.
        case around
    }

    public enum QueryKeyNorm: String, Sendable {
        case none
        /// RMS norm over each head of queries and keys, before rotation.
        case perHead
    }

    public enum Activation: String, Sendable { case silu, geluTanh }

    public enum EmbeddingScale: String, Sendable {
        case none
        /// √hidden, rounded to bf16 as the published models were trained with.
        case rootOfHidden
    }

    /// What multiplies query · key.
    public enum AttentionScale: Sendable, Equatable {
        /// 1/√(key size)
        case keySize
        /// 1/√`query_pre_attn_scalar`. GGUF does not carry that number: there it is the key size, but hidden / heads in
        /// the model with this many layers.
        case queryScalar(hiddenPerHeadAt: Int)
    }

    /// Which layers see a sliding window only, where the file states a window and no list of its own.
    public enum Windows: Sendable, Equatable {
        case everyLayer
        /// Layers from `max_window_layers` on, and only if `use_sliding_window` says so.
        case whereEnabled
        /// Every n-th layer (counted from 1) sees everything.
        case allButEvery(Int)
    }

    public enum RopeBases: Sendable, Equatable {
        case one
        /// Layers with a window rotate with a base of their own, unscaled; this one where the file is silent.
        case ownForWindows(standard: Double)
    }

    public var name: String
    /// GGUF's `general.architecture`.
    public var ggufNames: [String]
    /// `model_type` in config.json.
    public var huggingFaceNames: [String]
    public var norms = Norms.before
    public var queryKeyNorm = QueryKeyNorm.none
    public var activation = Activation.silu
    public var embeddingScale = EmbeddingScale.none
    public var attentionScale = AttentionScale.keySize
    public var windows = Windows.everyLayer
    public var ropeBases = RopeBases.one
    /// What a config.json means that leaves a number out, as some published ones do.
    public var standard: [MetadataKey: Double] = [:]
    public var layout: CheckpointLayout

    /// Every architecture that LMX runs.
    public static let all: [Architecture] = [.llama, .qwen2, .qwen3, .gemma3]

    /// The architecture that a file names.
    /// - Throws: `unsupported` for a name that no architecture bears.
    public static func named(in metadata: Metadata) throws(ModelError) -> Architecture {
        for architecture in all {
            let names = metadata.dialect == .gguf ? architecture.ggufNames : architecture.huggingFaceNames
            if names.contains(metadata.architecture) { return architecture }
        }
        let known = all.flatMap { metadata.dialect == .gguf ? $0.ggufNames : $0.huggingFaceNames }
        throw ModelError(
            .unsupported, at: metadata.place, "architecture \(ModelError.quoted(metadata.architecture)) is not supported",
            hint: "supported: " + known.joined(separator: ", "))
    }
}

extension CheckpointLayout {
    /// The names of a plain decoder, which the others extend.
    static func decoder(
        feedForwardNorm: String = "post_attention_layernorm", adding extra: [Row] = [], interleavesQueryKeyRows: Bool = false,
        addsOneToNorms: Bool = false
    ) -> CheckpointLayout {
        let block = "model.layers.#."
        return CheckpointLayout(
            rows: [
                Row(.tokenEmbedding, "token_embd", "model.embed_tokens"),
                Row(.outputNorm, "output_norm", "model.norm"),
                Row(.output, "output", "lm_head"),
                Row(.attentionNorm, "blk.#.attn_norm", block + "input_layernorm"),
                Row(.query, "blk.#.attn_q", block + "self_attn.q_proj"),
                Row(.key, "blk.#.attn_k", block + "self_attn.k_proj"),
                Row(.value, "blk.#.attn_v", block + "self_attn.v_proj"),
                Row(.attentionOutput, "blk.#.attn_output", block + "self_attn.o_proj"),
                Row(.feedForwardNorm, "blk.#.ffn_norm", block + feedForwardNorm),
                Row(.gate, "blk.#.ffn_gate", block + "mlp.gate_proj"),
                Row(.up, "blk.#.ffn_up", block + "mlp.up_proj"),
                Row(.down, "blk.#.ffn_down", block + "mlp.down_proj"),
                // Only GGUF writes the divisors of llama 3's rotation out; config.json has the rule they follow from.
                Row(.ropeFrequencyDivisors, "rope_freqs", "rope_freqs"),
            ] + extra,
            interleavesQueryKeyRows: interleavesQueryKeyRows, addsOneToNorms: addsOneToNorms)
    }

    static let queryKeyNorms = [
        Row(.queryNorm, "blk.#.attn_q_norm", "model.layers.#.self_attn.q_norm"),
        Row(.keyNorm, "blk.#.attn_k_norm", "model.layers.#.self_attn.k_norm"),
    ]

    /// The layout with the prefix that a source's names really bear: text models inside multimodal ones lie deeper.
    func fitted(to source: any ModelSource) -> CheckpointLayout {
        guard source.metadata.dialect == .huggingFace else { return self }
        for (root, head) in [("model.", ""), ("language_model.model.", "language_model."), ("model.language_model.", "")] {
            var layout = self
            for index in layout.rows.indices {
                let name = layout.rows[index].huggingFace
                layout.rows[index].huggingFace = name.hasPrefix("model.") ? root + name.dropFirst("model.".count) : head + name
            }
            if let name = layout.name(of: TensorRole(.tokenEmbedding), in: .huggingFace), source.records[name] != nil { return layout }
        }
        return self
    }
}
