"""One text under several tokenizers, aligned by characters; SentencePiece beside Hugging Face."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..errors import EngineError, ModelError
from ..experiment.results import Tokens
from .results import AlignedBlock, Alignment, SentencePieceView
from .vocabularies import find_tokenizer

_MOST_COMPARED = 500
"""Tokens between the first and the last disagreement that are still matched one by one."""


def compare_tokenizers(
    text: str, names: Sequence[str], prepend_bos: bool | None = None
) -> Alignment:
    """The text under each tokenizer, cut where all of them have a token's end.

    `names` are models' or directories'; no weights are loaded. One that cannot be read, or cannot
    read the text, says so in its place.
    """
    tokens: list[Tokens | None] = []
    errors = []
    for name in names:
        try:
            tokens.append(find_tokenizer(name).encode(text, prepend_bos))
            errors.append("")
        except EngineError as wrong:
            tokens.append(None)
            errors.append(str(wrong))
    return Alignment(text, tuple(names), tuple(tokens), tuple(errors), _blocks(text, tokens))


def compare_sentencepiece(model: str, text: str) -> SentencePieceView | None:
    """The ids SentencePiece itself gives, beside Hugging Face's; None without a `.model` file.

    Raises: ModelError for a file SentencePiece cannot read, or as tokenize.
    """
    tokenizer = find_tokenizer(model)
    directory = tokenizer.directory
    files = sorted(directory.glob("*.model")) if directory else []
    if not files:
        return None
    hf = tokenizer.encode(text, prepend_bos=False)
    own = _sentencepiece(str(files[0]), files[0].stat().st_mtime_ns)
    ids = tuple(own.encode(text))
    return SentencePieceView(
        file=files[0].name,
        ids=ids,
        pieces=tuple(own.id_to_piece(i) for i in ids),
        hf_ids=hf.ids,
        hf_pieces=hf.pieces,
        blocks=_matched(ids, hf.ids),
    )


@lru_cache(maxsize=4)
def _sentencepiece(path: str, _written: int) -> Any:
    from sentencepiece import SentencePieceProcessor

    try:
        return SentencePieceProcessor(model_file=path)
    except Exception as wrong:
        raise ModelError(
            f"“{Path(path).name}” cannot be read by SentencePiece ({type(wrong).__name__}); it may "
            "be damaged, or be of another tool."
        ) from wrong


def _blocks(text: str, readings: Sequence[Tokens | None]) -> tuple[AlignedBlock, ...]:
    n = len(text)
    inside: set[int] = set()
    for tokens in filter(None, readings):
        for start, end in tokens.offsets:
            inside.update(range(start + 1, end))
    cuts = [0, *(at for at in range(1, n) if at not in inside), *([n] if n else [])]
    bounds = list(pairwise(cuts)) or [(0, 0)]
    spans = [_spans(tokens, bounds) for tokens in readings]
    blocks = []
    for i, (start, end) in enumerate(bounds):
        at = tuple(of[i] for of in spans)
        seen = {
            t.texts[slice(*span)] for t, span in zip(readings, at, strict=True) if t is not None
        }
        blocks.append(AlignedBlock(start, end, at, len(seen) == 1))
    return tuple(blocks)


def _spans(tokens: Tokens | None, bounds: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Which tokens begin in each block; those that stand for no character stay where they are."""
    spans, at = [], 0
    n = len(tokens) if tokens is not None else 0
    for i, (_, end) in enumerate(bounds):
        first = at
        last_block = i == len(bounds) - 1
        while tokens is not None and at < n and (last_block or tokens.offsets[at][0] < end):
            at += 1
        spans.append((first, at))
    return spans


def _matched(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[tuple[int, int, int, int, bool], ...]:
    """Same ids one by one, and the runs between them that differ."""
    short = min(len(a), len(b))
    head = next((i for i in range(short) if a[i] != b[i]), short)
    tail = next((i for i in range(short - head) if a[-1 - i] != b[-1 - i]), short - head)
    result = [(i, i + 1, i, i + 1, True) for i in range(head)]
    middle_a, middle_b = a[head : len(a) - tail], b[head : len(b) - tail]
    if max(len(middle_a), len(middle_b)) <= _MOST_COMPARED:
        codes = SequenceMatcher(None, middle_a, middle_b, autojunk=False).get_opcodes()
    else:
        codes = [("replace", 0, len(middle_a), 0, len(middle_b))]
    for kind, i, j, k, m in codes:
        if kind == "equal":
            result += [(head + i + s, head + i + s + 1, head + k + s, head + k + s + 1, True)
                      for s in range(j - i)]  # fmt: skip
        else:
            result.append((head + i, head + j, head + k, head + m, False))
    ends = zip(range(len(a) - tail, len(a)), range(len(b) - tail, len(b)), strict=True)
    result += [(i, i + 1, k, k + 1, True) for i, k in ends]
    return tuple(result)
