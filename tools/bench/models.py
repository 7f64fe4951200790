"""The models that are measured, by name, and how each is made from what can be had by name.

They lie in `models` (LMX_BENCH_MODELS names another folder). What is there is used; what is missing is made, once.
"""
import os
import pathlib
import subprocess
import sys

from engines import Failed, root, run

SMOL, LARGE = "SmolLM2-135M-Instruct", "random-1b"
# How types that MLX has no exact form for become MLX: K types keep 4- and 5-bit codes with f32 scales, 6-bit ones are rounded.
NEAREST = {
    "Q4_K_M": ["--keep-codes", "--fallback", "mlx", "--bits", 6, "--group-size", 32],
    "IQ4_NL": ["--quantize", "mlx", "--group-size", 32],
}
TITLES = {SMOL: "SmolLM2-135M", LARGE: "1.07 B"}


class Models:
    def __init__(self, lmx, llama, say):
        self.folder = pathlib.Path(os.environ.get("LMX_BENCH_MODELS", root / "models"))
        self.lmx, self.llama, self.say = lmx, llama, say
        self.refused = {}  # file name → why it is not here

    def gguf(self, family, kind):
        """The path of a GGUF; raises Failed with the reason where it can't be made."""
        return self.made(f"{family}.{kind}.gguf", lambda path: self.quantize(family, kind, path))

    def mlx(self, source):
        """The MLX checkpoint of a GGUF's weights, groups of 32: its own codes where MLX can hold them, else what comes nearest in size."""
        path = pathlib.Path(source)
        choices = next((more for kind, more in NEAREST.items() if path.stem.endswith("." + kind)), [])
        return self.made(path.stem.replace(".", "-") + "-mlx",
                         lambda target: run([self.lmx.folder / "lmx", "convert", path, target, *choices]))

    def affine(self, family):
        """MLX's default, 4 bits in groups of 64."""
        def make(target):
            run([self.lmx.folder / "lmx", "convert", self.gguf(family, "Q8_0"), target, "--to", "mlx", "--quantize", "mlx"])
        return self.made(f"{family}-mlx-4bit", make)

    def affine_gguf(self, family):
        """The Q4_1 file made of the groups of 64: each scale stands twice."""
        checkpoint = self.affine(family)
        return self.made(f"{family}-mlx-4bit.Q4_1.gguf",
                         lambda target: run([self.lmx.folder / "lmx", "convert", checkpoint, target, "--to", "gguf"]))

    def made(self, name, make):
        path = self.folder / name
        if path.exists():
            return path
        if name in self.refused:
            raise Failed(self.refused[name])
        self.say(f"making {name}")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            make(path)
            if not path.exists():
                raise Failed(f"{name} did not appear")
        except (Failed, subprocess.CalledProcessError) as error:
            self.refused[name] = str(error)
            raise Failed(str(error)) from None
        return path

    def quantize(self, family, kind, path):
        if family == SMOL and kind == "Q4_1":  # the file that all others are made of
            subprocess.run([sys.executable, root / "tools/fetch-model", path], check=True)
            return
        if self.llama.absent or not (self.llama.folder / "llama-quantize").exists():
            raise Failed("llama-quantize is not present")
        if family == LARGE and kind in ("Q4_0", "Q4_K_M", "Q8_0"):
            python = os.environ.get("LMX_BENCH_PYTHON", sys.executable)
            run([python, root / "tools/oracle/random_model.py", "--tokenizer", self.gguf(SMOL, "Q4_1"), "--out", self.folder,
                 "--llama-bin", self.llama.folder])
            return
        if family == SMOL:
            source = self.gguf(SMOL, "Q4_1" if kind == "F32" else "F32")
        else:
            source = self.gguf(LARGE, "Q8_0")
        # `Q4_0-e8` keeps the embedding in Q8_0, which MLX's affine form holds too; llama-quantize's own choice is Q6_K.
        kind, _, embedding = kind.partition("-")
        # llama-quantize knows MXFP4 for expert layers only; here every matrix of a layer is named one by one.
        rules = ["--tensor-type", "attn=mxfp4", "--tensor-type", "ffn=mxfp4"] if kind == "MXFP4" else []
        embedding = ["--token-embedding-type", "q8_0"] if embedding else []
        part = path.with_name("." + path.name)
        try:
            run([self.llama.folder / "llama-quantize", "--allow-requantize", *rules, *embedding, source, part, "Q8_0" if rules else kind,
                 self.llama.threads], self.llama.folder)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def title(path):
    """`SmolLM2-135M Q4_1`, `1.07 B Q4_0 as MLX`: what rows call a file."""
    name = pathlib.Path(path).name.removesuffix(".gguf")
    for family, short in TITLES.items():
        if name.startswith(family):
            rest = name[len(family):].strip(".-")
            known = {"mlx-4bit": "MLX 4-bit, groups of 64", "mlx-4bit.Q4_1": "Q4_1 of the groups of 64"}
            if rest in known:
                return f"{short} {known[rest]}"
            return f"{short} {rest.removesuffix('-mlx')}" + (" as MLX" if rest.endswith("-mlx") else "")
    return name
