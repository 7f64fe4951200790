#!/usr/bin/env python3
"""Writes testdata/quants: blocks of every stored format with every code value, and what the reference decodes them to.

One file per format: the planes (codes or whole blocks, scales, biases), one after the other, then the values as
little-endian f32. quants.json says how long each part is. GGUF's formats are decoded by the `gguf` package, where it cannot
(Q1_0, Q2_0) by ggml's own C library; of the IQ formats every point of the grid occurs. MLX's affine scales are written by
`mlx`; codes are decoded by one f32 multiplication and one addition. That is what `mlx` computes: for f32 scales bit for bit,
for the others once the product and the sum are each rounded to their type. MLX's floats are decoded by `mlx` to f32.
AWQ is unpacked by `mlx-lm`, GPTQ by its definition, eight-bit floats by `torch`.
"""
import ctypes
import importlib.metadata
import json
import os
import pathlib

import gguf
import mlx.core as mx
import numpy as np

import manifest

FOLDER = manifest.TESTDATA / "quants"
SEED = 20251124
ROWS = 4
SHARED_ROWS = 32  # where rows share words
NUMBERS = {"F64": "<f8", "I8": "<i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}
# where half-precision numbers stand in a block
HALVES = {
    "Q1_0": [0], "Q2_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
    "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ1_S": [0], "IQ1_M": [], "IQ2_XXS": [0], "IQ2_XS": [0],
    "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ4_NL": [0], "IQ4_XS": [0], "TQ1_0": [52], "TQ2_0": [64], "MXFP4": [], "NVFP4": [],
}
# types that the package has no name for: number, values and bytes of a block, ggml's function
OF_GGML = {"Q1_0": (41, 128, 18, "dequantize_row_q1_0"), "Q2_0": (42, 64, 18, "dequantize_row_q2_0")}
TYPES = ["F32", "F16", "BF16", *NUMBERS, *HALVES]


def halves(random: np.random.Generator, count: int) -> np.ndarray:
    """Finite half-precision numbers of every kind: both signs, zeros, subnormals, the largest."""
    bits = random.integers(0, 1 << 16, count, dtype=np.uint16)
    bits = np.where((bits & 0x7C00) == 0x7C00, bits & 0x83FF, bits)
    ordinary = random.normal(0, 0.02, count).astype(np.float16).view(np.uint16)
    return np.where(random.random(count) < 0.5, bits, ordinary).astype(np.uint16)


def every_byte(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Every byte equally often, in random order."""
    return random.permutation(np.resize(np.arange(256, dtype=np.uint8), int(np.prod(shape)))).reshape(shape)


def set_points(name: str, blocks: np.ndarray, random: np.random.Generator) -> None:
    """Gives blocks of an IQ format every point of its grid in turn."""
    low, top, bits = {
        "IQ1_S": (2, 34, 11), "IQ1_M": (0, 32, 11), "IQ2_XXS": (2, None, 8), "IQ2_XS": (2, None, 9), "IQ2_S": (2, 66, 10),
        "IQ3_XXS": (2, None, 8), "IQ3_S": (2, 66, 9),
    }[name]
    count = 64 if name.startswith("IQ3") else 32  # points of a block
    points = random.permutation(np.resize(np.arange(1 << bits), len(blocks) * count)).reshape(len(blocks), count)
    at = {"IQ2_XXS": [low + i // 4 * 8 + i % 4 for i in range(count)], "IQ2_XS": [low + 2 * i for i in range(count)]}
    blocks[:, at.get(name, range(low, low + count))] = points & 255
    for i in range(count):
        high = (points[:, i] >> 8).astype(np.uint8)
        if name == "IQ1_S":
            place, shift, mask = top + i // 4 * 2, i % 4 * 3, 7
            words = blocks[:, place].astype(np.uint16) | blocks[:, place + 1].astype(np.uint16) << 8
            words = words & ~np.uint16(mask << shift) | high.astype(np.uint16) << shift
            blocks[:, place], blocks[:, place + 1] = words & 255, words >> 8
            continue
        place, shift, mask = {
            "IQ1_M": (32 + i // 2, i % 2 * 4, 7), "IQ2_XS": (low + 2 * i + 1, 0, 1), "IQ2_S": (66 + i // 4, i % 4 * 2, 3),
            "IQ3_S": (66 + i // 8, i % 8, 1),
        }.get(name, (0, 0, 0))
        if mask:
            blocks[:, place] = blocks[:, place] & ~np.uint8(mask << shift) | high << shift


def ggml_library() -> ctypes.CDLL:
    folder = os.environ.get("LLAMA_CPP_LIB_PATH")
    if folder is None:
        import llama_cpp

        folder = pathlib.Path(llama_cpp.__file__).parent / "lib"
    return ctypes.CDLL(str(pathlib.Path(folder) / "libggml-base.so"))


def from_gguf(name: str, random: np.random.Generator) -> tuple[list[bytes], np.ndarray]:
    if name in OF_GGML:
        _, per_block, size, function = OF_GGML[name]
    else:
        type = gguf.GGMLQuantizationType[name]
        per_block, size = gguf.GGML_QUANT_SIZES[type]
    columns = max(512, 2 * per_block)
    if name.startswith(("IQ1", "IQ2", "IQ3")):
        columns = {"IQ1_S": 4096, "IQ1_M": 4096, "IQ2_S": 2048, "IQ2_XS": 1024}.get(name, 512)
    blocks = every_byte(random, ROWS * columns // per_block, size)
    if name == "F32":
        blocks = random.normal(0, 1, (ROWS * columns, 1)).astype(np.float32).view(np.uint8)
    elif name == "F64":
        blocks = random.normal(0, 1, (ROWS * columns, 1)).view(np.uint8)
    elif name in ("F16", "BF16"):
        blocks = halves(random, ROWS * columns).reshape(-1, 1).view(np.uint8)
    elif name == "IQ1_M":
        scale = halves(random, len(blocks))
        for k in range(4):
            blocks[:, 49 + 2 * k] = blocks[:, 49 + 2 * k] & 15 | (scale >> 4 * k << 4).astype(np.uint8)
    for at in HALVES.get(name, []):
        blocks[:, at : at + 2] = halves(random, len(blocks)).reshape(-1, 1).view(np.uint8)
    if name.startswith(("IQ1", "IQ2", "IQ3")):
        set_points(name, blocks, random)
    rows = blocks.reshape(ROWS, -1)
    if name in NUMBERS:
        values = rows.view(NUMBERS[name]).astype(np.float32)
    elif name in OF_GGML:
        values = np.empty((ROWS, columns), np.float32)
        data = np.ascontiguousarray(rows)
        getattr(ggml_library(), function)(
            ctypes.c_void_p(data.ctypes.data), ctypes.c_void_p(values.ctypes.data), ctypes.c_int64(values.size))
    else:
        values = gguf.dequantize(rows, type).astype(np.float32).reshape(ROWS, columns)
    return [rows.tobytes()], values


def round_to(values: np.ndarray, dtype) -> np.ndarray:
    return np.array(mx.array(values).astype(dtype).astype(mx.float32))


def from_mlx(bits: int, group: int, dtype, random: np.random.Generator) -> tuple[list[bytes], np.ndarray]:
    columns = 512
    weights = mx.array(random.normal(0, 0.05, (ROWS, columns)).astype(np.float32)).astype(dtype)
    _, scales, biases = mx.quantize(weights, group_size=group, bits=bits)
    words = every_byte(random, ROWS, columns * bits // 8).view(np.uint32)
    codes = mx.array(words)
    stream = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little").reshape(ROWS, columns, bits)
    unpacked = (stream << np.arange(bits)).sum(-1)
    assert len(np.unique(unpacked)) == 1 << bits, f"{bits} bits: not every code occurs"
    s, b = (np.repeat(np.array(x.astype(mx.float32)), group, -1) for x in (scales, biases))
    values = (s * unpacked.astype(np.float32)) + b
    rounded = round_to(round_to(s * unpacked.astype(np.float32), dtype) + b, dtype)
    theirs = mx.dequantize(codes, scales, biases, group_size=group, bits=bits)
    assert np.array_equal(rounded, np.array(theirs.astype(mx.float32))), "mlx decodes otherwise"
    raw = [np.array(x.view(mx.uint16 if dtype != mx.float32 else mx.uint32)).tobytes() for x in (scales, biases)]
    return [words.tobytes(), *raw], values


def from_mlx_floats(mode: str, random: np.random.Generator) -> tuple[list[bytes], np.ndarray]:
    bits, group = {"mxfp4": (4, 32), "nvfp4": (4, 16), "mxfp8": (8, 32)}[mode]
    columns = 64 * group  # 256 scales: every byte
    words = every_byte(random, ROWS, columns * bits // 8)
    scales = every_byte(random, ROWS, columns // group)
    # What OCP's specification calls NaN is not written by anybody.
    if bits == 8:
        words[(words & 127) == 127] ^= 1
    if mode == "nvfp4":
        scales[(scales & 127) == 127] ^= 1
    elif mode == "mxfp4":
        scales[scales == 255] = 254
    else:
        scales = np.resize(np.arange(19, 245, dtype=np.uint8), ROWS * columns // group).reshape(ROWS, -1)  # within bf16
    values = mx.dequantize(
        mx.array(words.view(np.uint32)), mx.array(scales), group_size=group, bits=bits, mode=mode, dtype=mx.float32)
    return [words.tobytes(), scales.tobytes()], np.array(values)


def as_words(codes: np.ndarray, bits: int) -> np.ndarray:
    """Groups of 32 / bits consecutive codes of a line as u32, the first lowest."""
    lines = codes.astype(np.uint32).reshape(codes.shape[0], -1, 32 // bits)
    return (lines << (bits * np.arange(32 // bits, dtype=np.uint32))).sum(-1, dtype=np.uint32)


def from_awq(group: int, random: np.random.Generator) -> tuple[list[bytes], np.ndarray]:
    from mlx_lm.utils import _transform_awq_weights

    rows, columns = SHARED_ROWS, 2 * group
    words = every_byte(random, columns, rows // 2).view(np.uint32)
    zeros = every_byte(random, columns // group, rows // 2).view(np.uint32)
    scales = halves(random, columns // group * rows).reshape(-1, rows).view(np.float16)
    parts = {"x.qweight": words, "x.qzeros": zeros, "x.scales": scales.astype(np.float32)}
    given, _ = _transform_awq_weights({k: mx.array(v) for k, v in parts.items()}, dict(bits=4, group_size=group))
    values = np.array(mx.dequantize(given["x.weight"], given["x.scales"], given["x.biases"], group_size=group, bits=4))
    return [words.tobytes(), scales.tobytes(), zeros.tobytes()], values


def from_gptq(bits: int, group: int, zeros: str, random: np.random.Generator) -> tuple[list[bytes], np.ndarray]:
    rows, columns = SHARED_ROWS, 2 * group
    codes = every_byte(random, columns, rows) & ((1 << bits) - 1)  # [columns, rows], as the file runs
    stored = every_byte(random, columns // group, rows) & ((1 << bits) - 1)
    if zeros == "constant":
        stored[:] = (1 << (bits - 1)) - 1
    scales = halves(random, columns // group * rows).reshape(-1, rows).view(np.float16)
    zero = np.repeat(stored.astype(np.float32) + (zeros != "stored"), group, 0)
    values = (np.repeat(scales.astype(np.float32), group, 0) * (codes.astype(np.float32) - zero)).T
    return [as_words(codes.T, bits).T.tobytes(), scales.tobytes(), as_words(stored, bits).tobytes()], np.ascontiguousarray(values)


def from_fp8(random: np.random.Generator) -> tuple[list[bytes], np.ndarray]:
    import torch

    rows, columns = 130, 200  # more than a block either way
    codes = every_byte(random, rows, columns)
    codes[(codes & 127) == 127] ^= 1
    scales = random.normal(0, 0.01, (2, 2)).astype(np.float32)
    values = torch.from_numpy(codes).view(torch.float8_e4m3fn).float().numpy()
    wide = np.repeat(np.repeat(scales, 128, 0), 128, 1)[:rows, :columns]
    return [codes.tobytes(), scales.tobytes()], wide * values


def writer(stem: str, planes: int, versions: dict[str, str]) -> str:
    if stem in OF_GGML:
        return "libggml-base of llama.cpp"
    if stem.startswith(("awq", "gptq", "fp8")):
        return {"a": "mlx-lm " + versions["mlx-lm"], "g": "numpy " + versions["numpy"], "f": "torch " + versions["torch"]}[stem[0]]
    return "gguf " + versions["gguf"] if planes == 1 else "mlx " + versions["mlx"]


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    entries, files = [], {}
    versions = {name: importlib.metadata.version(name) for name in ("gguf", "mlx", "mlx-lm", "numpy", "torch")}
    formats = [(name, name, lambda random, name=name: from_gguf(name, random)) for name in TYPES]
    for bits in (2, 3, 4, 5, 6, 8):
        for group in (32, 64, 128):
            for scale, dtype in (("f16", mx.float16), ("bf16", mx.bfloat16), ("f32", mx.float32)):
                formats.append(
                    (f"affine{bits}-g{group}-{scale}", f"affine {bits}-bit group {group} ({scale})",
                     lambda random, a=(bits, group, dtype): from_mlx(*a, random)))
    formats += [(mode, mode, lambda random, mode=mode: from_mlx_floats(mode, random)) for mode in ("mxfp4", "nvfp4", "mxfp8")]
    for group in (32, 64, 128):
        formats.append((f"awq-g{group}", f"AWQ group {group} (f16)", lambda random, group=group: from_awq(group, random)))
        for bits in (2, 4, 8):
            for kind, spelled in (("constant", "symmetric, "), ("stored", "version 2, "), ("less one", "")):
                formats.append(
                    (f"gptq{bits}-g{group}-{kind.replace(' ', '-')}", f"GPTQ {bits}-bit {spelled}group {group} (f16)",
                     lambda random, a=(bits, group, kind): from_gptq(*a, random)))
    formats.append(("fp8-128x128-f32", "FP8 block 128 × 128 (f32)", from_fp8))
    for index, (stem, name, make) in enumerate(formats):
        planes, values = make(np.random.default_rng(SEED + index))
        path = FOLDER / f"{stem}.bin"
        path.write_bytes(b"".join(planes) + values.astype("<f4").tobytes())
        entries.append(dict(file=path.name, format=name, rows=values.shape[0], columns=values.shape[1], planes=[len(plane) for plane in planes]))
        files[path] = dict(writer=writer(stem, len(planes), versions), seed=SEED + index)
    path = FOLDER / "quants.json"
    path.write_text(json.dumps(dict(versions=versions, seed=SEED, formats=entries), indent=1) + "\n")
    files[path] = dict(writer="tools/oracle/quants.py", seed=SEED)
    manifest.record(files, replacing="quants/")


if __name__ == "__main__":
    main()
