"""Writes a model of a realistic size with random weights, "1.07 B": TinyLlama's dimensions with SmolLM2's tokenizer and tied embeddings.

Speed does not depend on the values. Usage: random_model.py --tokenizer SMOLLM2_GGUF --out FOLDER --llama-bin FOLDER
Writes FOLDER/random-1b.{Q4_0,Q4_K_M,Q8_0}.gguf; the F16 file between is removed.
"""

import argparse
import os
import pathlib
import subprocess

import gguf
import numpy as np

from checkpoints import field

LAYERS, HIDDEN, FEED_FORWARD, HEADS, SHARED_HEADS = 22, 2048, 5632, 32, 4
SEED = 7


def write_f16(path: pathlib.Path, tokenizer: gguf.GGUFReader) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    pieces = field(tokenizer, "tokenizer.ggml.tokens")
    writer.add_name("Random 1B")
    writer.add_block_count(LAYERS)
    writer.add_context_length(8192)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(SHARED_HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(pieces))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(pieces)
    writer.add_token_types(field(tokenizer, "tokenizer.ggml.token_type"))
    writer.add_token_merges(field(tokenizer, "tokenizer.ggml.merges"))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(field(tokenizer, "tokenizer.chat_template"))

    shared = HIDDEN // HEADS * SHARED_HEADS
    block = {
        "attn_q": (HIDDEN, HIDDEN), "attn_k": (shared, HIDDEN), "attn_v": (shared, HIDDEN), "attn_output": (HIDDEN, HIDDEN),
        "ffn_gate": (FEED_FORWARD, HIDDEN), "ffn_up": (FEED_FORWARD, HIDDEN), "ffn_down": (HIDDEN, FEED_FORWARD),
    }
    shapes = {"token_embd.weight": (len(pieces), HIDDEN), "output_norm.weight": (HIDDEN,)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.{name}.weight": (HIDDEN,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in block.items()}
    for name, shape in shapes.items():
        size = np.float32 if len(shape) == 1 else np.float16
        writer.add_tensor_info(name, shape, np.dtype(size), int(np.prod(shape)) * np.dtype(size).itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    generator = np.random.default_rng(SEED)
    for name, shape in shapes.items():
        if len(shape) == 1:
            writer.write_tensor_data(np.ones(shape, np.float32))
        else:
            writer.write_tensor_data((generator.standard_normal(shape, np.float32) * (0.7 / shape[1] ** 0.5)).astype(np.float16))
    writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tokenizer", "out", "llama-bin"):
        parser.add_argument("--" + name, type=pathlib.Path, required=True)
    a = parser.parse_args()
    half = a.out / "random-1b.F16.gguf"
    write_f16(half, gguf.GGUFReader(a.tokenizer))
    for kind in ("Q4_0", "Q4_K_M", "Q8_0"):
        subprocess.run(
            [a.llama_bin / "llama-quantize", half, a.out / f"random-1b.{kind}.gguf", kind, "2"], check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"LD_LIBRARY_PATH": str(a.llama_bin)})
    half.unlink()
