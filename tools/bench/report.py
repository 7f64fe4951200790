"""From the JSON to the page: medians, ratios, verdicts, plots. Measures nothing."""
import statistics

import plot
from sections import IK, LLAMA

REACHED = 0.95  # of a limit measured in the same rounds: as good as there


def amount(value):
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def spread(values, digits=None):
    """`median (least–most)`."""
    show = amount if digits is None else lambda value: f"{value:.{digits}f}"
    middle = show(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({show(min(values))}–{show(max(values))})"


def ratios(ours, theirs):
    return [one / other for one, other in zip(ours, theirs) if other]


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows), ""]


def limit_share(row):
    """Which part of the limit that was measured beside it a row reaches, and in words; None where there is no limit."""
    limit = row.get("limit")
    if not limit:
        return None, "–"
    pairs = zip(row["lmx"], limit["rates"]) if len(limit["rates"]) > 1 else ((rate, limit["rates"][0]) for rate in row["lmx"])
    share = statistics.median(rate / most for rate, most in pairs)
    if limit["kind"] == "memory":
        return share, f"{100 * share:.0f} % of {statistics.median(limit['read_gb_per_second']):.0f} GB/s ({limit['bytes'] / 1e6:,.0f} MB a step)"
    return share, f"{100 * share:.0f} % of {limit['gops']:.0f} GOPS"


def verdict(row):
    """Met, limit reached, or short and of what."""
    share, _ = limit_share(row)
    misses, met, unknown = [], 0, 0
    for name, target in row.get("targets", {}).items():
        runs = row["peers"].get(name, "not present")
        if isinstance(runs, str):
            unknown += 1
        elif (ratio := statistics.median(ratios(row["lmx"], runs))) < target:
            misses.append(f"{ratio:.2f} of {target:g} × {name}")
        else:
            met += 1
    alone = row.get("alone")
    if alone and alone["target"]:
        ratio = statistics.median(ratios(row["lmx"], alone["rates"]))
        if ratio < alone["target"]:
            misses.append(f"{ratio:.2f} of {alone['target']:g} × one alone")
        else:
            met += 1
    if not misses:
        return ("met" if met else "–") + ("; a peer is not present" if unknown and met else "")
    if share is not None and share >= REACHED:
        return f"{'memory' if row['limit']['kind'] == 'memory' else 'kernel'} limit reached ({100 * share:.0f} %)"
    if share is None:
        return "short: " + ", ".join(misses)
    if row["limit"]["kind"] == "memory":
        bound = f"reading memory would take {100 * share:.0f} % of the time"
    else:
        bound = f"bare matrix products would take {100 * share:.0f} % of the time"
    return f"short: {', '.join(misses)}; {bound}"


def peer_cells(row, name):
    runs = row["peers"].get(name, "not present")
    target = row.get("targets", {}).get(name)
    wanted = f"≥ {target:g} ×" if target else "–"
    if isinstance(runs, str):
        return ["not present" if "not present" in runs else runs, "–", wanted]
    return [spread(runs), f"**{spread(ratios(row['lmx'], runs), 2)} ×**", wanted]


def absent(name):
    return f"not measured: {name.replace('|', '/')}"


def comparisons(rows):
    lines = []
    for row in rows:
        if "absent" in row:
            lines.append([row["work"], row["model"], absent(row["absent"]), *["–"] * 8])
            continue
        name = row["model"] + (f" ({row['mixture']})" if row.get("mixture") else "")
        lines.append([row["work"], name, spread(row["lmx"]), *peer_cells(row, LLAMA), *peer_cells(row, IK), limit_share(row)[1], verdict(row)])
    return table(["work", "model", "LMX", "llama.cpp", "ratio", "target", "ik_llama.cpp", "ratio", "target", "of the limit", "verdict"], lines)


def alone(rows):
    lines = []
    for row in rows:
        if "alone" in row:
            target = row["alone"]["target"]
            lines.append([row["model"], row["work"], f"{spread(ratios(row['lmx'], row['alone']['rates']), 2)} ×", f"≥ {target:g} ×" if target else "–"])
    return table(["model", "work", "against one alone", "target"], lines) if lines else []


def gaps(rows):
    lines = []
    for row in rows:
        if "absent" in row:
            lines.append([f"{row['model']}: {row['work']}", absent(row["absent"]), *["–"] * 8])
            continue
        mlx, gguf = row["sides"]
        size = mlx["bytes_per_step"] / gguf["bytes_per_step"]
        same = abs(size - 1) <= 0.005
        verdicts = []
        for test in ("prompt", "generate"):
            ratio = statistics.median(row["ratios"][test]) * (size if test == "generate" and not same else 1)  # per byte
            verdicts.append("met" if abs(ratio - 1) <= row["allowed"] else f"{100 * (ratio - 1):+.1f} %")
        judged = f"within {100 * row['allowed']:.0f} %: prompt {verdicts[0]}, decode {'' if same else 'per byte '}{verdicts[1]}"
        decode = statistics.median(row["ratios"]["generate"])
        cause = "equal bytes" if same else f"bytes alone: {1 / size:.3f} ×, the rest: {decode * size:.3f} ×"
        bits = [f"{side['stored_bits']:.2f} → {side['executed_bits']:.2f}" for side in (mlx, gguf)]
        lines.append([
            f"{mlx['model']} / {gguf['model']}" + (f" ({gguf['mixture']})" if gguf["mixture"] else ""), *bits,
            f"{spread(mlx['prompt'])} / {spread(gguf['prompt'])}", f"**{spread(row['ratios']['prompt'], 3)} ×**",
            f"{spread(mlx['generate'])} / {spread(gguf['generate'])}", f"**{spread(row['ratios']['generate'], 3)} ×**",
            f"{mlx['load_seconds']:.2f} / {gguf['load_seconds']:.2f} s", cause,
            judged if same or row["allowed"] > 0.02 else "other bytes: no target"])
    return table(["MLX / GGUF", "bits per weight, MLX: stored → executed", "GGUF", "prompt, tokens/s", "ratio", "decode, tokens/s", "ratio",
                  "load", "difference in decode", "verdict"], lines)


def checks(rows):
    lines = []
    for row in rows:
        if "absent" in row:
            lines.append([row["work"], row["model"], absent(row["absent"]), "–", "–", "–"])
            continue
        if not row["runs"]:
            lines.append([row["work"], row["model"], "no runs", "–", row["note"] or "–", "–"])
            continue
        middle, digits = statistics.median(row["runs"]), 3 if row["unit"] == "×" else 2 if row["unit"] in ("of 1", "GB/s") else 1
        wanted, answer = "–", "–"
        if row["target"]:
            relation, value = row["target"]
            good = {"<=": middle <= value, ">=": middle >= value, "within": abs(middle - 1) <= value}[relation]
            wanted = {"<=": f"≤ {value:g}", ">=": f"≥ {value:g}", "within": f"1 ± {value:g}"}[relation]
            answer = "met" if good else "short"
        lines.append([row["work"], row["model"], f"{spread(row['runs'], digits)} {row['unit']}", wanted, row["note"] or "–", answer])
    return table(["work", "model", "measured", "target", "in figures", "verdict"], lines)


def accuracy(rows):
    lines = []
    for row in rows:
        if "absent" in row:
            lines.append([row["model"], absent(row["absent"]), "–", "–"])
            continue
        theirs = row["llama.cpp"]
        known = not isinstance(theirs, str)
        lines.append([row["model"] + (f" ({row['mixture']})" if row.get("mixture") else ""), f"{row['lmx']:.5f}",
                      f"{theirs:.5f}" if known else theirs, ("met" if row["lmx"] <= theirs else "short") if known else "–"])
    return table(["model", "LMX", "llama.cpp", "LMX not above llama.cpp"], lines)


PLOTS = {
    "prompt": ("Prompt speed by length", "tokens in the prompt", "tokens per second", [32, 64, 128, 256, 512, 1024, 2048, 4096]),
    "depth": ("Generation by depth of the cache", "positions in the cache", "tokens per second", None),
    "batch": ("Sequences generating together", "sequences", "tokens per second, all together", [1, 2, 4, 8, 16, 32]),
}


def plots(document, folder):
    """Writes the SVGs; returns the lines that show them."""
    found = {}
    curves = document["sections"].get("growth", {}).get("curves", {})
    for kind, (title, x_label, y_label, ticks) in PLOTS.items():
        series = []
        for color, curve in enumerate(curves.get(kind, [])):
            series.append({"name": curve["model"], "points": curve["points"], "color": color})
            bound = {"prompt": "bare kernel", "depth": "memory read rate", "batch": "memory or kernel"}[kind]
            series.append({"name": "limit: " + bound, "points": curve["limit"], "color": color, "limit": True})
        if kind == "batch":
            series += batched_peers(document)
        if series:
            depths = kind == "depth"
            top = [x for one in series for x, _ in one["points"]]
            shown = [tick for tick in ticks if min(top) <= tick <= max(top)] if ticks else None
            found[kind] = plot.lines(title, x_label, y_label, series, x_log=not depths, x_ticks=shown)
    if curves.get("threads"):
        series = []
        for curve in curves["threads"]:
            for test in ("prompt", "generate"):
                color = len(series) // 2
                series.append({"name": f"{curve['model']}, {'prompt' if test == 'prompt' else 'decode'}", "points": curve[test], "color": color})
                series.append({"name": "", "points": curve[test + " limit"], "color": color, "limit": True})
        most = max(x for one in series for x, _ in one["points"])
        found["threads"] = plot.lines("Threads", "threads", "tokens per second", series, x_log=False, x_ticks=list(range(most + 1)))
    if series := by_size(document):
        found["size"] = plot.lines("A decode step by the bytes that it reads", "bytes of weights read a step, MB", "milliseconds a token", series)
    if not found:
        return []
    target = folder / "benchmarks"
    target.mkdir(exist_ok=True)
    for name, text in found.items():
        (target / f"{name}.svg").write_text(text)
    return [line for name in found for line in (f"![{name}](benchmarks/{name}.svg)", "")]


def batched_peers(document):
    series = []
    for row in document["sections"].get("batched", {}).get("rows", []):
        for color, name in enumerate((LLAMA, IK), 2):
            runs = row.get("peers", {}).get(name)
            if isinstance(runs, list):
                count = 1 if row["work"].startswith("1 ") else int(row["work"].split()[0])
                label = f"{name}, {row['model'].rsplit(' ', 1)[0]}"
                one = next((one for one in series if one["name"] == label), None)
                if not one:
                    series.append(one := {"name": label, "points": [], "color": color})
                one["points"].append([count, statistics.median(runs)])
    return series


def by_size(document):
    """Decode time of every model against the bytes that a step reads, and the line that reading alone would take."""
    ours, peers, line = [], {LLAMA: [], IK: []}, []
    for row in document["sections"].get("speed", {}).get("rows", []):
        if row.get("work") != "decode" or not row.get("limit"):
            continue
        size = row["limit"]["bytes"] / 1e6
        ours.append([size, 1000 / statistics.median(row["lmx"])])
        line.append([size, 1000 / statistics.median(row["limit"]["rates"])])
        for name, points in peers.items():
            if isinstance(row["peers"].get(name), list):
                points.append([size, 1000 / statistics.median(row["peers"][name])])
    if not ours:
        return []
    return [{"name": "LMX", "points": ours, "color": 0, "dots": True}, *({"name": name, "points": points, "color": color, "dots": True}
            for color, (name, points) in enumerate(peers.items(), 2)), {"name": "limit: memory read rate", "points": line, "color": 4, "limit": True}]


def curve_tables(curves):
    lines = []
    for kind, label in (("prompt", "prompt length"), ("depth", "depth"), ("batch", "sequences together")):
        for curve in curves.get(kind, []):
            points = sorted(curve["points"])
            lines += table([f"{curve['model']}, {label}", *(f"{x:,}" for x, _ in points)], [["tokens/s", *(amount(y) for _, y in points)]])
    for curve in curves.get("threads", []):
        for test, label in (("prompt", "prompt"), ("generate", "decode")):
            points = sorted(curve[test])
            lines += table([f"{curve['model']}, {label}, threads", *(str(x) for x, _ in points)], [["tokens/s", *(amount(y) for _, y in points)]])
    return lines


HEADINGS = {
    "speed": ("Prompts and generation", "tokens per second, medians with least and most; a ratio is the median of the rounds' ratios."),
    "depth": ("Generation at depth", "The same with a long text in the cache, keys and values in 16 bits."),
    "batched": ("Many together", "Each sequence has its own prompt of 64 tokens; counted is generation only, all sequences together (what "
                "llama-batched-bench calls S_TG)."),
    "gap": ("The price of a format", "An MLX checkpoint and a GGUF in turn within one process, pair by pair. `lmx convert` moves the codes of the GGUF "
            "where it can; bits per weight are of the whole model, as stored and as executed. A file of more than one type is named as the mixture that it is."),
    "growth": ("Growth", "LMX alone. Dashed: the machine's limit for the same work, measured in the same run."),
    "memory": ("Loading and memory", "The file is in the system's cache. Foretold is what `lmx inspect` reckons for weights, cache and buffers."),
    "serving": ("Serving", "Through `lmx serve` on the loopback interface."),
    "cache": ("Keys and values in 8 bits", ""),
    "speculation": ("Speculation", "Tokens proposed from the text itself and verified in one batch; greedy, 300 tokens."),
    "accuracy": ("Accuracy", "Mean KL divergence of the next-token distribution from f32 arithmetic over the same weights, windows of 512 tokens, second halves scored: "
                 "what each engine's arithmetic costs on the same file."),
}


def write(document, folder):
    """benchmarks.md and its plots beside the JSON."""
    machine, sections = document["machine"], document["sections"]
    lines = ["# Benchmarks", "", "Written by `make bench` (`tools/bench/compare`) from [the figures](benchmarks.json); not edited by hand.", "",
             f"- machine: {machine['processor']}, {machine['cores']} cores, {document['lmx']['threads']} threads, "
             f"{machine['memory_bytes'] / 2**30:.0f} GiB; {', '.join(machine['instruction_sets']) or 'baseline'}",
             f"- LMX {document['lmx']['version']}, instruction set {document['lmx']['instruction_set']}",
             *(f"- {name}: {text if 'not present' in text else text.removeprefix(name + ' ')}" for name, text in document["peers"].items()),
             f"- measured in {sum(one['seconds'] for one in sections.values()) / 60:.0f} minutes, "
             f"{', '.join(sorted({one['date'] for one in sections.values()}))}",
             "- memory read rate by working set: " + ", ".join(
                 f"{read['bytes'] / 2**20:,.0f} MiB {read['gb_per_second']:.0f} GB/s" for read in document["reads"]), ""]
    if any(one.get("quick") for one in sections.values()):
        lines += ["**Quick figures: small sizes, one round. They show that it works, not how fast it is.**", ""]
    lines += ["Programs run in turn, A B C A B C, so that a drift of the machine's speed falls on all. The limit of generation is what reading "
              "the step's weights, keys and values would take at the read rate over a working set of that size; the limit of prompts is the rate of the "
              "bare matrix product, measured over a slice that stays in the second-level cache, with the same forms and widths (GOPS: 10⁹ "
              "multiplications and additions per second). Both are measured beside the rows that they bound.", ""]
    shown = plots(document, folder)
    for name, (heading, text) in HEADINGS.items():
        if name not in sections:
            continue
        section = sections[name]
        lines += [f"## {heading}", "", *([text, ""] if text else [])]
        if "absent" in section:
            lines += [section["absent"], ""]
        if name == "gap":
            lines += gaps(section.get("rows", []))
        elif "rows" in section:
            lines += comparisons(section["rows"]) + alone(section["rows"])
        lines += checks(section["checks"]) if "checks" in section else []
        lines += accuracy(section["accuracy"]) if "accuracy" in section else []
        lines += shown + curve_tables(section["curves"]) if "curves" in section else []
    lines += ["## Commands", ""]
    for name, section in sections.items():
        if section["commands"]:
            lines += [f"<details><summary>{HEADINGS[name][0]} ({section['seconds']} s)</summary>", "", "```",
                      *(command for commands in section["commands"].values() for command in commands), "```", "", "</details>", ""]
    (folder / "benchmarks.md").write_text("\n".join(lines).rstrip() + "\n")


def changes(before, after):
    """LMX's medians of the same rows, before and after, as a table."""
    def medians(document):
        return {(row["work"], row["model"]): statistics.median(row["lmx"]) for section in document["sections"].values()
                for row in section.get("rows", []) if row.get("lmx")}
    old, new = medians(before), medians(after)
    rows = [[work, model, amount(old[work, model]), amount(rate), f"{rate / old[work, model]:.3f} ×"]
            for (work, model), rate in new.items() if (work, model) in old]
    return "\n".join(table(["work", "model", "before", "after", "ratio"], rows))
