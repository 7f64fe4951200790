internal import Weights

/// The names under which `tokenizer.ggml.pre` knows the split patterns that LMX carries.
enum PreTokenizerNames {
    static let gguf: [String: TokenizerSpec.PreTokenizer] = [
        "gpt-2": .gpt2, "phi-2": .gpt2, "mpt": .gpt2, "olmo": .gpt2, "jais": .gpt2, "gigachat": .gpt2, "mellum": .gpt2,
        "a.x-4.0": .gpt2, "modern-bert": .gpt2, "exaone4": .gpt2, "trillion": .gpt2, "granite-docling": .gpt2,
        "jina-es": .gpt2, "jina-de": .gpt2, "jina-v2-es": .gpt2, "jina-v2-de": .gpt2,
        "smollm": .smollm, "codeshell": .smollm, "exaone": .smollm, "minerva-7b": .smollm,
        "llama-bpe": .llamaBPE, "llama3": .llamaBPE, "llama-v3": .llamaBPE, "falcon3": .llamaBPE, "falcon-h1": .llamaBPE,
        "pixtral": .llamaBPE, "midm-2.0": .llamaBPE, "lfm2": .llamaBPE,
        "qwen2": .qwen2, "deepseek-r1-qwen": .qwen2, "kormo": .qwen2, "f2llmv2": .qwen2, "megrez": .qwen2, "stablelm2": .qwen2,
        "hunyuan": .qwen2, "solar-open": .qwen2, "grok-2": .qwen2,
        "qwen35": .qwen35,
        "deepseek-llm": .deepseekLLM, "deepseek-coder": .deepseekCoder,
        "command-r": .commandR, "falcon": .falcon, "starcoder": .starcoder, "refact": .refact,
    ]
}
