"""What is measured of LMX alone: loading and memory, time to first token, reuse, speculation, cache types, accuracy.

A check is {"work", "model", "unit", "runs": [...], "target": [relation, value] or None, "note"}; what the program cannot do
yet is {"work", "model", "absent": why}.
"""
import pathlib
import re
import tempfile
import threading
import time

from engines import Failed, root, run
from models import LARGE, SMOL, title
from serving import Server, prose

TEXT = root / "testdata/text/english.txt"


def check(work, model, unit, runs, target=None, note=""):
    return {"work": work, "model": title(model), "unit": unit, "runs": runs, "target": target, "note": note}


def absent(work, model, why):
    return {"work": work, "model": title(model), "absent": why}


def memory(bench):
    """Load rate from a warm file cache, and peak memory against what `inspect` foretells."""
    checks = []
    for family, kind in ((SMOL, "Q4_1"), (SMOL, "F16"), (LARGE, "Q4_0"), (LARGE, "Q4_K_M"), (LARGE, "Q8_0")):
        try:
            model = bench.models.gguf(family, kind)
        except Failed:
            continue
        bench.say(f"  {title(model)}")
        found = [bench.lmx.measure(model, prompt=512, generate=8)[0] for _ in range(2 if bench.quick else 4)]
        rates = [one["file_bytes"] / one["load_seconds"] / 1e9 for one in found[1:]]
        checks.append(check("load, file bytes from cache", model, "GB/s", rates, [">=", 1.5],
                            f"{found[-1]['file_bytes'] / 1e6:.0f} MB in {min(one['load_seconds'] for one in found):.2f} s"))
        over = [(one["peak_resident_bytes"] - one["predicted_bytes"]) / 1e6 for one in found]
        checks.append(check("peak resident memory over weights + cache + buffers", model, "MB", over, ["<=", 100],
                            f"{found[0]['peak_resident_bytes'] / 1e6:.0f} MB, {found[0]['predicted_bytes'] / 1e6:.0f} MB foretold"))
        checks.append(check("peak resident memory, part of what is foretold", model, "×",
                            [one["peak_resident_bytes"] / one["predicted_bytes"] for one in found], ["within", 0.03]))
    return {"checks": checks}


def serving(bench):
    """Through the server: time to first token, the second turn of a chat, and a long prompt that arrives among streams."""
    checks = []
    model = bench.models.gguf(SMOL, "Q4_1")
    bench.note_command("lmx serve " + model.name)
    with Server(bench.lmx.folder / "lmx", model, "--threads", bench.lmx.threads) as server:
        first, reuse, cached, second, gaps, steps = [], [], [], [], [], []
        server.chat([{"role": "user", "content": prose(100, 0)}], 8)
        for turn in range(2 if bench.quick else 5):
            bench.say(f"  time to first token: round {turn + 1}")
            chat = [{"role": "user", "content": prose(340, 2 * turn + 1)}]
            answer = server.chat(chat, 16)
            size = answer["usage"]["prompt_tokens"]
            rate = bench.lmx.speed(model, size, 0)[1]["prompt"]
            first.append(answer["first"] / (size / rate))
            chat += [{"role": "assistant", "content": answer["text"]}, {"role": "user", "content": "And what then?"}]
            again = server.chat(chat, 8)
            reuse.append(again["first"] / answer["first"])
            second.append(1000 * again["first"])
            cached.append(again["usage"].get("prompt_tokens_details", {}).get("cached_tokens", 0) / again["usage"]["prompt_tokens"])
        checks.append(check(f"time to first token, {size} tokens, against the prompt's own time", model, "×", first, ["<=", 1.05]))
        checks.append(check("second turn of a chat: share of its prompt taken from the cache", model, "of 1", cached, [">=", 0.9]))
        checks.append(check("second turn of a chat: time to first token against the first turn's", model, "×", reuse, ["<=", 0.3],
                            f"{sorted(second)[len(second) // 2]:.0f} ms"))
        for turn in range(1 if bench.quick else 3):
            bench.say(f"  a long prompt among streams: round {turn + 1}")
            longest, usual, size = stall(server, 1000 if bench.quick else 3000, 100 + turn)
            gaps.append(1000 * longest)
            steps.append(1000 * usual)
        checks.append(check(f"longest pause of a stream while a prompt of {size} tokens arrives", model, "ms", gaps, None,
                            f"a step alone: {sorted(steps)[len(steps) // 2]:.1f} ms"))
    return {"checks": checks}


def stall(server, words, seed):
    """The longest time between two tokens of a running stream while a long prompt is worked off, the usual time before it, the prompt's size."""
    gaps, done = [], threading.Event()  # (when, seconds since the token before)

    def watch():
        turn = 0
        while not done.is_set():  # a short answer is followed by another
            last = None
            for _ in server.stream([{"role": "user", "content": prose(60, seed + turn)}], 2000, temperature=1):
                now = time.monotonic()
                if last is not None:
                    gaps.append((now, now - last))
                last = now
                if done.is_set():
                    return
            turn += 1000

    watcher = threading.Thread(target=watch)
    watcher.start()
    while len(gaps) < 40 and watcher.is_alive():
        time.sleep(0.01)
    usual = sorted(gap for _, gap in gaps)
    begin = time.monotonic()
    answer = server.chat([{"role": "user", "content": prose(words, seed + 50)}], 2)
    end = time.monotonic()
    done.set()
    watcher.join()
    during = [gap for when, gap in gaps if begin <= when <= end]
    if not during or not usual:
        raise RuntimeError("no stream was running while the long prompt arrived")
    return max(during), usual[len(usual) // 2], answer["usage"]["prompt_tokens"]


def cache(bench):
    """Keys and values in 8 bits against 16, at depth and in accuracy."""
    model = bench.models.gguf(SMOL, "Q4_1")
    checks = []
    for family, kind in ((SMOL, "Q4_1"),) if bench.quick else ((SMOL, "Q4_1"), (LARGE, "Q4_0")):
        model = bench.models.gguf(family, kind)
        ratios = []
        try:
            for turn in range(2 if bench.quick else 3):
                bench.say(f"  {title(model)}: round {turn + 1}")
                rates = [next(iter(bench.lmx.measure(model, generate=32, depth=bench.depth, options=("--kv-cache", value))[1].values()))
                         for value in ("q8", "f16")]
                ratios.append(rates[0] / rates[1])
            checks.append(check(f"8-bit cache against f16, decode at depth {bench.depth}", model, "×", ratios))
        except Failed as error:
            checks.append(absent("8-bit cache against f16, decode at depth", model, str(error)))
    model = bench.models.gguf(SMOL, "Q4_1")
    found = [bench.perplexity(model, "--windows", 8 if bench.quick else 20, "--kv-cache", value)["perplexity"] for value in ("q8", "f16")]
    checks.append(check("perplexity with an 8-bit cache against f16", model, "×", [found[0] / found[1]], ["<=", 1.001]))
    return {"checks": checks}


def speculation(bench):
    """Tokens proposed from the text itself: on a text that repeats its input, and on one that does not."""
    model = bench.models.gguf(SMOL, "Q4_1")
    lines = [f"    {i}: value_{i} = compute(value_{i - 1}, {i * 37 % 101}, scale=0.{i % 7})" for i in range(1, 25)]
    texts = {
        "repeats its input": ["Repeat this list exactly, line by line:\n" + "\n".join(lines), "Copy this text:\n" + prose(150, 7)],
        "does not repeat": ["Tell a long story about a lighthouse.", "Explain how bread is made, step by step."],
    }
    rates = {}
    bench.note_command("lmx serve " + model.name)
    with Server(bench.lmx.folder / "lmx", model, "--threads", bench.lmx.threads) as server:
        for turn in range(1 if bench.quick else 3):
            for kind, prompts in texts.items():
                for index, prompt in enumerate(prompts):
                    bench.say(f"  {kind}: round {turn + 1}")
                    for guesses in (True, False):
                        answer = server.chat([{"role": "user", "content": prompt}], 300, speculation=guesses)
                        span = answer["times"][-1] - answer["times"][0] if len(answer["times"]) > 1 else 0
                        if span:
                            rates.setdefault((kind, index, turn), {})[guesses] = answer["usage"]["completion_tokens"] / span
    checks = []
    for kind, target in (("repeats its input", 1.5), ("does not repeat", 0.97)):
        ratios = [pair[True] / pair[False] for (which, *_), pair in rates.items() if which == kind and len(pair) == 2]
        checks.append(check(f"speculation against none, text that {kind}", model, "×", ratios, [">=", target]))
    return {"checks": checks}


def accuracy(bench):
    """How far each engine's arithmetic is from f32 arithmetic over the same weights: KL divergence of next-token distributions."""
    llama = bench.peers[0]
    windows = 2 if bench.quick else 5
    rows = []
    for kind in ("Q4_1",) if bench.quick else ("Q4_0", "Q4_1", "Q8_0", "Q4_K_M", "F16", "BF16"):
        try:
            model = bench.models.gguf(SMOL, kind)
            bench.say(f"  {title(model)}: LMX")
            ours = bench.perplexity(model, "--windows", windows, "--against", model)["kl_divergence"]
        except Failed as error:
            rows.append({"model": f"{SMOL} {kind}", "absent": str(error)})
            continue
        bench.say(f"  {title(model)}: llama.cpp")
        try:
            theirs = llama_divergence(llama, model, windows)
        except Failed as error:
            theirs = f"failed: {error}"
        rows.append({"model": title(model), "mixture": bench.mixture(model), "windows": windows, "lmx": ours, "llama.cpp": theirs})
    return {"accuracy": rows}


def llama_divergence(llama, model, windows):
    """llama-perplexity's mean KL divergence of a file from its own weights decoded to F32."""
    if llama.absent or not (llama.folder / "llama-perplexity").exists():
        return "llama-perplexity is not present"
    with tempfile.TemporaryDirectory(prefix="lmx-bench-") as folder:
        exact, base = pathlib.Path(folder, "exact.gguf"), pathlib.Path(folder, "base.kld")
        run([llama.folder / "llama-quantize", "--allow-requantize", model, exact, "F32", llama.threads], llama.folder)
        common = ["-f", TEXT, "-t", llama.threads, "-c", 512, "-b", 512, "--chunks", windows, "--kl-divergence-base", base]
        run([llama.folder / "llama-perplexity", "-m", exact, *common], llama.folder)
        answer = run([llama.folder / "llama-perplexity", "-m", model, *common, "--kl-divergence"], llama.folder)
    found = re.search(r"Mean\s+KLD:\s+([-\d.e]+)", answer.stdout + answer.stderr)
    if not found:
        raise Failed("llama-perplexity printed no divergence")
    return float(found[1])
