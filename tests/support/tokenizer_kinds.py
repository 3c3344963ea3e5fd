"""Small tokenizers of every kind there is, saved to disk as any checkpoint's are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import ByT5Tokenizer, CTRLTokenizer, PreTrainedTokenizerFast

MOVES = [f"m{i}" for i in range(50)]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPECIAL = ["<unk>", "<s>", "</s>"]
_BYTES = [f"<0x{i:02X}>" for i in range(256)]
_SPLIT = pre_tokenizers.WhitespaceSplit()


def _vocab(*words: str) -> dict[str, int]:
    return {word: i for i, word in enumerate(dict.fromkeys([*SPECIAL, *words]))}


def _spaces(*more: Any) -> Any:
    return decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *more]
    )


def _word_level(decoder: Any = None, *words: str) -> Tokenizer:
    t = Tokenizer(models.WordLevel(_vocab(*(words or MOVES), ".", "é日"), unk_token="<unk>"))
    t.pre_tokenizer = _SPLIT
    if decoder is not None:
        t.decoder = decoder
    return t


def _word_piece(cleanup: bool) -> Tokenizer:
    words = [*LETTERS, *(f"##{c}" for c in LETTERS), "play", "##ing", "##ed", "do", "n't", ".", "'"]
    t = Tokenizer(models.WordPiece(_vocab(*words), unk_token="<unk>"))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(cleanup=cleanup)
    return t


def _unigram(scheme: str) -> Tokenizer:
    words = [*SPECIAL, "▁", *LETTERS, "▁the", "▁a", "ing", "▁1", "1", "é", "▁▁"]
    t = Tokenizer(models.Unigram([(word, -1.0 - i / 100) for i, word in enumerate(words)], 0))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    t.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return t


def _suffixed() -> Tokenizer:
    words = [*LETTERS, *(f"{c}</w>" for c in LETTERS), "he", "the</w>"]
    merges = [("h", "e"), ("t", "he</w>")]
    vocab = _vocab(*words, "he</w>")
    t = Tokenizer(models.BPE(vocab, [*merges, ("h", "e</w>")], unk_token="<unk>",
                             end_of_word_suffix="</w>"))  # fmt: skip
    t.pre_tokenizer, t.decoder = _SPLIT, decoders.BPEDecoder()
    return t


def _prefixed() -> Tokenizer:
    vocab = _vocab(*LETTERS, *(f"##{c}" for c in LETTERS), "he")
    t = Tokenizer(models.BPE(vocab, [("h", "##e")], unk_token="<unk>",
                             continuing_subword_prefix="##"))  # fmt: skip
    t.pre_tokenizer, t.decoder = _SPLIT, decoders.WordPiece(cleanup=False)
    return t


def _byte_fallback(decoder: Any, *words: str) -> Tokenizer:
    vocab = _vocab(*_BYTES, "▁", *LETTERS, "▁the", "▁a", "▁▁", *words)
    t = Tokenizer(models.BPE(vocab, [], unk_token="<unk>", byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoder
    return t


def _byte_level(decoder: Any) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    t = Tokenizer(models.BPE(_vocab(*alphabet, "Ġt", "he"), [("Ġ", "t"), ("h", "e")]))
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoder
    t.add_tokens([AddedToken("é"), AddedToken("new york"), AddedToken("日")])
    return t


def _holes() -> Tokenizer:
    vocab = {word: 3 * i for i, word in enumerate([*SPECIAL, *MOVES])}
    t = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    t.pre_tokenizer = _SPLIT
    return t


def _letters() -> Tokenizer:
    t = Tokenizer(models.WordLevel(_vocab(*"ACGT"), unk_token="<unk>"))
    t.pre_tokenizer, t.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    return t


KINDS = {
    "word level": _word_level,
    "word level of symbols": lambda: _word_level(None, *"+-*/<>="),
    "letters": _letters,
    "word piece": lambda: _word_piece(False),
    "word piece that cleans up": lambda: _word_piece(True),
    "unigram": lambda: _unigram("always"),
    "unigram without a first space": lambda: _unigram("never"),
    "unigram with a first space": lambda: _unigram("first"),
    "end-of-word suffix": _suffixed,
    "continuing prefix": _prefixed,
    "byte fallback that strips": lambda: _byte_fallback(_spaces(decoders.Strip(" ", 1, 0))),
    "byte fallback": lambda: _byte_fallback(_spaces()),
    "byte fallback, stripped at its end": lambda: _byte_fallback(
        _spaces(decoders.Strip(" ", 0, 1))
    ),
    "byte fallback before its spaces": lambda: _byte_fallback(
        decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    ),
    "joined by @@": lambda: _word_level(
        decoders.Sequence([decoders.WordPiece("##", False), decoders.Fuse(),
                           decoders.Replace("@@ ", "")]),
        *MOVES, "he@@", "llo",
    ),
    "byte level": lambda: _byte_level(decoders.ByteLevel()),
    "byte level in a sequence": lambda: _byte_level(
        decoders.Sequence([decoders.Replace("x", "X"), decoders.ByteLevel()])
    ),
    "holes": _holes,
}  # fmt: skip
"""Each kind of fast tokenizer by a name."""

SLOW = ("ctrl", "byt5")
"""Tokenizers written in Python."""


def save_kind(kind: str, directory: Path, marks: bool = True) -> Path:
    """Write a tokenizer of a kind, with `<s>` as BOS; `marks` adds two that eat spaces."""
    directory.mkdir(parents=True, exist_ok=True)
    if kind == "ctrl":
        words = ["<unk>", *LETTERS, *(f"{c}@@" for c in LETTERS), "hello"]
        (directory / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
        (directory / "merges.txt").write_text("#version\n")
        slow = CTRLTokenizer(str(directory / "vocab.json"), str(directory / "merges.txt"))
        slow.save_pretrained(directory)
    elif kind == "byt5":
        ByT5Tokenizer(extra_ids=3).save_pretrained(directory)
    else:
        fast = PreTrainedTokenizerFast(
            tokenizer_object=KINDS[kind](), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
        )
        if marks and kind != "holes":
            fast.add_tokens([AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True)])
        fast.save_pretrained(directory)
    return directory
