"""Copy, successor and cross-list scores of every head, from the weights.

As in the copy score of Wang et al. 2022 and the successor score of Gould et al. 2023: a word's
token is read through the embedding and layer 0 (attention and MLP, the token behind nothing but the
BOS), then, for each head, through the norm of its own layer, W_V, W_O, the final norm and the
unembedding; the head has the word right if the token meant is among the k that are raised most.
`embedding="embedding"` leaves layer 0 out. Biases of values, final norm and unembedding are in;
that of the output projection, which belongs to no head, is not. The final norm, and a norm behind
the output projection (Gemma 2 and 3, OLMo 2), act on what one head writes alone, whose scale is not
that of a run: the order of the tokens is that of a run but for their biases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..asking import ask
from ..attribution.runs import both_runs, there
from ..errors import EngineError
from ..experiment.experiment import Experiment
from ..experiment.numbers import whole_number
from ..experiment.question import Question
from ..model.model import Model
from ..model.weights import W_E, W_O, W_U, W_V, per_query_head
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.forward import clean_stream
from .held import held, read_through
from .results import OVScores
from .words import Tokens, read_words, tokens_of
from .written import check_layer, written

EMBEDDINGS = ("layer 0", "embedding")
"""What a word is taken for: the stream that leaves layer 0, or that enters it."""
MOST_TOP = 20
_PRODUCTS = 2**31
"""Multiplications of one step."""


@dataclass(frozen=True)
class ScoreOV(Question[OVScores, OVScores]):
    """Which words each head raises where it looks at another.

    `inputs`: words in order, or the name of one of WORD_LISTS. `outputs`: the same, of the words
    that are looked for; None: the inputs. `k`: how many of the tokens raised most count.
    `embedding`: one of EMBEDDINGS.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "ov_scores"
    n_plain = 3
    model: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] | None = None
    k: int = 5
    embedding: str = "layer 0"

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", read_words(self.inputs or "months"))
        if self.outputs is not None:
            object.__setattr__(self, "outputs", read_words(self.outputs))
        k = whole_number(self.k, "How many tokens count")
        if not 1 <= k <= MOST_TOP:
            raise EngineError(f"1 to {MOST_TOP} tokens count, not {k:,}.")
        object.__setattr__(self, "k", k)
        if self.embedding not in EMBEDDINGS:
            raise EngineError(
                f"A word is taken for what leaves “{EMBEDDINGS[0]}”, or for its "
                f"“{EMBEDDINGS[1]}”, not “{self.embedding!s:.40}”."
            )

    @property
    def model_name(self) -> str:
        return self.model

    def answered(self, model: Model) -> Answer[OVScores, OVScores]:
        """Snapshots layer by layer; the last has all."""
        return Answer(lambda put: _steps(model, self, put))


def ov_scores(
    model: str,
    inputs: str | Sequence[str] = "months",
    outputs: str | Sequence[str] | None = None,
    k: int = 5,
    embedding: str = "layer 0",
    view: str | None = None,
) -> OVScores:
    """Ask `ScoreOV` and wait for the end. Raises: EngineError in words."""
    into = None if outputs is None else read_words(outputs)
    return ask(ScoreOV(model, read_words(inputs), into, k, embedding), view)


def _steps(model: Model, asked: ScoreOV, put: Callable[[OVScores], None]) -> Steps[OVScores]:
    yield 0.0
    inputs = tokens_of(model, asked.inputs)
    outputs = inputs if asked.outputs is None else tokens_of(model, asked.outputs)
    shape, n, m = model.shape, len(inputs.ids), len(outputs.ids)
    rank = np.zeros((shape.n_layers, shape.n_heads, n, m), dtype=np.int64)
    top = np.zeros((shape.n_layers, shape.n_heads, n, asked.k), dtype=np.int64)
    copying = np.full((shape.n_layers, shape.n_heads), np.nan)
    runs = yield from both_runs(
        model, _checked(model, inputs), there(model, "v", "pattern", "z", "attn_out", "resid_pre"),
        at_end=False,
    )  # fmt: skip
    stream = _streams(model, inputs.ids, asked.embedding)
    yield 0.02
    among = yield from _among(model)
    notes = _notes(inputs, outputs)
    texts: dict[int, str] = {}

    def snapshot(progress: float) -> OVScores:
        return OVScores(
            inputs, outputs, asked.k, rank.copy(), top.copy(), dict(texts), copying.copy(),
            asked.embedding, shape.d_vocab, notes, progress,
        )  # fmt: skip

    layers = [layer for layer in range(shape.n_layers) if layer not in shape.without_heads]
    at_once = max(1, _PRODUCTS // (n * shape.d_vocab * shape.d_model))
    for done, layer in enumerate(layers):
        check_layer(model, layer, runs)
        each = written(model, layer, stream)
        for heads in torch.arange(shape.n_heads).split(at_once):
            logits = _logits(model, each[heads])
            own = logits[..., list(outputs.ids)]
            for j in range(m):
                places = 1 + (logits > own[..., j, None]).sum(-1)
                rank[layer, heads, :, j] = places.cpu().numpy()
            top[layer, heads] = logits.topk(asked.k).indices.cpu().numpy()
            yield 0.1 + 0.9 * (done + float(heads[-1]) / shape.n_heads) / len(layers)
        new = set(top[layer].ravel().tolist()).difference(texts)
        texts |= dict(zip(new, model.tokenizer.texts(tuple(new)), strict=True))
        copying[layer] = _copying(model, layer, among)
        put(snapshot(min(0.1 + 0.9 * (done + 1) / len(layers), 0.999)))
    whole = snapshot(1.0)
    put(whole)
    return whole


def _checked(model: Model, words: Tokens) -> Experiment:
    """A run of a few of the words, in which what is worked out from weights is looked up."""
    first, second, third = (words.words[place] for place in words.places[:3])
    return Experiment(str(model.name), first, answer=f" {second}", distractor=f" {third}")


def _streams(model: Model, ids: Sequence[int], embedding: str) -> Tensor:
    """What each token is taken for, [word d_model]."""
    begins = model.tokenizer.encode("", None).ids
    layer = EMBEDDINGS.index("embedding") - EMBEDDINGS.index(embedding)
    return torch.stack([clean_stream(model, (*begins, token))[layer, -1] for token in ids])


def _logits(model: Model, given: Tensor) -> Tensor:
    """What the final norm and the unembedding make of vectors, float32 [... d_vocab]."""
    norm = model.structure.ln_final
    given = given.to(model.dtype)
    logits: Tensor = model.unembed(given if norm is None else norm(given))
    return logits.float()


def _among(model: Model) -> Steps[Tensor]:
    """W_U W_E over all tokens, behind the final norm's gain: [d_model d_model]."""
    embed, unembed = W_E(model), W_U(model)
    whole = torch.zeros(embed.shape[1], embed.shape[1], device=embed.device)
    for rows in torch.arange(len(embed)).split(max(1, _PRODUCTS // embed.shape[1] ** 2)):
        whole += unembed[:, rows].float() @ embed[rows].float()
        yield 0.05
    norm = held(model, None)
    if norm is None:
        return whole
    scaled: Tensor = norm.gain.to(whole)[:, None] * whole
    return scaled - scaled.mean(0) if norm.centres else scaled


def _copying(model: Model, layer: int, among: Tensor) -> np.ndarray:
    """Σ Re λ / Σ |λ| of each head, [head_index]."""
    value = read_through(model, layer, per_query_head(model, W_V(model, layer)))
    maps = W_O(model, layer).float() @ among @ value
    values = torch.linalg.eigvals(maps.cpu().double())
    result: np.ndarray = (values.real.sum(-1) / values.abs().sum(-1)).numpy()
    return result


def _notes(inputs: Tokens, outputs: Tokens) -> tuple[str, ...]:
    notes = []
    for tokens in dict.fromkeys((inputs, outputs)):
        if tokens.left_out:
            some = ", ".join(tokens.left_out[:8]) + ("…" if len(tokens.left_out) > 8 else "")
            notes.append(
                f"{len(tokens.left_out)} of {len(tokens.words)} words are several tokens here and "
                f"left out: {some}."
            )
    return tuple(notes)
