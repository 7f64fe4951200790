#!/usr/bin/env python3
"""Writes testdata/quants: blocks of every stored format with every code value, and what the reference decodes them to.

One file per format: the planes (codes or whole blocks, scales, biases), one after the other, then the values as
little-endian f32. quants.json says how long each part is. GGUF's formats are decoded by the `gguf` package; MLX's scales
are written by `mlx`; codes are decoded by one f32 multiplication and one addition, which for f32 scales `mlx` itself confirms.
"""
import importlib.metadata
import json

import gguf
import mlx.core as mx
import numpy as np

import manifest

FOLDER = manifest.TESTDATA / "quants"
SEED = 20251124
ROWS = 4
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]
# where half-precision numbers stand in a block
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def halves(random: np.random.Generator, count: int) -> np.ndarray:
    """Finite half-precision numbers of every kind: both signs, zeros, subnormals, the largest."""
    bits = random.integers(0, 1 << 16, count, dtype=np.uint16)
    bits = np.where((bits & 0x7C00) == 0x7C00, bits & 0x83FF, bits)
    ordinary = random.normal(0, 0.02, count).astype(np.float16).view(np.uint16)
    return np.where(random.random(count) < 0.5, bits, ordinary).astype(np.uint16)


def every_byte(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Every byte equally often, in random order."""
    return random.permutation(np.resize(np.arange(256, dtype=np.uint8), int(np.prod(shape)))).reshape(shape)


def from_gguf(name: str, random: np.random.Generator) -> tuple[list[bytes], np.ndarray]:
    type = gguf.GGMLQuantizationType[name]
    per_block, size = gguf.GGML_QUANT_SIZES[type]
    columns = max(512, 2 * per_block)
    blocks = every_byte(random, ROWS * columns // per_block, size)
    if name == "F32":
        blocks = random.normal(0, 1, (ROWS * columns, 1)).astype(np.float32).view(np.uint8)
    elif name in ("F16", "BF16"):
        blocks = halves(random, ROWS * columns).reshape(-1, 1).view(np.uint8)
    for at in HALVES.get(name, []):
        blocks[:, at : at + 2] = halves(random, len(blocks)).reshape(-1, 1).view(np.uint8)
    rows = blocks.reshape(ROWS, -1)
    values = gguf.dequantize(rows, type).astype(np.float32).reshape(ROWS, columns)
    return [rows.tobytes()], values


def from_mlx(bits: int, group: int, dtype, random: np.random.Generator) -> tuple[list[bytes], np.ndarray]:
    columns = 512
    weights = mx.array(random.normal(0, 0.05, (ROWS, columns)).astype(np.float32)).astype(dtype)
    _, scales, biases = mx.quantize(weights, group_size=group, bits=bits)
    words = every_byte(random, ROWS, columns * bits // 8).view(np.uint32)
    codes = mx.array(words)
    unpacked = np.stack([(words >> np.uint32(bits * i)) & np.uint32((1 << bits) - 1) for i in range(32 // bits)], -1).reshape(ROWS, columns)
    assert len(np.unique(unpacked)) == 1 << bits, f"{bits} bits: not every code occurs"
    s, b = (np.repeat(np.array(x.astype(mx.float32)), group, -1) for x in (scales, biases))
    values = (s * unpacked.astype(np.float32)) + b
    if dtype == mx.float32:
        assert np.array_equal(values, np.array(mx.dequantize(codes, scales, biases, group_size=group, bits=bits))), "mlx decodes otherwise"
    raw = [np.array(x.view(mx.uint16 if dtype != mx.float32 else mx.uint32)).tobytes() for x in (scales, biases)]
    return [words.tobytes(), *raw], values


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    entries, files = [], {}
    versions = {name: importlib.metadata.version(name) for name in ("gguf", "mlx", "numpy")}
    formats = [(name, name, lambda random, name=name: from_gguf(name, random)) for name in TYPES]
    for bits in (4, 8):
        for group in (32, 64, 128):
            for scale, dtype in (("f16", mx.float16), ("bf16", mx.bfloat16), ("f32", mx.float32)):
                formats.append(
                    (f"affine{bits}-g{group}-{scale}", f"affine {bits}-bit group {group} ({scale})",
                     lambda random, a=(bits, group, dtype): from_mlx(*a, random)))
    for index, (stem, name, make) in enumerate(formats):
        planes, values = make(np.random.default_rng(SEED + index))
        path = FOLDER / f"{stem}.bin"
        path.write_bytes(b"".join(planes) + values.astype("<f4").tobytes())
        entries.append(dict(file=path.name, format=name, rows=ROWS, columns=values.shape[1], planes=[len(plane) for plane in planes]))
        files[path] = dict(writer="gguf " + versions["gguf"] if len(planes) == 1 else "mlx " + versions["mlx"], seed=SEED + index)
    path = FOLDER / "quants.json"
    path.write_text(json.dumps(dict(versions=versions, seed=SEED, formats=entries), indent=1) + "\n")
    files[path] = dict(writer="tools/oracle/quants.py", seed=SEED)
    manifest.record(files, replacing="quants/")


if __name__ == "__main__":
    main()
