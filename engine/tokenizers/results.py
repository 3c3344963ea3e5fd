"""Results of reading a text: its tokens in full, beside its twins and other tokenizers'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from ..experiment.results import NextToken, Tokens
from ..showing.writing import Rows
from .figures import lengths_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class TokenView:
    """A text's tokens with nothing left out, and the way back from them to the text.

    `data`: the bytes each token adds, in UTF-8; a token may hold only part of a character.
    `decoded`: the text the tokens spell, BOS left out. `again`: the ids of that text, encoded
    once more without BOS.
    """

    tokens: Tokens
    data: tuple[bytes, ...]
    decoded: str
    again: tuple[int, ...]

    @property
    def reads_back(self) -> bool:
        """Whether the tokens spell the text letter by letter."""
        return self.decoded == self.tokens.text

    @property
    def same_ids(self) -> bool:
        """Whether encoding what they spell gives the same ids."""
        return self.again == self.tokens.ids[int(self.tokens.bos) :]

    def part_of(self, position: int) -> str:
        """The text a token stands for where it holds only part of a character; else empty."""
        start, end = self.tokens.offsets[position]
        try:
            self.data[position].decode()
        except UnicodeDecodeError:
            return self.tokens.text[start:end]
        return ""

    def table(self) -> Rows:
        """A row a token, in plain values."""
        t = self.tokens
        return [
            {
                "position": at,
                "id": t.ids[at],
                "piece": t.pieces[at],
                "text": t.texts[at],
                "start": t.offsets[at][0],
                "end": t.offsets[at][1],
                "bytes": self.data[at].hex(" "),
                "part_of": self.part_of(at),
            }
            for at in range(len(t))
        ]


@dataclass(frozen=True)
class TokenViews:
    """Many prompts at once: for each its view, or what is wrong with it in a sentence."""

    prompts: tuple[str, ...]
    views: tuple[TokenView | None, ...]
    errors: tuple[str, ...]

    def table(self) -> Rows:
        """A row a prompt, in plain values; ids and pieces are set apart by spaces."""
        rows: Rows = []
        for at, (prompt, view, wrong) in enumerate(
            zip(self.prompts, self.views, self.errors, strict=True), start=1
        ):
            row: dict[str, object] = {"prompt": at, "text": prompt, "tokens": 0, "ids": ""}
            row |= {"pieces": "", "reads_back": "", "same_ids": "", "warnings": wrong}
            if view is not None:
                row |= {
                    "tokens": len(view.tokens),
                    "ids": " ".join(map(str, view.tokens.ids)),
                    "pieces": " ".join(view.tokens.pieces),
                    "reads_back": view.reads_back,
                    "same_ids": view.same_ids,
                    "warnings": " ".join(view.tokens.warnings),
                }
            rows.append(row)
        return rows


@dataclass(frozen=True)
class Twin:
    """A prompt that differs by a trifle, and what would come next: None, and `error`, if nothing.

    `name`: the difference in words. `bos`: whether a BOS stands before it.
    """

    name: str
    prompt: str
    bos: bool
    tokens: Tokens
    next: NextToken | None
    error: str = ""


@dataclass(frozen=True)
class Twins:
    """The prompt as it is, first, and its twins."""

    twins: tuple[Twin, ...]

    def table(self) -> Rows:
        """A row a twin: the best next token and the answer's probability (0 to 1) in both runs."""
        rows: Rows = []
        for twin in self.twins:
            row: dict[str, object] = {
                "twin": twin.name,
                "prompt": twin.prompt,
                "bos": twin.bos,
                "tokens": len(twin.tokens),
                "ids": " ".join(map(str, twin.tokens.ids)),
            }
            for run in ("clean", "ablated"):
                best = getattr(twin.next, run) if twin.next else None
                answer = twin.next.answer if twin.next else None
                row |= {
                    f"{run}_next": best.tokens[0] if best else "",
                    f"{run}_prob": float(best.probs[0]) if best else "",
                    f"{run}_answer_prob": getattr(answer, run).prob if answer else "",
                }
            rows.append(row | {"error": twin.error})
        return rows


@dataclass(frozen=True)
class AlignedBlock:
    """Characters [start, end) of a text that every tokenizer begins and ends with a token.

    `spans`: for each tokenizer the positions [first, last) of its tokens there. `agree`: whether
    they cut it into the same texts.
    """

    start: int
    end: int
    spans: tuple[tuple[int, int], ...]
    agree: bool


@dataclass(frozen=True)
class Alignment:
    """One text under several tokenizers, aligned by characters.

    `tokens` has None, and `errors` a sentence, where a tokenizer cannot read the text; such a
    tokenizer has no tokens in the blocks.
    """

    text: str
    names: tuple[str, ...]
    tokens: tuple[Tokens | None, ...]
    errors: tuple[str, ...]
    blocks: tuple[AlignedBlock, ...]

    def table(self) -> Rows:
        """A row a token, block by block; `block` counts from 0."""
        return [
            {
                "block": at,
                "start": block.start,
                "end": block.end,
                "tokenizer": name,
                "position": i,
                "id": tokens.ids[i],
                "piece": tokens.pieces[i],
                "text": tokens.texts[i],
            }
            for at, block in enumerate(self.blocks)
            for name, tokens, span in zip(self.names, self.tokens, block.spans, strict=True)
            if tokens is not None
            for i in range(*span)
        ]


@dataclass(frozen=True)
class SentencePieceView:
    """SentencePiece's own reading of a text beside Hugging Face's, neither with BOS.

    `file`: the `.model` it was read from. `blocks`: runs [a, b) of SentencePiece's tokens beside
    runs [c, d) of Hugging Face's, with whether they are the same ids.
    """

    file: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    hf_ids: tuple[int, ...]
    hf_pieces: tuple[str, ...]
    blocks: tuple[tuple[int, int, int, int, bool], ...]

    @property
    def agree(self) -> bool:
        """Whether both give the same ids."""
        return self.ids == self.hf_ids

    def table(self) -> Rows:
        """A row for each token or run of tokens that differ, in plain values."""
        return [
            {
                "sentencepiece_ids": " ".join(map(str, self.ids[a:b])),
                "sentencepiece_pieces": " ".join(self.pieces[a:b]),
                "hugging_face_ids": " ".join(map(str, self.hf_ids[c:d])),
                "hugging_face_pieces": " ".join(self.hf_pieces[c:d]),
                "same": same,
            }
            for a, b, c, d, same in self.blocks
        ]


@dataclass(frozen=True)
class NumberLengths:
    """How many tokens each number from 0 takes, BOS left out.

    `after_space`: whether it is written after a word and a space, as in running text, or by
    itself. `lengths`: shape [n_numbers]; `pieces`: the tokens counted.
    """

    model: str
    after_space: bool
    lengths: Int[np.ndarray, " n_numbers"]
    pieces: tuple[tuple[str, ...], ...]

    def figure(self) -> go.Figure:
        """A row a hundred, a column a number within it; the colour is how many tokens it takes."""
        return lengths_figure(self.lengths, self.pieces)

    def table(self) -> Rows:
        """A row a number, in plain values."""
        return [
            {"number": n, "tokens": int(length), "pieces": " ".join(self.pieces[n])}
            for n, length in enumerate(self.lengths)
        ]


@dataclass(frozen=True)
class Joined:
    """A prompt by itself, and the same prompt with an answer written after it.

    `kept`: how many of the prompt's tokens stay as they are, BOS included. `changes`: whether any
    does not: the model would then never have seen the prompt's own tokens before that answer.
    `answer_ids`: those the answer gets in place.
    """

    prompt: Tokens
    joined: Tokens
    kept: int
    changes: bool
    answer_ids: tuple[int, ...]
    answer_pieces: tuple[str, ...]

    def table(self) -> Rows:
        """A row a token of both, in plain values."""
        return [
            {"of": name, "position": at, "id": t.ids[at], "piece": t.pieces[at],
             "kept": at < self.kept}
            for name, t in (("prompt", self.prompt), ("prompt and answer", self.joined))
            for at in range(len(t))
        ]  # fmt: skip
