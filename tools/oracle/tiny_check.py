"""Checks testdata/tiny against the other two references: llama.cpp runs every GGUF file, mlx-lm every MLX checkpoint.

Prints the largest difference and the mean KL divergence from the recorded logits. Needs llama_cpp (LLAMA_CPP_LIB_PATH) and mlx-lm.
llama.cpp quantises activations to 8 bits where weights are quantised, MLX computes in the type of the scales: expect 1e-4 for F32,
1e-2 for F16, and a small divergence elsewhere. mlx-lm knows no window for mistral: a large difference there is its own.
"""

import json
import sys

import llama_cpp
import mlx.core as mx
import numpy as np
from mlx_lm import load

from tiny import TINY


def llama_logits(path, ids: list[int]) -> np.ndarray:
    model = llama_cpp.Llama(str(path), n_ctx=256, logits_all=True, verbose=False, n_threads=2, type_k=0, type_v=0, n_batch=256)
    model.eval(ids)
    return np.array(model.scores[: len(ids)], dtype=np.float32)


def mlx_logits(path, ids: list[int]) -> np.ndarray:
    model, _ = load(str(path))
    return np.array(model(mx.array([ids]))[0].astype(mx.float32))


def divergence(expected: np.ndarray, found: np.ndarray) -> float:
    p, q = (x.astype(np.float64) - x.max(1, keepdims=True) for x in (expected, found))
    p, q = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (p, q))
    return float((np.exp(p) * (p - q)).sum(1).mean())


for folder in sorted(TINY.iterdir()):
    if not folder.is_dir() or (sys.argv[1:] and folder.name not in sys.argv[1:]):
        continue
    ids = json.loads((folder / "prompt.json").read_text())["ids"]
    for file in sorted((folder / "logits").glob("*.f32")):
        form, _, name = file.stem.partition("-")
        expected = np.fromfile(file, "<f4").reshape(len(ids), -1)
        if form == "gguf":
            found = llama_logits(folder / f"gguf/{name}.gguf", ids)
        elif form == "mlx":
            found = mlx_logits(folder / "mlx" / name, ids)
        else:
            continue
        print(f"{folder.name} {form} {name}: largest {np.abs(found - expected).max():.2g}, KLD {divergence(expected, found):.2g}", flush=True)
