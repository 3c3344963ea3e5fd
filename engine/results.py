"""Results: frozen values of numpy arrays, strings and numbers. No tensor leaves the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int8

from .sites import Head, Shape


@dataclass(frozen=True)
class Tokens:
    """A text as the model sees it, one entry a token.

    `ids`: vocabulary ids, BOS included where `bos` is true. `pieces`: the vocabulary's own names,
    the only lossless view (`Ġ5`, `▁`, `<0xF0>`). `texts`: what each token adds to the text, with
    `�` for part of a character. `offsets`: [start, end) in characters of `text`, (0, 0) for a
    token that stands for none. `warnings`: what would surprise, each with its remedy.
    """

    text: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    texts: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    bos: bool
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Ranking:
    """Tokens ranked by one run, best first.

    `ids`, `tokens` (raw pieces), `texts` (what each adds to the text), `logits`, `log_probs`
    (natural logarithm), `probs` (0 to 1, over the whole vocabulary even where the ranking is
    cut), `ranks` (1 is best; equal logits are ordered by id), `moves`: how many places the token
    stands higher here than in the twin run (positive: it rose here), all of shape [k].
    """

    ids: Int[np.ndarray, " k"]
    tokens: tuple[str, ...]
    texts: tuple[str, ...]
    logits: Float[np.ndarray, " k"]
    log_probs: Float[np.ndarray, " k"]
    probs: Float[np.ndarray, " k"]
    ranks: Int[np.ndarray, " k"]
    moves: Int[np.ndarray, " k"]


@dataclass(frozen=True)
class Score:
    """One answer in one run: its tokens in place after the prompt, teacher-forced in one pass.

    `log_probs`: of each token given the ones before it, natural logarithm, shape [n_tokens].
    `log_prob`: their sum; `prob` its exponential, 0 to 1. `logit` and `rank` (1 is best) are of the
    first token where answer and distractor differ (of the answer's first token that is not only a
    space, where there is no distractor; of the first, where one begins with the whole other).
    """

    log_probs: Float[np.ndarray, " n_tokens"]
    log_prob: float
    prob: float
    logit: float
    rank: int


@dataclass(frozen=True)
class Candidate:
    """An answer or a distractor, clean and ablated.

    `ids` and `tokens` are those it gets in place. `retokenizes` is true where writing it after
    the prompt would change the prompt's own last tokens; it is then scored as tokens of its own.
    """

    text: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    retokenizes: bool
    clean: Score
    ablated: Score


@dataclass(frozen=True)
class NextToken:
    """What comes next, clean and ablated.

    `after`: the pieces appended to the prompt before ranking (empty at the prompt's end; the
    tokens answer and distractor share when ranking at the answer). `clean_marked` and
    `ablated_marked` are the lines of the answer's and the distractor's token at that place,
    however low they rank. `clean_logit_diff` and
    `ablated_logit_diff`: logit(answer) − logit(distractor) at the first token where they differ,
    positive is right; None without both or where one begins with the whole of the other.
    `kl`: divergence of the ablated distribution from the clean one, KL(clean ‖ ablated) in nats.
    `notes`: what a reader must know, in sentences. `ablated_sites`: how many heads, MLPs and
    neurons were changed.
    """

    tokens: Tokens
    after: tuple[str, ...]
    clean: Ranking
    ablated: Ranking
    clean_marked: Ranking
    ablated_marked: Ranking
    answer: Candidate | None
    distractor: Candidate | None
    clean_logit_diff: float | None
    ablated_logit_diff: float | None
    kl: float
    notes: tuple[str, ...]
    ablated_sites: int


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be picked.

    `name`: what an Experiment calls it. `about`: one sentence. `bytes_needed`: memory its weights
    take in `dtype`, None where that is not known before loading. `shape` is None until loaded or
    where its config cannot be read; `bos`: whether its tokenizer prepends BOS by itself;
    `device` and `dtype` are None until it is loaded.
    """

    name: str
    about: str
    architecture: str
    bytes_needed: int | None
    shape: Shape | None
    loaded: bool
    device: str | None = None
    dtype: str | None = None
    bos: bool | None = None


@dataclass(frozen=True)
class Activations:
    """Captured activations of one experiment, clean and ablated.

    Each maps `(name, layer)` to an array with the axes its name has in TransformerLens, without
    the batch axis: `resid_pre`, `resid_mid`, `resid_post`, `attn_out`, `mlp_out`
    [pos, d_model]; `q`, `k`, `v`, `z` [pos, head_index, d_head] (k and v have
    n_key_value_heads); `attn_scores`, `pattern` [head_index, query_pos, key_pos]; `post`
    [pos, d_mlp]; `ln_final` [pos, d_model] with layer n_layers. `logits` are [pos, d_vocab].
    """

    tokens: Tokens
    clean: dict[tuple[str, int], np.ndarray]
    ablated: dict[tuple[str, int], np.ndarray]
    clean_logits: Float[np.ndarray, "pos d_vocab"]
    ablated_logits: Float[np.ndarray, "pos d_vocab"]


@dataclass(frozen=True)
class Trace:
    """One token followed through the layers, shape [layer pos] each.

    `logits`, `log_probs` (natural logarithm), `ranks` (1 is best; equal logits by id).
    """

    token: str
    logits: Float[np.ndarray, "layer pos"]
    log_probs: Float[np.ndarray, "layer pos"]
    ranks: Int[np.ndarray, "layer pos"]


@dataclass(frozen=True)
class LensRun:
    """The lens of one run.

    `ids`, `log_probs` (natural logarithm), `probs` (0 to 1, over the whole vocabulary) of the k
    best tokens, best first, and `moves`, how many places each stands higher than at the layer
    before (positive: it rose; 0 in the first row): [layer pos k]. `entropy`, in nats, and
    `divergence` from the model's output, KL(output ‖ lens) in nats: [layer pos]. `answer` and
    `distractor`: None without them. `leads_from`: the first layer at which the answer ranks first
    at the last position, None where it never does.
    """

    ids: Int[np.ndarray, "layer pos k"]
    log_probs: Float[np.ndarray, "layer pos k"]
    probs: Float[np.ndarray, "layer pos k"]
    moves: Int[np.ndarray, "layer pos k"]
    entropy: Float[np.ndarray, "layer pos"]
    divergence: Float[np.ndarray, "layer pos"]
    answer: Trace | None
    distractor: Trace | None
    leads_from: int | None


@dataclass(frozen=True)
class Lens:
    """What a model would say after each of its layers, clean and ablated.

    `tokens`: the prompt. `read`: the ids run, the prompt's and, when asked at the answer, those
    that come before it; `pieces` of them. `stream`: whose layers are read. `texts`: the text of
    every token id that appears in either run.
    """

    tokens: Tokens
    read: tuple[int, ...]
    pieces: tuple[str, ...]
    stream: str
    clean: LensRun
    ablated: LensRun
    texts: dict[int, str]
    notes: tuple[str, ...]


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

    def table(self) -> list[dict[str, object]]:
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

    def table(self) -> list[dict[str, object]]:
        """A row a prompt, in plain values; ids and pieces are set apart by spaces."""
        rows: list[dict[str, object]] = []
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

    def table(self) -> list[dict[str, object]]:
        """A row a twin: the best next token and the answer's probability (0 to 1) in both runs."""
        rows: list[dict[str, object]] = []
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

    def table(self) -> list[dict[str, object]]:
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

    def table(self) -> list[dict[str, object]]:
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

    def table(self) -> list[dict[str, object]]:
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

    def table(self) -> list[dict[str, object]]:
        """A row a token of both, in plain values."""
        return [
            {"of": name, "position": at, "id": t.ids[at], "piece": t.pieces[at],
             "kept": at < self.kept}
            for name, t in (("prompt", self.prompt), ("prompt and answer", self.joined))
            for at in range(len(t))
        ]  # fmt: skip


@dataclass(frozen=True)
class HeadScores:
    """What heads attend to, one number a head; `head_scores.SCORES` defines each.

    All of shape [*head]. Attention from 0 to 1; `entropy` in nats. NaN where the prompt has no
    token to ask: a single token, or none that occurred before.
    """

    previous_token: Float[np.ndarray, "*head"]
    first_token: Float[np.ndarray, "*head"]
    same_token: Float[np.ndarray, "*head"]
    duplicate_token: Float[np.ndarray, "*head"]
    induction: Float[np.ndarray, "*head"]
    entropy: Float[np.ndarray, "*head"]


@dataclass(frozen=True)
class AttentionRun:
    """Attention of one run.

    `pattern`: float32 [*head query_pos key_pos], after the softmax, 0 to 1, rows summing to 1.
    `value_norm`: [*head key_pos], the length of the value vector at each key; query heads that
    share a value head share it. `scores`: of each pattern, [*head].
    """

    pattern: Float[np.ndarray, "*head pos pos"]
    value_norm: Float[np.ndarray, "*head pos"]
    scores: HeadScores

    @property
    def value_weighted(self) -> np.ndarray:
        """Attention times the norm of the value vector attended to: from 0, same axes as
        `pattern`. Not the direction written, nor what the output projection makes of it."""
        return self.pattern * self.value_norm[..., None, :]


@dataclass(frozen=True)
class Attention:
    """Attention patterns of one experiment, clean and ablated.

    `heads`: those the first axes hold, in order: every head with axes [layer head_index ...], or
    the ones asked for, [head ...]. The two runs are equal where nothing is ablated.
    """

    tokens: Tokens
    heads: tuple[Head, ...]
    clean: AttentionRun
    ablated: AttentionRun


@dataclass(frozen=True)
class Thumbnails:
    """Every head's pattern made small.

    `shade`: [layer head_index row col], −127 to 127, where 127 stands for `most`; of each block of
    a larger pattern it is the value furthest from 0. Rows are queries, columns keys.
    """

    shade: Int8[np.ndarray, "layer head_index row row"]
    most: float


@dataclass(frozen=True)
class AttentionOverview:
    """Every head's thumbnail and scores, clean, ablated and their difference.

    `difference` is ablated − clean: positive where the ablated run attends more. Clean and ablated
    are on one scale: up to 1, or to the largest value of both where values weigh the patterns.
    Scores are [layer head_index], and always of the patterns without weights.
    """

    tokens: Tokens
    clean: Thumbnails
    ablated: Thumbnails
    difference: Thumbnails
    clean_scores: HeadScores
    ablated_scores: HeadScores

    @property
    def nbytes(self) -> int:
        """What the thumbnails take, which is nearly all there is."""
        return sum(t.shade.nbytes for t in (self.clean, self.ablated, self.difference))
