"""Checks conversions against the programs that the results are for: llama.cpp, mlx-lm, transformers, gguf and safetensors.

Usage: convert_check.py --lmx BINARY [--models FOLDER] [STEP…]
  tiny      every tiny model from every form into every other that is exact: the peers' logits against the recorded ones
  written   what mlx_lm.convert and llama-quantize write in each of their modes opens here (needs --llama-bin)
  real      every GGUF file and MLX checkpoint of --models, there and back: bytes compared, greedy text of 64 tokens against llama.cpp
  tensors   --given and --made: two files or folders of one form hold the same bytes

Needs llama_cpp (LLAMA_CPP_LIB_PATH), mlx-lm, transformers, gguf. Logits of dequantised weights in f32: expect 1e-4 from transformers,
a divergence of 1e-3 at most from mlx-lm in f16, of 1e-2 in bf16, and of the order of 1e-3 from llama.cpp, which rounds activations to bytes.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
TINY = ROOT / "testdata/tiny"
failures = []


def convert(a, source, target, *options) -> dict | None:
    """The report, or None where the conversion is refused."""
    done = subprocess.run([a.lmx, "convert", source, target, "--json", *options], capture_output=True, text=True)
    report = json.loads(done.stdout) if done.stdout else {}
    if done.returncode:
        return None
    return report


def llama_logits(path, ids) -> np.ndarray:
    import llama_cpp
    model = llama_cpp.Llama(str(path), n_ctx=256, logits_all=True, verbose=False, n_threads=2, type_k=0, type_v=0, n_batch=256)
    model.eval(ids)
    return np.array(model.scores[: len(ids)], dtype=np.float32)


def mlx_logits(path, ids) -> np.ndarray:
    import mlx.core as mx
    from mlx_lm import load
    mx.set_default_device(mx.cpu)
    model, _ = load(str(path))
    return np.array(model(mx.array([ids]))[0].astype(mx.float32))


def torch_logits(path, ids) -> np.ndarray:
    import torch
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(str(path), dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].numpy()


def divergence(expected, found) -> float:
    p, q = (x.astype(np.float64) - x.max(1, keepdims=True) for x in (expected, found))
    p, q = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (p, q))
    return float((np.exp(p) * (p - q)).sum(1).mean())


def token_ids(path, text) -> list[int]:
    if path.suffix == ".gguf":
        import llama_cpp
        model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
        return model.tokenize(text.encode(), add_bos=True, special=False)
    from transformers import AutoTokenizer
    return AutoTokenizer.from_pretrained(str(path)).encode(text)


def judge(what: str, expected, found, limit: float, window: bool = False) -> None:
    value = divergence(expected, found)
    good = value < limit or window
    print(f"{'ok  ' if good else 'FAIL'} {what}: KL divergence {value:.2g}, largest difference {np.abs(expected - found).max():.2g}", flush=True)
    if not good:
        failures.append(what)


def accepts(path) -> None:
    """gguf and safetensors read the file, every tensor of it."""
    if path.suffix == ".gguf":
        subprocess.run([pathlib.Path(sys.executable).parent / "gguf-dump", path], check=True, stdout=subprocess.DEVNULL)
    else:
        import safetensors
        for file in path.glob("*.safetensors"):
            with safetensors.safe_open(file, "mlx") as opened:
                for name in opened.keys():
                    opened.get_slice(name).get_shape()


def tiny(a) -> None:
    for folder in sorted(TINY.iterdir()):
        if not folder.is_dir():
            continue
        prompt = json.loads((folder / "prompt.json").read_text())
        ids = prompt["ids"]
        # Mistral's window and Gemma's query scale have no place in a GGUF file of llama.cpp; mlx-lm has no window for mistral.
        window = folder.name == "mistral"
        forms = [("hf", folder / "hf")]
        forms += [(f"gguf-{p.stem}", p) for p in sorted(folder.glob("gguf/*.gguf"))]
        forms += [(f"mlx-{p.name}", p) for p in sorted(folder.glob("mlx/*")) if p.is_dir()]
        for form, source in forms:
            expected = np.fromfile(folder / f"logits/{form}.f32", "<f4").reshape(len(ids), -1)
            with tempfile.TemporaryDirectory() as scratch:
                for to in ("gguf", "mlx", "hf"):
                    target = pathlib.Path(scratch) / (f"{folder.name}.gguf" if to == "gguf" else f"{folder.name}-{to}")
                    options = ["--to", to] + (["--keep-codes"] if "_K" in form and to == "mlx" else [])
                    what = f"{folder.name} {form} → {to}"
                    if convert(a, source, target, *options) is None:
                        print(f"     {what}: refused", flush=True)
                        continue
                    accepts(target)
                    if to == "hf":
                        judge(what + ", transformers", expected, torch_logits(target, ids), 1e-6)
                        accepts(target)
                    elif to == "mlx":
                        judge(what + ", mlx-lm", expected, mlx_logits(target, ids), 1e-2 if "bf16" in form else 1e-3, window)
                    else:
                        judge(what + ", llama.cpp", expected, llama_logits(target, ids), 5e-3, window)
                    found = token_ids(target, prompt["text"])
                    if found != ids:
                        print(f"FAIL {what}: other tokens\n  {ids}\n  {found}")
                        failures.append(what)


def written(a) -> None:
    import mlx.core as mx
    from mlx_lm import convert as mlx_convert
    mx.set_default_device(mx.cpu)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        choices = [("affine", bits, group) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)]
        choices += [("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32)]
        for mode, bits, group in choices:
            target = scratch / f"{mode}-{bits}-{group}"
            mlx_convert(str(TINY / "llama/hf"), str(target), quantize=True, q_group_size=group, q_bits=bits, q_mode=mode, dtype="float16")
            report = convert(a, target, scratch / "out", "--to", "hf", "--dry-run")
            print(f"{'ok  ' if report else 'FAIL'} mlx_lm.convert {mode} {bits} bits group {group}", flush=True)
            failures.extend([] if report else [target.name])
        types = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K_M Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K IQ4_NL IQ4_XS IQ3_S IQ3_XXS TQ1_0 TQ2_0".split()
        for kind in types:
            target = scratch / f"{kind}.gguf"
            subprocess.run(
                [a.llama_bin / "llama-quantize", "--allow-requantize", TINY / "llama/gguf/F32.gguf", target, kind, "2"], check=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"LD_LIBRARY_PATH": str(a.llama_bin)})
            report = convert(a, target, scratch / "out", "--to", "hf", "--dry-run")
            print(f"{'ok  ' if report else 'FAIL'} llama-quantize {kind}", flush=True)
            failures.extend([] if report else [kind])


def stored(path) -> dict:
    """Bytes of every tensor by name."""
    if path.suffix == ".gguf":
        import gguf
        return {t.name: (t.tensor_type.name, t.data.tobytes()) for t in gguf.GGUFReader(path).tensors}
    found = {}
    for file in sorted(path.glob("model*.safetensors")):
        raw = file.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        for name, entry in json.loads(raw[8 : 8 + length]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                found[name] = (entry["dtype"], raw[8 + length + begin : 8 + length + end])
    return found


def tensors(a, given=None, made=None) -> int:
    """How many tensors differ."""
    left, right = stored(pathlib.Path(given or a.given)), stored(pathlib.Path(made or a.made))
    names = [name for name in sorted(left.keys() | right.keys()) if left.get(name) != right.get(name)]
    for name in names:
        print(f"     {name} differs: {left.get(name, ('absent',))[0]}, {right.get(name, ('absent',))[0]}")
    print(f"{len(left) - len(names)} of {len(left)} tensors are equal to the byte", flush=True)
    return len(names)


def real(a) -> None:
    import llama_cpp
    for source in sorted(a.models.iterdir()):
        isGGUF = source.suffix == ".gguf"
        if not isGGUF and not (source / "config.json").exists():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            there = scratch / ("there" if isGGUF else "there.gguf")
            back = scratch / ("back.gguf" if isGGUF else "back")
            if convert(a, source, there) is None:
                print(f"     {source.name}: refused", flush=True)
                continue
            convert(a, there, back)
            print(source.name, "there and back:", end=" ")
            if tensors(a, source, back):
                failures.append(source.name)
            accepts(there)
            made = back if isGGUF else there
            prompt = "Once upon a time, there was"
            peer = llama_cpp.Llama(str(made), n_ctx=256, verbose=False, n_threads=2, type_k=0, type_v=0)
            theirs = peer(prompt, max_tokens=64, temperature=0)["choices"][0]["text"]
            done = subprocess.run(
                [a.lmx, "run", made, prompt, "--raw", "--precise", "--temperature", "0", "--max-tokens", "64", "--json"],
                capture_output=True, text=True, check=True)
            ours = json.loads(done.stdout)["text"]
            same = os.path.commonprefix([ours, theirs])
            print(f"{'ok  ' if ours == theirs else 'near'} {made.name} of {source.name}: {len(same)} of {len(theirs)} characters alike")
            if ours != theirs:
                print(f"     ours   {ours!r}\n     theirs {theirs!r}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lmx", type=pathlib.Path, required=True)
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / "models")
    parser.add_argument("--llama-bin", type=pathlib.Path)
    parser.add_argument("--given")
    parser.add_argument("--made")
    parser.add_argument("steps", nargs="*", default=["tiny"])
    arguments = parser.parse_args()
    for step in arguments.steps:
        globals()[step](arguments)
    print(f"{len(failures)} failures" + "".join(f"\n  {name}" for name in failures))
    sys.exit(bool(failures))
