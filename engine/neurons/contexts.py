"""Where in a text a neuron is strongest, and how its activations are spread over it.

The text is cut into windows, each read by itself from its beginning, in the model with nothing
changed. What is shown is the post-activation, TransformerLens' `post`. A BOS is left out, as much
rests there that is of no text. What it does not show: whether anything later reads the neuron
there, and contexts that this text does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ..asking import ask
from ..errors import EngineError
from ..experiment.numbers import whole_number
from ..experiment.question import Question
from ..experiment.sites import Feature, Neuron
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes import forward
from ..passes.pace import Pace
from .context_results import AROUND, QUANTILES, Context, NeuronContexts
from .places import check_neuron, one_neuron
from .windows import as_texts, row_cost, run_rows, windows


@dataclass(frozen=True)
class FindContexts(Question[None, NeuronContexts]):
    """The tokens of texts at which a neuron is strongest, the strongest of each window, and
    quantiles of its activation over all.

    `window`: tokens read at a time, at most. `k`: how many contexts.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "neuron_contexts"
    n_plain = 3
    model: str
    neuron: Neuron
    texts: tuple[str, ...]
    window: int = 64
    k: int = 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "neuron", one_neuron(self.neuron))
        object.__setattr__(self, "texts", as_texts(self.texts, "What contexts are looked for in"))
        check_windows(self)

    @property
    def model_name(self) -> str:
        return self.model

    def answered(self, model: Model) -> Answer[None, NeuronContexts]:
        """The contexts, once all windows are run."""
        check_neuron(model, self.neuron)
        return Answer(lambda _: _steps(model, self))


def check_windows(asked: Any) -> None:
    """Make whole numbers of a question's `window` and `k`. Raises: EngineError for what is none."""
    for name, least, most, what in (
        ("window", 2, 4096, "The tokens of a window"),
        ("k", 1, 1000, "How many contexts there are"),
    ):
        value = whole_number(getattr(asked, name), what)
        if not least <= value <= most:
            raise EngineError(f"{what}: {least} to {most:,}, and not {value:,}.")
        object.__setattr__(asked, name, value)


def neuron_contexts(
    model: str,
    neuron: Any,
    texts: str | Sequence[str],
    window: int = 64,
    k: int = 20,
    view: str | None = None,
) -> NeuronContexts:
    """Ask `FindContexts` and wait for the end. Raises: EngineError in words."""
    read = as_texts(texts, "What contexts are looked for in")
    return ask(FindContexts(model, one_neuron(neuron), read, window, k), view)


def _steps(model: Model, asked: FindContexts) -> Steps[NeuronContexts]:
    at = ("post", asked.neuron.layer)

    def values(result: forward.RowResult) -> Tensor:
        return result.captured[at][:, asked.neuron.index]

    return contexts_of(
        model, asked.neuron, asked.texts, asked.window, asked.k, frozenset({at}), values
    )


def contexts_of(
    model: Model,
    neuron: Neuron | Feature,
    texts: Sequence[str],
    window: int,
    k: int,
    captures: frozenset[forward.Capture],
    values: Callable[[forward.RowResult], Tensor],
) -> Steps[NeuronContexts]:
    """The contexts of whatever has a value [pos] at each token of a row, made of what was captured.

    Raises: EngineError for texts without a token.
    """
    pace = Pace(model)
    yield 0.0
    cut = list(windows(model, texts, min(window, model.shape.n_ctx or window)))
    if not cut:
        raise EngineError("No token is left of the text.")
    rows = [forward.Row(ids, captures=captures) for _, ids in cut]
    pace.total = sum(row_cost(pace, row) for row in rows)
    held: dict[int, np.ndarray] = {}

    def take(row: int, result: forward.RowResult) -> None:
        held[row] = values(result).float().cpu().numpy()

    yield from run_rows(model, pace, rows, take)
    first = {i: _first(model, ids) for i, (_, ids) in enumerate(cut)}
    each = {i: held[i][first[i] :] for i in held if len(held[i]) > first[i]}
    if not each:
        raise EngineError("No token is left of the text.")
    order = sorted(each, key=lambda i: (-float(each[i].max()), i))[:k]
    every = np.concatenate([each[i] for i in sorted(each)]).astype(np.float64)
    return NeuronContexts(
        neuron=neuron,
        n_windows=len(each),
        activations=np.sort(every),
        contexts=tuple(_context(model, *cut[i], held[i], first[i]) for i in order),
        quantiles=np.quantile(every, QUANTILES),
    )


def _first(model: Model, ids: tuple[int, ...]) -> int:
    """The first position that is counted: the one behind a BOS."""
    return int(ids[0] == model.tokenizer.bos_id and model.tokenizer.adds_bos)


def _context(
    model: Model, text: int, ids: tuple[int, ...], values: np.ndarray, first: int
) -> Context:
    at = first + int(values[first:].argmax())
    start, stop = max(first, at - AROUND), min(len(ids), at + AROUND + 1)
    texts = model.tokenizer.texts(ids)
    return Context(
        text, at, texts[at], float(values[at]) + 0.0, texts[start:stop],
        values[start:stop].astype(np.float64), at - start,
    )  # fmt: skip
