"""What is measured against the peers: one function a section, each giving rows of figures and saying what bounds them.

A row holds its runs as they were, round by round: {"work", "model", "unit", "lmx": [...], "peers": {name: [...] or reason},
"targets": {name: ratio}, "limit": {...}}. Round i of LMX and of each peer ran one after the other (A B C A B C ...), so
that a drift of the machine's speed falls on all; medians are taken of the rounds' ratios. report.py judges them.
"""
from engines import Failed
from models import LARGE, SMOL, title

LLAMA, IK = "llama.cpp", "ik_llama.cpp"

# family, type, prompt targets, generation targets: against llama.cpp and ik_llama.cpp
SPEED = [
    (SMOL, "Q4_1", (5, 1.4), (1.6, 1.3)),
    (SMOL, "Q4_0", (2, 1.4), (1.6, 1.3)),
    (SMOL, "Q8_0", (2, 1.4), (1.6, 1.3)),
    (SMOL, "Q4_K_M", (None, None), (None, None)),
    (SMOL, "F16", (1.2, None), (None, None)),
    (SMOL, "BF16", (1.5, None), (None, None)),
    (LARGE, "Q4_0", (2.2, 1.5), (1.05, 1.0)),
    (LARGE, "Q4_K_M", (2.2, 1.5), (1.05, 1.0)),
    (LARGE, "Q8_0", (2, 1.2), (1.05, 1.0)),
]
DEPTH = [(SMOL, "Q4_1"), (LARGE, "Q4_0")]
BATCHED = [(LARGE, "Q4_0", (2.2, 1.3), {8: 3, 32: 4.5}), (SMOL, "Q4_1", (3.5, 1.3), {})]
GAP = ["Q4_0", "Q4_1", "Q4_K_M", "Q8_0", "IQ4_NL", "MXFP4"]


def targets(pair):
    return {name: value for name, value in zip((LLAMA, IK), pair) if value}


class Rounds:
    """Runs of one piece of work, in turn; what fails once is left out from then on, with its reason."""

    def __init__(self, bench, model):
        self.bench, self.model = bench, model
        self.found, self.peers, self.lmx = [], {peer.name: peer.absent or [] for peer in bench.peers}, []

    def run(self, count, ours, theirs):
        for turn in range(count):
            self.bench.say(f"  {title(self.model)}: round {turn + 1} of {count}")
            found, rates = ours(self.bench.lmx)
            self.found.append(found)
            self.lmx.append(rates)
            for peer in self.bench.peers:
                if isinstance(self.peers[peer.name], list):
                    try:
                        self.peers[peer.name].append(theirs(peer))
                    except Failed as error:
                        self.peers[peer.name] = f"failed: {error}"
        return self

    def row(self, work, key, **more):
        return {
            "work": work, "model": title(self.model), "unit": "tokens/s", "lmx": [rates[key] for rates in self.lmx],
            "peers": {name: runs if isinstance(runs, str) else [run[key] for run in runs] for name, runs in self.peers.items()},
            **more,
        }

    def memory_limit(self, depth=0, batch=1):
        """Tokens per second if reading were all there is, round by round: weights once a step, keys and values for each sequence."""
        first = self.found[0]
        size = first["bytes_per_step"] + batch * depth * first["cache_bytes_per_token"]
        return {
            "kind": "memory", "bytes": size, "read_gb_per_second": [found["read_gb_per_second"] for found in self.found],
            "rates": [batch * found["read_gb_per_second"] * 1e9 / size for found in self.found],
        }


def arithmetic_limit(kernels, tokens, logits=False):
    """Tokens per second if each matrix product ran at the bare kernel's rate and there were nothing else."""
    kinds = [kind for kind in kernels if kind["tokens"] == tokens and (logits or not kind["logits"])]
    seconds = sum(2 * kind["weights"] / (kind["gops"] * 1e9) for kind in kinds)
    if not seconds:
        return None
    gops = sum(2 * kind["weights"] for kind in kinds) / seconds / 1e9
    return {"kind": "arithmetic", "gops": gops, "rates": [1 / seconds]}


def speed(bench):
    rows = []
    for family, kind, prompt, generate in SPEED:
        if bench.quick and (family, kind) not in ((SMOL, "Q4_1"), (SMOL, "F16"), (LARGE, "Q4_0")):
            continue
        try:
            model = bench.models.gguf(family, kind)
        except Failed as error:
            rows.append({"work": f"prompt {bench.prompt} and decode", "model": f"{family} {kind}", "absent": str(error)})
            continue
        kernels = bench.kernels(model)
        steps = bench.steps(family)
        rounds = Rounds(bench, model).run(bench.rounds(family), lambda lmx: lmx.speed(model, bench.prompt, steps),
                                          lambda peer: peer.speed(model, bench.prompt, steps))
        mixture = bench.mixture(model)
        rows.append(rounds.row(f"prompt {bench.prompt}", "prompt", targets=targets(prompt), mixture=mixture,
                               limit=arithmetic_limit(kernels, bench.prompt)))
        rows.append(rounds.row("decode", "generate", targets=targets(generate), mixture=mixture, limit=rounds.memory_limit(steps / 2)))
    return {"rows": rows}


def depth(bench):
    rows = []
    for family, kind in DEPTH:
        try:
            model = bench.models.gguf(family, kind)
        except Failed as error:
            rows.append({"work": f"decode at depth {bench.depth}", "model": f"{family} {kind}", "absent": str(error)})
            continue
        steps = 8 if bench.quick else 64
        rounds = Rounds(bench, model).run(bench.rounds(LARGE), lambda lmx: lmx.speed(model, 0, steps, bench.depth),
                                          lambda peer: peer.speed(model, 0, steps, bench.depth))
        rows.append(rounds.row(f"decode at depth {bench.depth}, f16 cache", "generate", targets=targets((2, 1.5)),
                               limit=rounds.memory_limit(bench.depth + steps / 2)))
    return {"rows": rows}


def batched(bench):
    rows = []
    for family, kind, against, alone in BATCHED:
        try:
            model = bench.models.gguf(family, kind)
        except Failed as error:
            rows.append({"work": "decoding together", "model": f"{family} {kind}", "absent": str(error)})
            continue
        kernels = bench.kernels(model)
        sequences = [1, 8] if bench.quick else [1, 8, 32]
        prompt, steps = 64, 16 if bench.quick else 64
        rounds = Rounds(bench, model).run(bench.rounds(LARGE), lambda lmx: lmx.batched(model, sequences, prompt, steps),
                                          lambda peer: peer.batched(model, sequences, prompt, steps))
        for count in sequences:
            limits = [rounds.memory_limit(prompt + steps / 2, count), arithmetic_limit(kernels, count, logits=True)]
            limit = min(filter(None, limits), key=lambda one: one["rates"][0])
            row = rounds.row(f"{count} decoding together" if count > 1 else "1 alone, 64-token prompt", count,
                             targets=targets(against) if count > 1 else {}, limit=limit)
            if count > 1:
                row["alone"] = {"rates": [rates[1] for rates in rounds.lmx], "target": alone.get(count)}
            rows.append(row)
    return {"rows": rows}


def gap(bench):
    """One format against another, pair by pair within one process."""
    pairs = []
    families = [SMOL] if bench.quick else [SMOL, LARGE]
    for family in families:
        for kind in GAP[:2] if bench.quick else GAP:
            kind += "-e8" if family == LARGE and kind in ("Q4_0", "Q4_1") else ""
            pairs.append((family, kind, lambda family=family, kind=kind: (
                bench.models.mlx(bench.models.gguf(family, kind)), bench.models.gguf(family, kind)), 0.02))
        pairs.append((family, "groups of 64, and the Q4_1 made of them", lambda family=family: (
            bench.models.affine(family), bench.models.affine_gguf(family)), 0.02))
        pairs.append((family, "groups of 64, and Q4_K_M", lambda family=family: (
            bench.models.affine(family), bench.models.gguf(family, "Q4_K_M")), 0.05))
    rows = []
    for family, kind, make, allowed in pairs:
        try:
            checkpoint, model = make()
            bench.say(f"  {title(checkpoint)} against {title(model)}")
            steps = 16 if bench.quick else 64
            found = bench.lmx.bench("--compare", checkpoint, model, "--prompt", bench.prompt, "--generate", steps,
                                    "--repetitions", 2 if bench.quick else 7 if family == SMOL else 4)
        except Failed as error:
            rows.append({"work": kind, "model": title(family), "absent": str(error)})
            continue
        sides = []
        for side, path in zip(found["models"], (checkpoint, model)):
            facts = bench.facts(path)["file"]
            sides.append({
                "model": title(path), "mixture": bench.mixture(path), "stored_bits": facts["bits_per_weight_stored"],
                "executed_bits": facts["bits_per_weight_executed"], "bytes_per_step": side["bytes_per_step"],
                "load_seconds": side["load_seconds"], "packed_bytes": side["packed_bytes"],
                "prompt": side["tests"][0]["tokens_per_second"], "generate": side["tests"][1]["tokens_per_second"],
            })
        rows.append({"work": kind, "model": title(family), "sides": sides, "allowed": allowed,
                     "ratios": {"prompt": found["ratios"][0], "generate": found["ratios"][1]}})
    return {"rows": rows}


def growth(bench):
    """LMX alone: cost against prompt length, depth, sequences, threads and size."""
    curves = {"prompt": [], "depth": [], "batch": [], "threads": []}
    for family, kind in ((SMOL, "Q4_1"), (LARGE, "Q4_0")):
        try:
            model = bench.models.gguf(family, kind)
        except Failed:
            continue
        name = title(model)
        lengths = [32, 128, 512] if bench.quick else [32, 64, 128, 256, 512, 1024, 2048, 4096]
        depths = [0, 512] if bench.quick else [0, 256, 512, 1024, 2048, 4096, 7936]
        batches = [1, 4] if bench.quick else [1, 2, 4, 8, 16, 32]
        kernels = bench.kernels(model, (lengths[-1], *batches))
        bench.say(f"  {name}: prompt length")
        found, rates = bench.lmx.measure(model, prompt=",".join(map(str, lengths)))
        limit = arithmetic_limit(kernels, lengths[-1])
        curves["prompt"].append({"model": name, "points": [[tokens, rate] for (_, tokens, _, _), rate in rates.items()],
                                 "limit": [[tokens, limit["rates"][0]] for tokens in (lengths[0], lengths[-1])] if limit else []})
        bench.say(f"  {name}: depth")
        steps = 16
        found, rates = bench.lmx.measure(model, generate=steps, depth=",".join(map(str, depths)))
        read = found["read_gb_per_second"] * 1e9

        def memory(depth, batch=1):
            return batch * read / (found["bytes_per_step"] + batch * depth * found["cache_bytes_per_token"])

        curves["depth"].append({"model": name, "points": [[at, rate] for (_, _, at, _), rate in rates.items()],
                                "limit": [[at, memory(at + steps / 2)] for at in depths]})
        bench.say(f"  {name}: sequences together")
        found, rates = bench.lmx.measure(model, generate=32, depth=64, batch=",".join(map(str, batches)))
        arithmetic = [arithmetic_limit(kernels, count, logits=True) for count in batches]
        curves["batch"].append({"model": name, "points": [[count, rate] for (_, _, _, count), rate in rates.items()],
                                "limit": [[count, min(memory(80, count), limit["rates"][0] if limit else 1e18)]
                                          for count, limit in zip(batches, arithmetic)]})
        bench.say(f"  {name}: threads")
        curve = {"prompt": [], "generate": [], "prompt limit": [], "generate limit": []}
        for threads in range(1, bench.lmx.threads + 1):
            lmx = type(bench.lmx)(bench.lmx.folder, threads)
            found, rates = lmx.speed(model, bench.prompt, 32)
            limit = arithmetic_limit(lmx.bench("--machine", model, "--prompt", bench.prompt)["kernels"], bench.prompt)
            curve["prompt"].append([threads, rates["prompt"]])
            curve["generate"].append([threads, rates["generate"]])
            curve["prompt limit"] += [[threads, limit["rates"][0]]] if limit else []
            curve["generate limit"].append([threads, found["read_gb_per_second"] * 1e9 / found["bytes_per_step"]])
        curves["threads"].append({"model": name, **curve})
    return {"curves": curves}
