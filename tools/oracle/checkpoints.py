"""Reading checkpoints back as the numbers they mean: GGUF through gguf.dequantize, MLX by the definition of its affine form."""

import json
import pathlib
import re

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
GEMMA_NAMES = NAMES | {
    "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
}


def field(reader: gguf.GGUFReader, key: str):
    found = reader.fields.get(key)
    return None if found is None else found.contents()


def hugging_face_name(name: str, architecture: str) -> str | None:
    """The Hugging Face spelling of a GGUF tensor's name; nil where it has none (rope_freqs)."""
    names = GEMMA_NAMES if architecture.startswith("gemma") else NAMES
    stem, leaf = name.rsplit(".", 1)
    layer = re.match(r"blk\.(\d+)\.(.+)$", stem)
    other = names.get(layer[2] if layer else stem)
    if other is None:
        return None
    return f"model.layers.{layer[1]}.{other}.{leaf}" if layer else f"{other}.{leaf}"


def unpermuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """From llama.cpp's interleaved pairs back to halves: row 2i+j of a head becomes row j·d/2+i."""
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def gguf_weights(path: pathlib.Path) -> dict[str, torch.Tensor]:
    """Every tensor of a GGUF file as f32, under its Hugging Face name, in Hugging Face order of rows, norms without the 1."""
    reader = gguf.GGUFReader(path)
    architecture = field(reader, "general.architecture")
    heads = field(reader, f"{architecture}.attention.head_count")
    shared = field(reader, f"{architecture}.attention.head_count_kv")
    weights = {}
    for tensor in reader.tensors:
        name = hugging_face_name(tensor.name, architecture)
        if name is None:
            continue
        if tensor.tensor_type == gguf.GGMLQuantizationType.F32:
            values = np.array(tensor.data)
        else:
            values = gguf.dequantize(tensor.data, tensor.tensor_type)
        values = values.astype(np.float32).reshape(tuple(int(n) for n in reversed(tensor.shape)))
        if architecture == "llama" and (".attn_q." in tensor.name or ".attn_k." in tensor.name):
            values = unpermuted(values, heads if ".attn_q." in tensor.name else shared)
        if architecture.startswith("gemma") and name.endswith("norm.weight"):
            values = values - np.float32(1)
        weights[name] = torch.from_numpy(np.ascontiguousarray(values))
    return weights


def affine(words: np.ndarray, scales: np.ndarray, biases: np.ndarray, bits: int) -> np.ndarray:
    """MLX's affine form: a row is one little-endian bit stream of codes; value = scale × code + bias, each step rounded to f32."""
    stream = np.unpackbits(words.view(np.uint8).reshape(words.shape[0], -1), axis=1, bitorder="little")
    codes = (stream.reshape(words.shape[0], -1, bits) << np.arange(bits, dtype=np.uint8)).sum(axis=2, dtype=np.float32)
    group = codes.shape[1] // scales.shape[1]
    return codes * scales.repeat(group, axis=1) + biases.repeat(group, axis=1)


def mlx_weights(folder: pathlib.Path) -> dict[str, torch.Tensor]:
    """Every tensor of an MLX checkpoint as f32."""
    stored = {}
    for file in sorted(folder.glob("model*.safetensors")):
        stored |= load_file(file)
    settings = json.loads((folder / "config.json").read_text()).get("quantization", {})
    weights = {}
    for name, tensor in stored.items():
        stem, leaf = name.rsplit(".", 1)
        if leaf in ("scales", "biases"):
            continue
        if leaf != "weight" or f"{stem}.scales" not in stored:
            weights[name] = tensor.float()
            continue
        own = settings.get(stem)
        own = own if isinstance(own, dict) else settings
        words, scales, biases = tensor.numpy(), stored[f"{stem}.scales"].float().numpy(), stored[f"{stem}.biases"].float().numpy()
        assert words.shape[1] * 32 // own["bits"] == scales.shape[1] * own["group_size"], name
        weights[name] = torch.from_numpy(affine(words, scales, biases, own["bits"]))
    return weights
