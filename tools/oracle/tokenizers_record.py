"""Writes testdata/tokenizers: little vocabularies of every kind, texts, and the ids that the reference gives them.

    python tools/oracle/tokenizers_record.py                              little vocabularies, by the `tokenizers` package
    python tools/oracle/tokenizers_record.py SMOLLM2.gguf GEMMA3.gguf     real ones too, where `tokenizers` and llama.cpp agree

llama.cpp is used through the llama_cpp package, which needs its libraries (LLAMA_CPP_LIB_PATH).
"""
import json
import pathlib
import sys

import manifest
from tokenizers import AddedToken, Tokenizer, __version__, models, normalizers, pre_tokenizers, trainers
from tokenizers_strings import CODE, SCRIPTS, Strings

ROOT = pathlib.Path(__file__).parents[2] / "testdata"
FOLDER = ROOT / "tokenizers"
SEED = 20251124
SPECIALS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<unk>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<mask>", "<sep>", "word"]
LITTLE = (1500, 56)  # texts, and the most bytes of one, for the little vocabularies

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = QWEN2.replace(r"]?\p{L}+", r"]?[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
CASED_POINTS = """41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C 38E-3A1 3A3-3F5 3F7-481 48A-52F
531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D
1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102
2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE
2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3
104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943"""
CASED = "".join("-".join(chr(int(end, 16)) for end in run.split("-")) for run in CASED_POINTS.split())
EAST_ASIAN = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+"


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def digits(individual):
    return {"type": "Digits", "individual_digits": individual}


def byte_level(pattern):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": pattern}


BYTE_LEVEL = {  # pre-tokenizers, normaliser, whole words first
    "gpt-2": ([byte_level(True)], None, False),
    "smollm": ([digits(True), byte_level(True)], None, False),
    "llama-bpe": ([split(LLAMA3), byte_level(False)], None, True),
    "qwen2": ([split(QWEN2), byte_level(False)], {"type": "NFC"}, False),
    "qwen35": ([split(QWEN35), byte_level(False)], {"type": "NFC"}, False),
    "falcon": ([{"type": "Punctuation", "behavior": "Contiguous"}, byte_level(True), digits(False), split("[0-9][0-9][0-9]")], None, False),
    "deepseek-llm": ([split("[\r\n]"), split(r"\s?[%s]+" % CASED), split("\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+"), split(r"\s+$"), split(EAST_ASIAN), digits(True), byte_level(False)], None, False),
    "deepseek-coder": ([split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(EAST_ASIAN), digits(True), byte_level(False)], None, False),
}
MARK = [{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
SPACED = {  # normalisers, pre-tokenizer, first space stripped
    "llama": ([{"type": "Prepend", "prepend": "▁"}] + MARK, None),
    "gemma": (MARK, None),
    "metaspace": ([], {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}),
}


def added(token, identifier, special=True, **flags):
    return {"id": identifier, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special} | flags


def file(vocabulary, merges, tokens, normalizer, pre, decoder, **model):
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": normalizer, "pre_tokenizer": pre,
        "post_processor": None, "decoder": decoder,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False, "vocab": vocabulary, "merges": [list(m) for m in merges]} | model,
    }


def training_texts():
    strings = Strings(SEED + 1)
    yield (ROOT / "text/english.txt").read_text()
    for _ in range(3000):
        yield strings.one(["plain"])
    for text in CODE * 20:
        yield text


def train_byte_level(name):
    pre, normalizer, whole = BYTE_LEVEL[name]
    tokenizer = Tokenizer.from_str(json.dumps(file({}, [], [], normalizer, {"type": "Sequence", "pretokenizers": pre}, None)))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(training_texts(), trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    count = len(model["vocab"])
    tokens = [added(t, count + i) for i, t in enumerate(SPECIALS[:4])]
    tokens += [added("<mask>", count + 4, lstrip=True), added("<sep>", count + 5, rstrip=True), added("word", count + 6, special=False, single_word=True),
               added("\n\n", count + 7, special=False)]
    return file(model["vocab"], model["merges"], tokens, normalizer, {"type": "Sequence", "pretokenizers": pre}, byte_level(True), ignore_merges=whole)


def all_merges(vocabulary):
    """Every way to make a piece of two others, pieces in order: SentencePiece's merging, written as a list."""
    merges = []
    for piece in vocabulary:
        ways = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocabulary and piece[i:] in vocabulary]
        merges += sorted(ways, key=lambda way: (vocabulary[way[0]], vocabulary[way[1]]))
    return merges


def train_spaced(name):
    normalize, pre = SPACED[name]
    trainer = Tokenizer(models.BPE())
    trainer.normalizer = normalizers.Replace(" ", "▁")
    trainer.train_from_iterator(training_texts(), trainers.BpeTrainer(vocab_size=600, limit_alphabet=150, max_token_length=12, show_progress=False))
    trained = json.loads(trainer.to_str())["model"]["vocab"]
    first = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)]
    learned = sorted(trained, key=lambda piece: (len(piece) == 1, trained[piece]))  # characters last, as in SentencePiece
    vocabulary = {piece: i for i, piece in enumerate(first + [p for p in learned if "\n\n" not in p])}
    tokens = [added(t, i) for i, t in enumerate(first[:3])]
    if name == "gemma":
        count = len(vocabulary)
        tokens += [added(t, count + i, special=False) for i, t in enumerate(["\n\n", "\n\n\n", "<start_of_turn>"])]
        tokens += [added("<end_of_turn>", count + 3)]
    merges = all_merges({p: i for p, i in vocabulary.items() if i >= len(first)})
    decoder = {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
               + ([] if name == "gemma" else [{"type": "Strip", "content": " ", "start": 1, "stop": 0}])}
    normalizer = {"type": "Sequence", "normalizers": normalize} if normalize else None
    return file(vocabulary, merges, tokens, normalizer, pre, decoder, unk_token="<unk>", fuse_unk=True, byte_fallback=True)


def expectations(tokenizer, texts):
    """`ids` with control tokens read; `plain` where it makes a difference not to; `decoded` where it isn't the text again."""
    tokenizer.encode_special_tokens = False
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    decoded = {i: text for i, row in enumerate(ids) if (text := tokenizer.decode(row, skip_special_tokens=False)) != texts[i]}
    tokenizer.encode_special_tokens = True
    plain = {i: row for i, text in enumerate(texts) if (row := tokenizer.encode(text, add_special_tokens=False).ids) != ids[i]}
    return {"ids": ids, "plain": plain, "decoded": decoded}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    return path


def little(texts):
    files = {}
    chosen = [text for text in texts if len(text.encode()) <= LITTLE[1]][: LITTLE[0]]
    for name in [*BYTE_LEVEL, *SPACED]:
        definition = train_byte_level(name) if name in BYTE_LEVEL else train_spaced(name)
        tokenizer = Tokenizer.from_str(json.dumps(definition))
        for path, value in [("tokenizer.json", definition), ("expected.json", {"texts": texts.index(chosen[-1]) + 1, "longest": LITTLE[1]} | expectations(tokenizer, chosen))]:
            files[write(FOLDER / name / path, value)] = {"writer": f"tokenizers {__version__}", "seed": SEED}
        print(name, tokenizer.get_vocab_size(), "pieces,", len(chosen), "texts")
    return files


def gguf_vocabulary(path):
    import gguf
    fields = gguf.GGUFReader(path).fields
    raw = lambda key: [bytes(fields[key].parts[i]).decode() for i in fields[key].data]
    merges = raw("tokenizer.ggml.merges") if "tokenizer.ggml.merges" in fields else []
    scores = fields["tokenizer.ggml.scores"].contents() if "tokenizer.ggml.scores" in fields else []
    return raw("tokenizer.ggml.tokens"), fields["tokenizer.ggml.token_type"].contents(), scores, merges


def llama_cpp_ids(path, texts):
    import llama_cpp
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, None)
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    vocabulary = llama_cpp.llama_model_get_vocab(llama_cpp.llama_model_load_from_file(path.encode(), parameters))
    for text in texts:
        data = text.encode()
        ids = (llama_cpp.llama_token * (len(data) + 8))()
        yield list(ids[: llama_cpp.llama_tokenize(vocabulary, data, len(data), ids, len(ids), False, True)])


def real_smollm2(path):
    pieces, kinds, _, merges = gguf_vocabulary(path)
    tokens = [added(piece, i) for i, piece in enumerate(pieces) if kinds[i] != 1]
    pre = {"type": "Sequence", "pretokenizers": BYTE_LEVEL["smollm"][0]}
    return Tokenizer.from_str(json.dumps(file({p: i for i, p in enumerate(pieces)}, [m.split(" ", 1) for m in merges], tokens, None, pre, None)))


def real_gemma3(path):
    """Gemma's list of merges is not in the file; the scores give it. Runs of spaces are matched before anything else, as sentencepiece does."""
    pieces, kinds, scores, _ = gguf_vocabulary(path)
    order = sorted((i for i, kind in enumerate(kinds) if kind == 1), key=lambda i: -scores[i])
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    merges = all_merges({pieces[i]: i for i in order})
    tokens = [added(piece, i, special=kinds[i] != 4) for i, piece in enumerate(pieces) if kinds[i] in (2, 3, 4)]
    normalizer = {"type": "Sequence", "normalizers": MARK}
    return Tokenizer.from_str(json.dumps(file(vocabulary, merges, tokens, normalizer, None, None, unk_token="<unk>", fuse_unk=True, byte_fallback=True)))


def real(name, path, texts, tokenizer):
    kept, ids = [], []
    for i, (text, theirs) in enumerate(zip(texts, llama_cpp_ids(path, texts))):
        ours = tokenizer.encode(text, add_special_tokens=False).ids
        if ours == theirs:
            kept.append(i)
            ids.append(ours)
        else:
            print("  left out, the references differ:", name, repr(text), ours[:12], theirs[:12])
    print(name, len(kept), "texts,", sum(map(len, ids)), "ids")
    assert len(kept) >= 5000
    return {write(FOLDER / "real" / (name + ".json"), {"leftOut": sorted(set(range(len(texts))) - set(kept)), "ids": ids}):
            {"writer": f"tokenizers {__version__} and llama.cpp (llama_cpp_python 0.3.36)", "seed": SEED, "model": pathlib.Path(path).name}}


def main(paths):
    texts = Strings(SEED).many(5100, SPECIALS)
    files = {write(FOLDER / "texts.json", texts): {"writer": "tools/oracle/tokenizers_strings.py", "seed": SEED}}
    files |= little(texts)
    if paths:
        files |= real("smollm2", paths[0], texts, real_smollm2(paths[0]))
        files |= real("gemma3", paths[1], texts, real_gemma3(paths[1]))
    manifest.record(files, replacing="tokenizers/" if paths else None)


if __name__ == "__main__":
    main(sys.argv[1:])
