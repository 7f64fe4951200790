"""Writes testdata/tiny: random models of every architecture in every form, by the reference tools, with the reference's logits.

Usage: tiny.py --llama-cpp SOURCE --llama-bin FOLDER [NAME…]
  SOURCE  llama.cpp's source (vendor/llama.cpp of the package llama_cpp_python 0.3.36)
  FOLDER  holds llama-quantize built from it
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import manifest
import tiny_tokenizer
from checkpoints import gguf_weights, mlx_weights
from tiny_models import MODELS

ROOT = pathlib.Path(__file__).parents[2]
TINY = ROOT / "testdata/tiny"
PROMPT_TOKENS = 48
torch.set_num_threads(2)


def write_json(path: pathlib.Path, value) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_tokenizer(folder: pathlib.Path, spec: dict):
    kind = spec["kind"]
    if kind in ("llama2", "gemma"):
        tokenizer, model = tiny_tokenizer.sentence_piece(kind, spec["vocabulary"])
        (folder / "tokenizer.model").write_bytes(model)
    else:
        tokenizer = tiny_tokenizer.byte_level(kind, spec["vocabulary"], spec["specials"])
    tokenizer.save(str(folder / "tokenizer.json"))
    added = json.loads(tokenizer.to_str())["added_tokens"]
    config = dict(
        added_tokens_decoder={str(a["id"]): {k: a[k] for k in ("content", "lstrip", "normalized", "rstrip", "single_word", "special")} for a in added},
        bos_token=spec["begin"], eos_token=spec["end"], clean_up_tokenization_spaces=False, model_max_length=2048,
        tokenizer_class="PreTrainedTokenizerFast",
    )
    if kind in ("llama2", "gemma"):
        config |= dict(add_bos_token=True, add_eos_token=False, unk_token="<unk>", add_prefix_space=kind == "llama2")
    if spec["template"]:
        config["chat_template"] = spec["template"]
    write_json(folder / "tokenizer_config.json", config)
    return tokenizer


def randomise(model: torch.nn.Module, seed: int, unit_offset: bool) -> None:
    """Values of the size that trained weights have, so that attention is sharp and every part of the model matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                values = 0.2 * noise + (0 if unit_offset else 1)
            elif name.endswith("bias"):
                values = 0.3 * noise
            elif "embed_tokens" in name or "lm_head" in name:
                values = noise * 1.5 / parameter.shape[1] ** 0.5
            else:
                values = noise * 0.8 / parameter.shape[1] ** 0.5
            parameter.copy_(values)


def write_hugging_face(folder: pathlib.Path, spec: dict) -> list[int]:
    folder.mkdir(parents=True)
    tokenizer = write_tokenizer(folder, spec)
    config = dict(spec["config"], vocab_size=tokenizer.get_vocab_size())
    number = {s: tokenizer.token_to_id(s) for s in spec["ends"] + [spec["begin"] or spec["end"]]}
    config["bos_token_id"] = number[spec["begin"]] if spec["begin"] else None
    config["eos_token_id"] = number[spec["end"]]
    if config["model_type"].startswith("gemma"):
        config["pad_token_id"] = 0
    write_json(folder / "config.json", dict(sorted(config.items())))
    ends = [number[s] for s in spec["ends"]]
    write_json(folder / "generation_config.json", dict(
        bos_token_id=config["bos_token_id"], eos_token_id=ends if len(ends) > 1 else ends[0], do_sample=True, temperature=0.6, top_p=0.9))
    stored = getattr(torch, config.get("torch_dtype") or config["dtype"])
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    randomise(model, spec["seed"], config["model_type"].startswith("gemma"))
    weights = {n: p.detach().to(stored).contiguous() for n, p in model.named_parameters()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    return prompt(folder)


def prompt(folder: pathlib.Path) -> list[int]:
    """The shortest beginning of the text, in whole words, that has at least PROMPT_TOKENS tokens."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = tiny_tokenizer.TEXT.read_text()[:400].split(" ")
    for count in range(1, len(words)):
        text = " ".join(words[:count])
        ids = tokenizer.encode(text)
        if len(ids) >= PROMPT_TOKENS:
            write_json(folder.parent / "prompt.json", dict(text=text, ids=ids))
            return ids
    raise SystemExit("the text is too short")


def logits(folder: pathlib.Path, weights: dict[str, torch.Tensor], ids: list[int], **changes) -> np.ndarray:
    config = AutoConfig.from_pretrained(folder)
    for key, value in changes.items():
        setattr(config, key, value)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    missing, unexpected = model.load_state_dict({n: t.float() for n, t in weights.items()}, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    if missing:
        assert config.tie_word_embeddings
        model.tie_weights()
    model.eval()
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def write_logits(path: pathlib.Path, values: np.ndarray) -> None:
    assert np.isfinite(values).all()
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(values.astype("<f4").tobytes())


# llama.cpp's converter, with the tokenizer's split pattern told instead of guessed from a hash. It brings its own gguf package.
CONVERTER = """
import sys
source, kind, *sys.argv[1:] = sys.argv[1:]
sys.path[:0] = [source + "/gguf-py", source]
import conversion.base
conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: kind
import convert_hf_to_gguf
convert_hf_to_gguf.main()
"""


def write_gguf(source: pathlib.Path, target: pathlib.Path, llama_cpp: pathlib.Path, name: str, kind: str, outtype: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / f"tiny-{name}"  # its name becomes general.name
        shutil.copytree(source, folder)
        subprocess.run(
            [sys.executable, "-B", "-c", CONVERTER, llama_cpp.resolve(), kind, folder, "--outfile", target, "--outtype", outtype, "--no-lazy"],
            check=True)


def write_mlx(source: pathlib.Path, target: pathlib.Path, bits: int, group: int, dtype: str, embedding: int | None = None) -> None:
    import mlx.core as mx
    from mlx_lm import convert

    mx.set_default_device(mx.cpu)

    def choose(path, module):
        return dict(group_size=group, bits=embedding, mode="affine") if "embed_tokens" in path else True

    convert(str(source), str(target), quantize=True, q_group_size=group, q_bits=bits, dtype=dtype, quant_predicate=choose if embedding else None)
    (target / "README.md").unlink(missing_ok=True)
    for name in ("config.json", "tokenizer_config.json"):
        content = json.loads((target / name).read_text())
        for key in ("_name_or_path", "name_or_path", "local_files_only", "is_local"):
            content.pop(key, None)
        write_json(target / name, content)


def write_model(name: str, arguments: argparse.Namespace) -> None:
    spec = MODELS[name]
    folder = TINY / name
    shutil.rmtree(folder, ignore_errors=True)
    hf = folder / "hf"
    ids = write_hugging_face(hf, spec)
    from safetensors.torch import load_file
    expected = logits(hf, load_file(hf / "model.safetensors"), ids)
    write_logits(folder / "logits/hf.f32", expected)

    first = "BF16" if spec["config"].get("torch_dtype") == "bfloat16" else "F32"
    (folder / "gguf").mkdir()
    write_gguf(hf, folder / f"gguf/{first}.gguf", arguments.llama_cpp, name, spec["kind"], first.lower())
    for kind in spec["gguf"]:
        subprocess.run(
            [arguments.llama_bin / "llama-quantize", "--pure", folder / f"gguf/{first}.gguf", folder / f"gguf/{kind}.gguf", kind, "2"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"LD_LIBRARY_PATH": str(arguments.llama_bin)})
    # GGUF cannot say these: that a llama has a window, and that Gemma 3 scales queries otherwise than by the head's size.
    changes = {"mistral": dict(sliding_window=None), "gemma3": dict(query_pre_attn_scalar=spec["config"].get("head_dim"))}.get(name, {})
    for kind in [first, *spec["gguf"]]:
        found = logits(hf, gguf_weights(folder / f"gguf/{kind}.gguf"), ids, **changes)
        write_logits(folder / f"logits/gguf-{kind}.f32", found)
        print(f"{name} gguf {kind}: largest difference from the unquantised model {np.abs(found - expected).max():.3g}", flush=True)
    for target, *choice in spec["mlx"]:
        write_mlx(hf, folder / "mlx" / target, *choice)
        found = logits(hf, mlx_weights(folder / "mlx" / target), ids)
        write_logits(folder / f"logits/mlx-{target}.f32", found)
        print(f"{name} mlx {target}: largest difference from the unquantised model {np.abs(found - expected).max():.3g}", flush=True)


def write_manifest() -> None:
    """For each file: which tool and version wrote it, from which seed, and its hash."""
    tools = {p: version(p) for p in ("torch", "transformers", "gguf", "safetensors", "tokenizers", "sentencepiece", "mlx", "mlx-lm")}
    llama = "llama.cpp of llama_cpp_python 0.3.36"
    entries = {}

    def writer(part: str, file: str) -> str:
        if part == "gguf":
            return f"{llama}: " + ("convert_hf_to_gguf.py" if file in ("F32.gguf", "BF16.gguf") else "llama-quantize --pure")
        if part == "mlx":
            return f"mlx_lm.convert {tools['mlx-lm']} on mlx {tools['mlx']}"
        if part == "logits" or file == "prompt.json":
            return f"transformers {tools['transformers']} on torch {tools['torch']}, f32, eager attention"
        if file == "tokenizer.model":
            return f"sentencepiece {tools['sentencepiece']}"
        if file == "tokenizer.json":
            return f"tokenizers {tools['tokenizers']}"
        return "tools/oracle/tiny.py" + (f", safetensors {tools['safetensors']}" if file.endswith("safetensors") else "")

    for name, spec in MODELS.items():
        for file in sorted((TINY / name).rglob("*")):
            if file.is_file():
                inside = file.relative_to(TINY / name)
                part = writer(inside.parts[0] if len(inside.parts) > 1 else "", file.name)
                if name == "llama" and inside.as_posix() == "gguf/BF16.gguf":
                    part = f"{llama}: llama-quantize --pure"
                entries[file] = dict(writer=part, seed=spec["seed"])
    manifest.record(entries, replacing="tiny/")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-cpp", type=pathlib.Path, required=True)
    parser.add_argument("--llama-bin", type=pathlib.Path, required=True)
    parser.add_argument("names", nargs="*", default=list(MODELS))
    arguments = parser.parse_args()
    for model in arguments.names:
        write_model(model, arguments)
    write_manifest()
