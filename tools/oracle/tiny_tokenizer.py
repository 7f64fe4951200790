"""Real little tokenizers for the tiny models, trained on testdata/text/english.txt: byte-level pairs, and SentencePiece."""

import io
import json
import pathlib

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXT = pathlib.Path(__file__).parents[2] / "testdata/text/english.txt"

# The published split patterns of Llama 3 and Qwen2.
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_level(kind: str, size: int, specials: list[str]) -> Tokenizer:
    """kind: smollm, llama-bpe or qwen2. The special tokens come first, as in SmolLM2, or last, as in the others."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = splitter(kind)
    first = specials if kind == "smollm" else []
    trained.train(
        [str(TEXT)],
        trainers.BpeTrainer(vocab_size=size - len(specials) + len(first), initial_alphabet=alphabet, special_tokens=first, show_progress=False),
    )
    model = json.loads(trained.to_str())["model"]
    tokenizer = Tokenizer(models.BPE(model["vocab"], [tuple(m) for m in model["merges"]], ignore_merges=kind == "llama-bpe"))
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = splitter(kind)
    tokenizer.decoder = decoders.ByteLevel()
    if kind == "llama-bpe":
        begin = specials[0]
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single=f"{begin} $A", pair=f"{begin} $A {begin}:1 $B:1", special_tokens=[(begin, tokenizer.token_to_id(begin))]),
        ])
    else:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def splitter(kind: str) -> pre_tokenizers.PreTokenizer:
    if kind == "smollm":
        return pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ])
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3 if kind == "llama-bpe" else QWEN2), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def sentence_piece(kind: str, size: int) -> tuple[Tokenizer, bytes]:
    """kind: llama2 or gemma. Gives the tokenizer and the bytes of tokenizer.model."""
    gemma = kind == "gemma"
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.read_text().splitlines()), model_writer=out, model_type="bpe", vocab_size=size,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=not gemma,
        allow_whitespace_only_pieces=True, split_digits=True, num_threads=1, minloglevel=2,
        **(dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>",
                control_symbols=["<start_of_turn>", "<end_of_turn>"]) if gemma
           else dict(unk_id=0, bos_id=1, eos_id=2, pad_id=-1)))
    data = out.getvalue()
    proto = sentencepiece_model_pb2.ModelProto.FromString(data)
    proto.trainer_spec.ClearField("input")
    vocabulary = {piece.piece: id for id, piece in enumerate(proto.pieces)}
    ranked = sorted((p for p in proto.pieces if p.type == 1 and len(p.piece) > 1), key=lambda p: -p.score)
    merges = [
        (p.piece[:i], p.piece[i:])
        for p in ranked
        for i in range(1, len(p.piece))
        if p.piece[:i] in vocabulary and p.piece[i:] in vocabulary
    ]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    space = normalizers.Replace(" ", "▁")
    tail = [decoders.ByteFallback(), decoders.Fuse()]
    if gemma:
        tokenizer.normalizer = space
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), *tail])
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), space])
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), *tail, decoders.Strip(" ", 1, 0)])
    control = [p.piece for p in proto.pieces if p.type in (2, 3)]
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in control])
    begin = "<bos>" if gemma else "<s>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A {begin}:1 $B:1", special_tokens=[(begin, vocabulary[begin])])
    return tokenizer, proto.SerializeToString(deterministic=True)
