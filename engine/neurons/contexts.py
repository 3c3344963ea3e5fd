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
from .context_results import AROUND, Context, NeuronContexts
from .places import check_neuron, one_neuron
from .windows import Window, as_texts, row_cost, run_rows, windows

WHAT = "What contexts are looked for in"


@dataclass(frozen=True)
class Looked:
    """What is looked at in a run: of which unit, what is captured, and its value [pos] at each
    token of a row, made of that."""

    unit: Neuron | Feature
    captures: frozenset[forward.Capture]
    values: Callable[[forward.RowResult], Tensor]


class ContextsQuestion(Question[NeuronContexts, NeuronContexts]):
    """Where in texts something is strongest, read window by window."""

    model: str
    texts: tuple[str, ...]
    window: int
    k: int

    def looked_at(self, model: Model) -> Looked:
        """What is looked at in this model. Raises: EngineError where the model does not have it."""
        raise NotImplementedError

    @property
    def model_name(self) -> str:
        return self.model

    def answered(self, model: Model) -> Answer[NeuronContexts, NeuronContexts]:
        """Snapshots, each of the windows read by then; the last has all."""
        return Answer(lambda put: _steps(model, self, None, put), lambda made: made())

    def answered_after(
        self, model: Model, so_far: NeuronContexts
    ) -> Answer[NeuronContexts, NeuronContexts]:
        """The same, without the windows read so far. Raises: EngineError for those of another
        question."""
        if so_far.asked != self:
            raise EngineError("What is known so far is of something else, or of other texts.")
        return Answer(lambda put: _steps(model, self, so_far, put), lambda made: made())

    def read_fields(self) -> None:
        """Make texts of `texts`, and whole numbers of `window` and `k`. Raises: EngineError."""
        object.__setattr__(self, "texts", as_texts(self.texts, WHAT))
        for name, least, most, what in (
            ("window", 2, 4096, "The tokens of a window"),
            ("k", 1, 1000, "How many contexts there are"),
        ):
            value = whole_number(getattr(self, name), what)
            if not least <= value <= most:
                raise EngineError(f"{what}: {least} to {most:,}, and not {value:,}.")
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class FindContexts(ContextsQuestion):
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
        self.read_fields()

    def looked_at(self, model: Model) -> Looked:
        """Its post-activation."""
        check_neuron(model, self.neuron)
        at, index = ("post", self.neuron.layer), self.neuron.index
        return Looked(self.neuron, frozenset({at}), lambda result: result.captured[at][:, index])


def neuron_contexts(
    model: str,
    neuron: Any,
    texts: str | Sequence[str],
    window: int = 64,
    k: int = 20,
    view: str | None = None,
) -> NeuronContexts:
    """Ask `FindContexts` and wait for the end. Raises: EngineError in words."""
    return ask(FindContexts(model, one_neuron(neuron), as_texts(texts, WHAT), window, k), view)


def _steps(
    model: Model,
    asked: ContextsQuestion,
    so_far: NeuronContexts | None,
    put: Callable[[Callable[[], NeuronContexts]], None],
) -> Steps[NeuronContexts]:
    pace, looked = Pace(model), asked.looked_at(model)
    yield 0.0
    cut = yield from windows(
        model, asked.texts, min(asked.window, model.shape.n_ctx or asked.window)
    )
    rows = [forward.Row(ids, captures=looked.captures) for _, ids in cut]
    pace.total = sum(row_cost(pace, row) for row in rows)
    held = [np.zeros(0, np.float32)] * len(cut) if so_far is None else [*so_far.values]
    left = [i for i, values in enumerate(held) if not len(values)]
    pace.skip(pace.total - sum(row_cost(pace, rows[i]) for i in left))

    def take(row: int, result: forward.RowResult) -> None:
        values = looked.values(result).float().cpu().numpy()
        held[left[row]] = values[_first(model, rows[left[row]].ids) :]

    def told(share: float, seconds: float | None) -> Callable[[], NeuronContexts]:
        values = tuple(held)
        return lambda: NeuronContexts(
            asked, looked.unit, values, _contexts(model, asked.k, cut, values), share, seconds
        )

    for share in run_rows(model, pace, [rows[i] for i in left], take):
        put(told(min(share, 0.999), pace.seconds_left))
        yield share
    return told(1.0, None)()


def _first(model: Model, ids: tuple[int, ...]) -> int:
    """The first position that is counted: the one behind a BOS."""
    return int(ids[0] == model.tokenizer.bos_id and model.tokenizer.adds_bos)


def _contexts(
    model: Model, k: int, cut: Sequence[Window], values: Sequence[np.ndarray]
) -> tuple[Context, ...]:
    """The strongest token of each of the k strongest windows read."""
    read = [i for i, one in enumerate(values) if len(one)]
    order = sorted(read, key=lambda i: (-float(values[i].max()), i))[:k]
    return tuple(_context(model, *cut[i], values[i]) for i in order)


def _context(model: Model, text: int, ids: tuple[int, ...], values: np.ndarray) -> Context:
    first = len(ids) - len(values)
    at = int(values.argmax())
    start, stop = max(0, at - AROUND), min(len(values), at + AROUND + 1)
    texts = model.tokenizer.texts(ids)[first:]
    return Context(
        text, first + at, texts[at], float(values[at]) + 0.0, texts[start:stop],
        values[start:stop].astype(np.float64), at - start,
    )  # fmt: skip
