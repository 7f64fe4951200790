"""The programs that are compared, behind one face: prompt and generation speed of a model file.

Every engine answers speed() and batched() with tokens per second; `absent` says why one is not here. The peers are their
own benchmark programs, so that nothing of ours lies between them and their figures.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

root = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = "llama-cpp-python==0.3.36"
TOOLS = ("llama-bench", "llama-batched-bench", "llama-quantize", "llama-perplexity")


class Failed(Exception):
    """A program that ended badly; its last words, without the folders of this machine."""

    def __init__(self, words):
        super().__init__(re.sub(r"(?<![\w.])/(?:[^\s:,'\"]+/)+", "", words))


def run(command, folder=None, timeout=1200):
    """Standard output of a command; shared libraries beside the program are found."""
    command = [str(part) for part in command]
    environment = dict(os.environ)
    if folder:
        environment["LD_LIBRARY_PATH"] = ":".join(filter(None, [str(folder), environment.get("LD_LIBRARY_PATH")]))
    try:
        answer = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout, errors="replace")
    except subprocess.TimeoutExpired:
        raise Failed(f"{os.path.basename(command[0])} took longer than {timeout} s") from None
    if answer.returncode:
        words = (answer.stderr or answer.stdout).strip().splitlines() or [f"ended with {answer.returncode}"]
        said = next((line for line in words if line.lower().startswith(("error", "lmx: "))), words[-1])
        raise Failed(f"{os.path.basename(command[0])}: {said.removeprefix('lmx: ')}")
    return answer


def plain(command):
    """A command as the report shows it: names only, no folders of this machine."""
    return " ".join(os.path.basename(str(part)) if os.sep in str(part) else str(part) for part in command)


class Engine:
    """One program. `commands` collects what was run, once each, for the report."""
    name = "?"

    def __init__(self, folder, threads):
        self.folder = folder
        self.threads = threads
        self.commands = []
        self.absent = None

    def call(self, program, *arguments, timeout=1200):
        command = [self.folder / program, *arguments]
        shown = plain(command)
        if shown not in self.commands:
            self.commands.append(shown)
        return run(command, self.folder, timeout)


class LMX(Engine):
    name = "LMX"

    def bench(self, *arguments):
        return json.loads(self.call("lmx", "bench", *arguments, "--threads", self.threads, "--json").stdout)

    def version(self):
        return run([self.folder / "lmx", "--version"]).stdout.strip()

    def measure(self, model, prompt=0, generate=0, depth=0, batch=1, options=()):
        """The whole document of one model, and tokens per second of each test: (kind, tokens, depth, batch) → rate."""
        found = self.bench(model, "--prompt", prompt, "--generate", generate, "--depth", depth, "--batch", batch,
                           "--repetitions", 1, *options)["models"][0]
        rates = {(test["test"], test["tokens"], test["depth"], test["batch"]): test["tokens_per_second"][0] for test in found["tests"]}
        return found, rates

    def speed(self, model, prompt, generate, depth=0):
        found, rates = self.measure(model, prompt, generate, depth)
        return found, {kind: rate for (kind, *_), rate in rates.items()}

    def batched(self, model, sequences, prompt, generate):
        found, rates = self.measure(model, 0, generate, prompt, ",".join(map(str, sequences)))
        return found, {batch: rate for (_, _, _, batch), rate in rates.items()}


class Llama(Engine):
    name = "llama.cpp"
    extra = ()

    def __init__(self, folder, threads):
        super().__init__(pathlib.Path(folder) if folder else None, threads)
        if not folder:
            self.absent = f"{self.name} is not present"
        elif not (self.folder / "llama-bench").exists():
            self.absent = f"{self.name} has no llama-bench in the folder named"

    def version(self):
        return f"llama.cpp from {PACKAGE.replace('==', ' ')}, built for this processor"

    def speed(self, model, prompt, generate, depth=0):
        arguments = ["-m", model, "-t", self.threads, "-r", 1, "-o", "json", *self.extra, "-p", prompt, "-n", generate]
        return self.rates(self.call("llama-bench", *arguments, *(["-d", depth] if depth else [])))

    def rates(self, answer):
        rates = {}
        for entry in json.loads(answer.stdout[answer.stdout.index("["):]):
            rates["generate" if entry["n_gen"] else "prompt"] = entry["samples_ts"][0]
        return rates

    def batched(self, model, sequences, prompt, generate):
        """Generation only, all sequences together (S_TG), after each has had its prompt."""
        room = max(sequences) * (prompt + generate)
        answer = self.call("llama-batched-bench", "-m", model, "-t", self.threads, "-c", room, "-b", 2048, "-ub", 512, *self.batch_extra,
                           "-npp", prompt, "-ntg", generate, "-npl", ",".join(map(str, sequences)))
        rates = {}
        for line in (answer.stdout + "\n" + answer.stderr).splitlines():
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if len(cells) == 10 and re.fullmatch(r"\d+", cells[0]):
                rates[int(cells[2])] = float(cells[7])
        if not rates:
            raise Failed("llama-batched-bench printed no figures")
        return rates

    batch_extra = ()


class IkLlama(Llama):
    name = "ik_llama.cpp"
    extra = ("-rtr", 1, "-fa", 1)
    batch_extra = ("-rtr", "-fa", "on")

    def version(self):
        return "ik_llama.cpp with -rtr 1 -fa 1, built for this processor"

    def speed(self, model, prompt, generate, depth=0):
        if not depth:
            return super().speed(model, prompt, generate)
        arguments = ["-m", model, "-t", self.threads, "-r", 1, "-o", "json", *self.extra, "-p", 0, "-n", 0, "-gp", f"{depth},{generate}"]
        return self.rates(self.call("llama-bench", *arguments))


def peers(threads, say):
    """llama.cpp and ik_llama.cpp; the first is built where it is missing."""
    folder = os.environ.get("LMX_BENCH_LLAMA") or build_llama(say)
    return [Llama(folder, threads), IkLlama(os.environ.get("LMX_BENCH_IK"), threads)]


def build_llama(say):
    """llama.cpp's programs out of the source package of llama-cpp-python, in .build/bench/llama.cpp; None where it can't be had."""
    target = root / ".build/bench/llama.cpp"
    binaries = target / "bin"
    if all((binaries / tool).exists() for tool in TOOLS):
        return binaries
    missing = [tool for tool in ("cmake", "c++") if not shutil.which(tool)]
    if missing:
        say(f"llama.cpp cannot be built: {', '.join(missing)} is not installed")
        return None
    say(f"building {PACKAGE} for this processor: about ten minutes, once")
    target.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=target) as folder:
            run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation",
                 "--no-binary", "llama-cpp-python", "--dest", folder, PACKAGE], timeout=900)
            with tarfile.open(next(pathlib.Path(folder).glob("*.tar.gz"))) as archive:
                archive.extractall(folder, filter="data")
            source = next(pathlib.Path(folder).glob("*/vendor/llama.cpp"))
            run(["cmake", "-S", source, "-B", target / "build", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF",
                 "-DLLAMA_BUILD_TESTS=OFF", f"-DCMAKE_RUNTIME_OUTPUT_DIRECTORY={binaries}", f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={binaries}"])
            run(["cmake", "--build", target / "build", "--parallel", os.cpu_count(), "--target", *TOOLS], timeout=7200)
            shutil.rmtree(target / "build")
    except (Failed, StopIteration, OSError) as error:
        say(f"llama.cpp cannot be built: {error}")
        return None
    return binaries
