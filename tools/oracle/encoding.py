"""Writes testdata/encode: rows of numbers, and what ggml's and mlx's own quantisers make of them.

Usage: encoding.py --llama-bin FOLDER   (holds libggml-base.so of llama.cpp)
"""

import argparse
import ctypes
import pathlib
from importlib.metadata import version

import gguf
import mlx.core as mx
import numpy as np

import manifest

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "testdata/encode"
ROWS, COLUMNS, SEED = 48, 512, 11
TYPES = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
LLAMA = "libggml-base of llama_cpp_python 0.3.36"


def values() -> np.ndarray:
    """Gaussian and heavy-tailed rows at many sizes, and the corners: zeros, one sign, one outlier, equal values, tiny numbers."""
    random = np.random.default_rng(SEED)
    rows = random.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    rows *= (10.0 ** random.uniform(-4, 1, (ROWS, 1))).astype(np.float32)
    rows[8:16] = random.standard_t(3, (8, COLUMNS)).astype(np.float32) * 0.02
    rows[0] = 0
    rows[1] = np.abs(rows[1])
    rows[2] = -np.abs(rows[2])
    rows[3] = 0.5
    rows[4, ::32] = 8
    rows[5, :256] = 0
    rows[6] *= 1e-6 / np.abs(rows[6]).max()
    rows[7] = np.round(rows[7] * 4) / 4
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-bin", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    ggml = ctypes.CDLL(str(arguments.llama_bin / "libggml-base.so"))
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    ggml.ggml_quantize_chunk.argtypes = [
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    FOLDER.mkdir(exist_ok=True)
    rows = values()
    entries = {}

    def write(name: str, content: bytes, writer: str) -> None:
        (FOLDER / name).write_bytes(content)
        entries[FOLDER / name] = dict(writer=writer, seed=SEED)

    write("values.f32", rows.astype("<f4").tobytes(), f"numpy {np.__version__}")
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        made = np.zeros(rows.size // block * size, np.uint8)
        ggml.ggml_quantize_chunk(int(kind), rows.ctypes.data, made.ctypes.data, 0, ROWS, COLUMNS, None)
        write(f"{name}.bin", made.tobytes(), LLAMA)
    mx.set_default_device(mx.cpu)
    for bits, group, dtype, label in [
        (2, 32, mx.float32, "f32"), (3, 64, mx.float32, "f32"), (4, 32, mx.float16, "f16"), (4, 64, mx.float32, "f32"), (4, 64, mx.bfloat16, "bf16"),
        (5, 64, mx.float32, "f32"), (6, 128, mx.float16, "f16"), (8, 64, mx.float32, "f32"), (8, 32, mx.bfloat16, "bf16"),
    ]:
        codes, scales, biases = mx.quantize(mx.array(rows).astype(dtype), group_size=group, bits=bits)
        planes = [np.array(codes).tobytes()] + [np.array(p.view(mx.uint32 if label == "f32" else mx.uint16)).tobytes() for p in (scales, biases)]
        write(f"affine{bits}-g{group}-{label}.bin", b"".join(planes), f"mlx {version('mlx')}")
    manifest.record(entries, replacing="encode/")
