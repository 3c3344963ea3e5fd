"""Copy, successor and cross-list scores of every head, from the weights.

As in the copy score of Wang et al. 2022 and the successor score of Gould et al. 2023: a word's
token is read through the embedding and layer 0 (attention and MLP, where it stands in a text: by
itself behind nothing but the BOS), then, for each head, through the norm of its own layer, W_V,
W_O, the final norm and the unembedding; the head has the word right if the token meant is among the
k that are raised most.
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
from ..attribution.runs import Runs, both_runs, there
from ..errors import EngineError
from ..experiment.experiment import Experiment
from ..experiment.numbers import whole_number
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.forward import clean_stream
from .copying import copying_scores
from .held import held
from .results import OVScores
from .words import (
    CONTEXTS,
    SPELLINGS,
    Reading,
    Tokens,
    notes_of,
    read_in,
    read_words,
    tokens_of,
)
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
    `embedding`: one of EMBEDDINGS; `context`: one of CONTEXTS, where a word is read; `spelling`:
    one of SPELLINGS, which of its tokens count.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "ov_scores"
    n_plain = 3
    model: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] | None = None
    k: int = 5
    embedding: str = "layer 0"
    context: str = "alone"
    spelling: str = "after a space"

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", read_words(self.inputs or "months"))
        if self.outputs is not None:
            object.__setattr__(self, "outputs", read_words(self.outputs))
        k = whole_number(self.k, "How many tokens count")
        if not 1 <= k <= MOST_TOP:
            raise EngineError(f"1 to {MOST_TOP} tokens count, not {k:,}.")
        object.__setattr__(self, "k", k)
        check_embedding(self.embedding, self.context)
        if self.spelling not in SPELLINGS:
            raise EngineError(
                f"A word counts as a token {SPELLINGS[0]}, or as {SPELLINGS[1]} of its two, not "
                f"“{self.spelling!s:.40}”."
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
    context: str = "alone",
    spelling: str = "after a space",
    view: str | None = None,
) -> OVScores:
    """Ask `ScoreOV` and wait for the end. Raises: EngineError in words."""
    into = None if outputs is None else read_words(outputs)
    asked = ScoreOV(model, read_words(inputs), into, k, embedding, context, spelling)
    return ask(asked, view)


def check_embedding(embedding: str, context: str = "alone") -> None:
    """Refuse what a word cannot be taken for, or be read in. Raises: EngineError."""
    if embedding not in EMBEDDINGS:
        raise EngineError(
            f"A word is taken for what leaves “{EMBEDDINGS[0]}”, or for its “{EMBEDDINGS[1]}”, not "
            f"“{embedding!s:.40}”."
        )
    if context not in CONTEXTS:
        raise EngineError(f"A word is read {', '.join(CONTEXTS)}, not “{context!s:.40}”.")


def _steps(model: Model, asked: ScoreOV, put: Callable[[OVScores], None]) -> Steps[OVScores]:
    yield 0.0
    inputs, readings = read_in(model, asked.inputs, asked.context)
    outputs = tokens_of(
        model, asked.inputs if asked.outputs is None else asked.outputs, asked.spelling
    )
    shape, n, m = model.shape, len(inputs.ids), len(outputs.ids)
    rank = np.zeros((shape.n_layers, shape.n_heads, n, m), dtype=np.int64)
    top = np.zeros((shape.n_layers, shape.n_heads, n, asked.k), dtype=np.int64)
    copying = np.full((shape.n_layers, shape.n_heads), np.nan)
    runs = yield from checking_runs(model, outputs)
    stream = yield from streams(model, readings, asked.embedding)
    notes = (
        *notes_of(inputs, outputs),
        *layer_0_notes(model, asked.embedding),
        *_approximations(model),
    )
    texts: dict[int, str] = {}

    def snapshot(progress: float) -> OVScores:
        return OVScores(
            inputs, outputs, asked.k, rank.copy(), top.copy(), dict(texts), copying.copy(),
            asked.embedding, shape.d_vocab, asked.context, notes, progress=progress,
        )  # fmt: skip

    layers = [layer for layer in range(shape.n_layers) if layer not in shape.without_heads]
    rows_at_once = max(1, _PRODUCTS // (shape.d_vocab * shape.d_model))
    for done, layer in enumerate(layers):
        check_layer(model, layer, runs)
        each = written(model, layer, stream).flatten(0, 1)
        for rows in torch.arange(len(each)).split(rows_at_once):
            logits = _logits(model, each[rows])
            at = np.divmod(rows.numpy(), n)
            rank[layer][at] = _places(logits, outputs)
            top[layer][at] = logits.topk(asked.k).indices.cpu().numpy()
            yield 0.1 + 0.7 * (done + float(rows[-1]) / len(each)) / len(layers)
        new = set(top[layer].ravel().tolist()).difference(texts)
        texts |= dict(zip(new, model.tokenizer.texts(tuple(new)), strict=True))
        put(snapshot(0.1 + 0.7 * (done + 1) / len(layers)))
    copying = yield from copying_scores(model)
    whole = snapshot(1.0)
    put(whole)
    return whole


def checking_runs(model: Model, words: Tokens) -> Steps[Runs]:
    """A run of a few of the words, in which what is worked out from weights is looked up."""
    first, second, third = words.named[:3]
    e = Experiment(str(model.name), first, answer=f" {second}", distractor=f" {third}")
    seen = there(model, "v", "pattern", "z", "attn_out", "resid_pre")
    return (yield from both_runs(model, e, seen, at_end=False))


def streams(model: Model, readings: Sequence[Reading], embedding: str) -> Steps[Tensor]:
    """What each word is taken for where it is read, [word d_model]."""
    layer = EMBEDDINGS.index("embedding") - EMBEDDINGS.index(embedding)
    found = []
    for done, one in enumerate(readings):
        found.append(clean_stream(model, one.ids)[layer, one.at])
        yield 0.05 + 0.05 * done / len(readings)
    return torch.stack(found)


def _logits(model: Model, given: Tensor) -> Tensor:
    """What the final norm and the unembedding make of vectors, float32 [... d_vocab]."""
    norm = model.structure.ln_final
    given = given.to(model.dtype)
    logits: Tensor = model.unembed(given if norm is None else norm(given))
    return logits.float()


def layer_0_notes(model: Model, embedding: str) -> list[str]:
    """What a word is taken for where layer 0 has no MLP, or no heads: a sentence."""
    shape = model.shape
    lacks = [
        part
        for part, without in (("heads", shape.without_heads), ("MLP", shape.without_mlp))
        if 0 in without
    ]
    if embedding != EMBEDDINGS[0] or not lacks:
        return []
    return [
        f"Layer 0 has no {' and no '.join(lacks)} here: what leaves it is the word's embedding and "
        "what else it adds, not what published scores take."
    ]


def _approximations(model: Model) -> list[str]:
    """Where the numbers are not those of a run, in a sentence each."""
    layers = (layer for layer in range(model.shape.n_layers) if model.layer(layer).output)
    first = next(layers, None)
    if first is None or held(model, first, behind=True) is None:
        return []
    return [
        "A norm stands behind what a layer's heads write together; here it is put behind one head "
        "alone, whose size is not that of a run."
    ]


def _places(logits: Tensor, words: Tokens) -> np.ndarray:
    """The place of each word among all tokens, 1 the highest, in each row: [row word]."""
    rows = logits.cpu().numpy()
    meant = rows[:, words.spellings].max(axis=-1)
    return np.array(  # one number at a time: rows lie in the cache, and numpy counts fast
        [[1 + np.count_nonzero(row > one) for one in own]
         for row, own in zip(rows, meant, strict=True)]
    )  # fmt: skip
