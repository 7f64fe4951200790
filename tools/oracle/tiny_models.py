"""The tiny models: one entry is one folder of testdata/tiny. Configurations are spelled as published checkpoints spell them."""

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a little test model<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)

BASE = dict(
    attention_bias=False, attention_dropout=0.0, hidden_act="silu", initializer_range=0.02, max_position_embeddings=2048,
    mlp_bias=False, num_hidden_layers=2, rms_norm_eps=1e-5, torch_dtype="float32", use_cache=True,
)
CHATML_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def without(config: dict, *keys: str) -> dict:
    return {k: v for k, v in config.items() if k not in keys}


# kind: tokenizer; mlx: (folder, bits, group, dtype[, bits of the embedding where they differ]); gguf: types beyond the first.
MODELS = {
    "llama": dict(
        seed=1, kind="llama-bpe", vocabulary=320, template=LLAMA3,
        specials=["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        begin="<|begin_of_text|>", end="<|eot_id|>", ends=["<|end_of_text|>", "<|eot_id|>"],
        config=dict(
            BASE, architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=256, intermediate_size=256,
            num_attention_heads=8, num_key_value_heads=2, head_dim=32, rope_theta=500000.0, tie_word_embeddings=True,
            # With 64 original positions all three bands of the scaling rule occur.
            rope_scaling=dict(factor=8.0, high_freq_factor=4.0, low_freq_factor=1.0, original_max_position_embeddings=64, rope_type="llama3"),
        ),
        mlx=[("q4-g64-f16", 4, 64, "float16"), ("q8-g64-bf16", 8, 64, "bfloat16")],
        gguf=["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "F16", "BF16"],
    ),
    "mistral": dict(
        seed=2, kind="llama2", vocabulary=384, template=None, begin="<s>", end="</s>", ends=["</s>"],
        config=dict(
            without(BASE, "attention_bias", "mlp_bias"), architectures=["MistralForCausalLM"], model_type="mistral", hidden_size=64,
            intermediate_size=128, num_attention_heads=4, num_key_value_heads=2, head_dim=32, rope_theta=10000.0, sliding_window=16,
            tie_word_embeddings=False,
        ),
        mlx=[("q4-g64-bf16", 4, 64, "bfloat16")],
        gguf=[],
    ),
    "smollm2": dict(
        seed=3, kind="smollm", vocabulary=320, template=CHATML, specials=CHATML_TOKENS, begin="<|im_start|>", end="<|im_end|>",
        ends=["<|im_end|>"],
        config=dict(  # 9 heads, 3 of keys and values, and a width that 64 does not divide
            BASE, architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=288, intermediate_size=128,
            num_attention_heads=9, num_key_value_heads=3, rope_theta=100000, rope_interleaved=False, rope_scaling=None,
            torch_dtype="bfloat16", tie_word_embeddings=True,
        ),
        mlx=[("q4-g32-f16-embedding8", 4, 32, "float16", 8)],
        gguf=[],
    ),
    "qwen2": dict(
        seed=4, kind="qwen2", vocabulary=320, template=CHATML, specials=CHATML_TOKENS, begin=None, end="<|im_end|>",
        ends=["<|im_end|>", "<|endoftext|>"],
        config=dict(  # groups of 64 do not divide the width of the down projections, which so stay unquantised
            without(BASE, "attention_bias", "mlp_bias"), architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_size=64,
            intermediate_size=160, num_attention_heads=2, num_key_value_heads=1, rope_theta=1000000.0, sliding_window=16,
            use_sliding_window=False, max_window_layers=1, rms_norm_eps=1e-6, tie_word_embeddings=True,
        ),
        mlx=[("q4-g64-f16", 4, 64, "float16")],
        gguf=["F16"],
    ),
    "qwen3": dict(
        seed=5, kind="qwen2", vocabulary=320, template=CHATML, specials=CHATML_TOKENS, begin=None, end="<|im_end|>",
        ends=["<|im_end|>", "<|endoftext|>"],
        config=dict(  # the newest spelling: dtype and rope_parameters
            without(BASE, "mlp_bias", "torch_dtype"), architectures=["Qwen3ForCausalLM"], model_type="qwen3", dtype="float32", hidden_size=64,
            intermediate_size=128, num_attention_heads=4, num_key_value_heads=2, head_dim=32, rms_norm_eps=1e-6,
            rope_parameters=dict(rope_theta=1000000.0, rope_type="default"), sliding_window=None, use_sliding_window=False,
            tie_word_embeddings=False,
        ),
        mlx=[("q4-g64-bf16-embedding8", 4, 64, "bfloat16", 8), ("q4-g32-f32", 4, 32, "float32")],
        gguf=["Q8_0"],
    ),
    "gemma3": dict(
        seed=6, kind="gemma", vocabulary=384, template=GEMMA, begin="<bos>", end="<eos>", ends=["<eos>", "<end_of_turn>"],
        config=dict(  # six layers, of which the last sees everything; queries scaled otherwise than by their size
            without(BASE, "mlp_bias", "hidden_act"), architectures=["Gemma3ForCausalLM"], model_type="gemma3_text", hidden_size=64,
            intermediate_size=64, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=1, head_dim=32,
            hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=64, rms_norm_eps=1e-6, rope_theta=1000000.0,
            rope_local_base_freq=10000.0, rope_scaling=dict(factor=8.0, rope_type="linear"), sliding_window=16,
            sliding_window_pattern=6, attn_logit_softcapping=None, final_logit_softcapping=None, tie_word_embeddings=True,
        ),
        mlx=[("q4-g32-bf16", 4, 32, "bfloat16"), ("q8-g64-f32", 8, 64, "float32")],
        gguf=["Q8_0"],
    ),
}
