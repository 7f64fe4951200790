"""Checks conversions against the programs that the results are for: llama.cpp, mlx-lm, transformers, gguf and safetensors.

Usage: convert_check.py --lmx BINARY [--models FOLDER] [--llama-bin FOLDER] [STEP…]
  tiny      every tiny model from every form into every other that is exact: the peers' logits against the recorded ones
  written   what mlx_lm.convert and llama-quantize write in each of their modes says here what it says there (needs --llama-bin)
  real      every GGUF file and MLX checkpoint of --models, there and back: bytes compared, greedy text of 64 tokens against llama.cpp
  exact     the same models as f32 checkpoints: greedy text of 64 tokens against transformers
  tensors   --given and --made: two files or folders of one form hold the same bytes

Needs llama_cpp (LLAMA_CPP_LIB_PATH), mlx-lm, transformers, gguf. Logits of dequantised weights in f32: 1e-6 from transformers and
from mlx-lm told to compute in f32. In its own type mlx-lm rounds activations: what that costs is measured beside it, 1e-3 at most in
f16; llama.cpp rounds activations to bytes, a divergence of the order of 1e-3.
"""

import argparse
import itertools
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
PROMPT = "Once upon a time, there was"
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


def mlx_logits(path, ids, f32=False) -> np.ndarray:
    """In the checkpoint's own type, or with scales, biases and all else in f32."""
    import mlx.core as mx
    from mlx_lm import load
    mx.set_default_device(mx.cpu)
    model, _ = load(str(path))
    if f32:
        model.set_dtype(mx.float32)
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


def judge(what: str, expected, found, limit: float) -> None:
    value = divergence(expected, found)
    good = value < limit
    note = f"KL divergence {value:.2g}, largest difference {np.abs(expected - found).max():.2g}"
    print(f"{'ok  ' if good else 'FAIL'} {what}: {note}", flush=True)
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
        # mlx-lm knows no window for mistral, and a GGUF file of a llama cannot say one: positions within the window remain.
        seen = slice(16 if folder.name == "mistral" else None)
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
                        plain, own = mlx_logits(target, ids, f32=True)[seen], mlx_logits(target, ids)[seen]
                        judge(what + ", mlx-lm in f32", expected[seen], plain, 1e-6)
                        print(f"     mlx-lm's own type costs it {divergence(plain, own):.2g}", flush=True)
                        judge(what + ", mlx-lm", expected[seen], own, max(1e-3, 1.01 * divergence(plain, own)))
                    else:
                        judge(what + ", llama.cpp", expected[seen], llama_logits(target, ids)[seen], 5e-3)
                    found = token_ids(target, prompt["text"])
                    if found != ids:
                        print(f"FAIL {what}: other tokens\n  {ids}\n  {found}")
                        failures.append(what)


def says_the_same(a, what: str, path, logits, limit: float) -> None:
    """Our greedy tokens, precisely computed, and the likelihoods of the first five at each, against a peer's logits on them."""
    text = json.loads((TINY / "llama/prompt.json").read_text())["text"]
    done = subprocess.run(
        [a.lmx, "run", path, text, "--raw", "--precise", "--temperature", "0", "--max-tokens", "24", "--top-logprobs", "5", "--json"],
        capture_output=True, text=True)
    if done.returncode:
        print(f"FAIL {what}: {done.stderr.strip()}", flush=True)
        failures.append(what)
        return
    steps = json.loads(done.stdout)["tokens"]
    ids = token_ids(path, text)
    found = logits(path, ids + [step["id"] for step in steps])[len(ids) - 1 :].astype(np.float64)
    found -= np.log(np.exp(found - found.max(1, keepdims=True)).sum(1, keepdims=True)) + found.max(1, keepdims=True)
    worst = max(abs(top["logprob"] - found[place, top["id"]]) for place, step in enumerate(steps) for top in step["top"])
    good = worst < limit
    print(f"{'ok  ' if good else 'FAIL'} {what}: {len(steps)} tokens, log-probabilities differ by {worst:.2g} at most", flush=True)
    if not good:
        failures.append(what)


def written(a) -> None:
    import mlx.core as mx
    from mlx_lm import convert as mlx_convert
    mx.set_default_device(mx.cpu)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        choices = [("affine", bits, group, None) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128)]
        choices += [("mxfp4", 4, 32, None), ("nvfp4", 4, 16, None), ("mxfp8", 8, 32, None)]
        choices += [("affine", 4, 64, recipe) for recipe in ("mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6")]
        for mode, bits, group, recipe in choices:
            target = scratch / f"{recipe or f'{mode}-{bits}'}-{group}"
            mlx_convert(
                str(TINY / "llama/hf"), str(target), quantize=True, q_group_size=group, q_bits=bits, q_mode=mode, dtype="float16",
                quant_predicate=recipe)
            says_the_same(a, f"mlx_lm.convert {target.name}", target, lambda path, ids: mlx_logits(path, ids, f32=True), 2e-3)
        tools = os.environ | {"LD_LIBRARY_PATH": str(a.llama_bin)}
        silent = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=tools)
        source, importance = TINY / "llama/gguf/F32.gguf", scratch / "importance.gguf"
        text = ROOT / "testdata/text/english.txt"
        subprocess.run(
            [a.llama_bin / "llama-imatrix", "-m", source, "-f", text, "-o", importance, "-c", "128", "--chunks", "8", "-t", "2"], check=True,
            **silent)
        types = """F32 F16 BF16 Q1_0 Q2_0 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 MXFP4_MOE NVFP4 Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M
            Q6_K IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M IQ3_XXS IQ3_XS IQ3_S IQ3_M IQ4_NL IQ4_XS TQ1_0 TQ2_0""".split()
        for kind in types:
            for pure in ([], ["--pure"]):
                target = scratch / f"{kind}{''.join(pure)}.gguf"
                made = subprocess.run(
                    [a.llama_bin / "llama-quantize", *pure, "--imatrix", importance, source, target, kind, "2"], **silent).returncode == 0
                if not made:
                    print(f"     llama-quantize {target.stem}: it gives up itself", flush=True)
                    continue
                # Its products round activations to bytes: not a matter of the weights.
                says_the_same(a, f"llama-quantize {target.stem}", target, llama_logits, 1e-3 if "F" in kind[:2] and "FP4" not in kind else 0.3)


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


def compare_greedy(a, what: str, path, theirs: list[int], tie: float) -> None:
    """Our greedy tokens, precisely computed, against a peer's. Where they part, our first two choices may lie `tie` apart at most."""
    done = subprocess.run(
        [a.lmx, "run", path, PROMPT, "--raw", "--precise", "--temperature", "0", "--max-tokens", "64", "--top-logprobs", "2", "--json"],
        capture_output=True, text=True, check=True)
    steps = json.loads(done.stdout)["tokens"]
    same = next((place for place, (step, other) in enumerate(zip(steps, theirs)) if step["id"] != other), min(len(steps), len(theirs)))
    if same == len(steps):
        print(f"ok   {what}: all {same} tokens alike", flush=True)
        return
    gap = steps[same]["top"][0]["logprob"] - steps[same]["top"][1]["logprob"]
    print(f"{'near' if gap < tie else 'FAIL'} {what}: {same} of {len(steps)} tokens alike, then our first two lie {gap:.2g} apart", flush=True)
    if gap >= tie:
        failures.append(what)


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
            allowed = []
            if convert(a, source, there) is None:
                # What does not move exactly is rounded to 8 bits; the rest has to come back all the same.
                allowed = ["--keep-codes", "--fallback", "mlx-8" if isGGUF else "q8_0", "--group-size", "32"]
                if convert(a, source, there, *allowed) is None:
                    print(f"     {source.name}: refused", flush=True)
                    continue
            convert(a, there, back, *(["--keep-codes", "--fallback", "q8_0"] if allowed else []))
            print(source.name, "there and back:", end=" ")
            if tensors(a, source, back) and not allowed:
                failures.append(source.name)
            accepts(there)
            made = back if isGGUF else there
            peer = llama_cpp.Llama(str(made), n_ctx=256, verbose=False, n_threads=2, type_k=0, type_v=0)
            ids = peer.tokenize(PROMPT.encode(), add_bos=True, special=False)
            theirs = list(itertools.islice(peer.generate(ids, temp=0.0, repeat_penalty=1.0), 64))
            # Its products round activations to bytes, unless the weights are plain numbers.
            plain = {kind for kind, _ in stored(made).values()} <= {"F32", "F16", "BF16"}
            compare_greedy(a, f"{made.name} of {source.name} in llama.cpp", made, theirs, 1e-3 if plain else 0.3)


def exact(a) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    for source in sorted(a.models.iterdir()):
        if source.suffix != ".gguf" and not (source / "config.json").exists():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            made = pathlib.Path(scratch) / "made"
            if convert(a, source, made, "--to", "hf") is None:
                print(f"     {source.name}: refused", flush=True)
                continue
            accepts(made)
            tokenizer = AutoTokenizer.from_pretrained(str(made))
            model = AutoModelForCausalLM.from_pretrained(str(made), dtype=torch.float32).eval()
            ids = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                told = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=64, min_new_tokens=64, do_sample=False)
            compare_greedy(a, f"{source.name} as f32 in transformers", source, told[0, ids.shape[1] :].tolist(), 1e-3)


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
