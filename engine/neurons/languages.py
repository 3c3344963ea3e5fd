"""Neurons that belong to one of several sets of prompts, and what the model loses without them.

They are found on half of each set's prompts (the first, third …), by how selective they are in the
model with nothing changed, and then silenced, or forced to what they are in their set, while the
other half is read: for each set silenced and each set measured the cross-entropy of the text,

    loss = −(1 / n) Σ ln p(token | those before it)        perplexity = exp(loss)

The first token of a text without BOS has no prediction and is left out. As many random neurons of
the same layers are a control, drawn several times; what a set's own loses more than the others is
compared with what it does for the controls. See `selectivity` for what the scores do not show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..asking import ask
from ..errors import EngineError
from ..experiment.numbers import whole_number
from ..experiment.question import Question
from ..experiment.sites import Neuron
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes import forward
from ..passes.blockwise import Ids
from ..passes.pace import Pace
from .language_results import LanguageNeurons
from .losses import losses, losses_cost
from .places import layers_with_neurons, left_out
from .prompt_sets import PromptSet, as_sets
from .selectivity import average_precisions, by_entropy, by_precision, drawn_like, entropies
from .windows import row_cost, run_rows

SELECTED_BY = {"entropy": "entropy over sets (LAPE)", "precision": "average precision"}
DONE_TO = {"silence": "silenced (0)", "force": "forced to what they are in their set"}
MOST_BYTES = 2**30
"""Of the mean activations that are held, in float32."""
MOST_DRAWS = 100


@dataclass(frozen=True)
class FindLanguageNeurons(Question[LanguageNeurons, LanguageNeurons]):
    """The neurons most selective between sets of prompts, and the perplexity of each set without
    those of each.

    `sets`: two or more. `by`: "entropy" or "precision". `share`: how many are found, of all
    neurons. `does`: "silence" (they become 0) or "force" (each becomes the median over its set's
    prompts of its mean activation). `controls`: how many times random neurons are drawn, by `seed`.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "language_neurons"
    n_plain = 2
    model: str
    sets: tuple[PromptSet, ...]
    by: str = "entropy"
    share: float = 0.01
    does: str = "silence"
    controls: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "sets", as_sets(self.sets))
        for name, values in (("by", SELECTED_BY), ("does", DONE_TO)):
            if getattr(self, name) not in values:
                raise EngineError(
                    f"“{name}” is one of {', '.join(values)}, not “{getattr(self, name)!s:.40}”."
                )
        share = self.share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 0.5:
            raise EngineError(f"A share above 0 and up to 0.5 of the neurons, not {share!s:.40}.")
        object.__setattr__(self, "share", float(share))
        draws = whole_number(self.controls, "How often controls are drawn")
        if not 1 <= draws <= MOST_DRAWS:
            raise EngineError(f"Controls are drawn 1 to {MOST_DRAWS} times, not {draws:,}.")
        object.__setattr__(self, "controls", draws)
        seed = whole_number(self.seed, "The seed")
        if not 0 <= seed < 2**32:
            raise EngineError(f"The seed is from 0 to {2**32 - 1:,}, not {seed:,}.")
        object.__setattr__(self, "seed", seed)

    @property
    def model_name(self) -> str:
        return self.model

    def answered(self, model: Model) -> Answer[LanguageNeurons, LanguageNeurons]:
        """Snapshots: the neurons first, then the matrix, row by row."""
        return self._answer(model, None)

    def answered_after(
        self, model: Model, so_far: LanguageNeurons
    ) -> Answer[LanguageNeurons, LanguageNeurons]:
        """The same, without the losses known so far. Raises: EngineError for those of another
        question."""
        if so_far.asked != self:
            raise EngineError("What is known so far is of other sets, or asked otherwise.")
        return self._answer(model, so_far)

    def _answer(
        self, model: Model, so_far: LanguageNeurons | None
    ) -> Answer[LanguageNeurons, LanguageNeurons]:
        layers_with_neurons(model)
        model.check_way("block by block", "perplexity without a language's neurons")
        return Answer(lambda put: _steps(model, self, so_far, put))


def language_neurons(
    model: str,
    sets: Iterable[Any],
    by: str = "entropy",
    share: float = 0.01,
    does: str = "silence",
    controls: int = 10,
    seed: int = 0,
    view: str | None = None,
) -> LanguageNeurons:
    """Ask `FindLanguageNeurons` and wait for the end. `sets`: PromptSets, names of those that ship
    ("english", "spanish"), or names with their prompts. Raises: EngineError in words."""
    asked = FindLanguageNeurons(model, as_sets(sets), by, share, does, controls, seed)
    return ask(asked, view)


def _steps(
    model: Model,
    asked: FindLanguageNeurons,
    so_far: LanguageNeurons | None,
    put: Callable[[LanguageNeurons], None],
) -> Steps[LanguageNeurons]:
    pace, layers, width = Pace(model), layers_with_neurons(model), model.shape.d_mlp or 0
    yield 0.0
    found_on = [[_ids(model, text) for text in one.found_on] for one in asked.sets]
    measured = [[_ids(model, text) for text in one.measured_on] for one in asked.sets]
    n_sets, n_prompts = len(asked.sets), sum(map(len, found_on))
    if (nbytes := 4 * n_prompts * len(layers) * width) > MOST_BYTES:
        raise EngineError(
            f"What {len(layers) * width:,} neurons hold on {n_prompts:,} prompts takes "
            f"{nbytes / 2**30:.1f} GB; give fewer prompts."
        )
    texts = [ids for one in measured for ids in one]
    n_runs = 1 + n_sets * (1 + asked.controls)
    reading = [forward.Row(ids) for one in found_on for ids in one]
    measuring = losses_cost(pace, texts)
    pace.total = sum(row_cost(pace, row) for row in reading) + n_runs * measuring
    probability, means = yield from _read(model, pace, layers, found_on)
    owner = np.repeat(np.arange(n_sets), [len(one) for one in found_on])
    precision = np.zeros((n_sets, len(layers), width))
    for layer in range(len(layers)):
        for s in range(n_sets):
            precision[s, layer] = average_precisions(means[:, layer], owner == s)
            yield pace.share
    n = max(n_sets, round(asked.share * len(layers) * width))
    choose = by_entropy(probability, n) if asked.by == "entropy" else by_precision(precision, n)
    shape = n_sets, n_sets
    known = so_far or LanguageNeurons(
        asked=asked,
        names=tuple(one.name for one in asked.sets),
        by=asked.by,
        does=asked.does,
        layers=layers,
        neurons=tuple(_named(layers, width, one) for one in choose),
        probability=probability,
        entropy=entropies(probability),
        precision=precision,
        n_found_on=tuple(map(len, found_on)),
        n_measured_on=tuple(map(len, measured)),
        clean=np.full(n_sets, np.nan),
        losses=np.full(shape, np.nan),
        controls=np.full((asked.controls, *shape), np.nan),
        notes=left_out(model, layers),
        progress=0.0,
        seconds_left=None,
    )

    def told(now: LanguageNeurons, whole: bool = False) -> LanguageNeurons:
        share = 1.0 if whole else min(pace.share, 0.999)
        put(result := replace(now, progress=share, seconds_left=pace.seconds_left))
        return result

    sizes = [len(one) for one in measured]
    if np.isfinite(known.clean).all():
        pace.skip(measuring)
    else:
        known = told(replace(known, clean=(yield from losses(model, pace, texts, sizes, {}))))
    every, rng = np.concatenate(choose), np.random.default_rng(asked.seed)
    for s in range(n_sets):
        mine = means[owner == s].reshape(len(found_on[s]), -1)
        for draw in (None, *range(asked.controls)):
            at: tuple[int, ...]
            name, at, some = "losses", (s,), choose[s]
            if draw is not None:
                name, at = "controls", (draw, s)
                some = drawn_like(some.tolist(), every.tolist(), width, len(layers), rng)
            if np.isfinite(getattr(known, name)[at]).all():
                pace.skip(measuring)
                continue
            forced = np.median(mine[:, some], axis=0) if asked.does == "force" else 0.0 * some
            edits = _by_layer(layers, width, some, forced)
            numbers = getattr(known, name).copy()
            numbers[at] = yield from losses(model, pace, texts, sizes, edits)
            known = told(replace(known, **{name: numbers}))
    return told(known, whole=True)


def _ids(model: Model, text: str) -> Ids:
    ids: Ids = model.tokenizer.encode(text).ids
    forward.check_ids(model, ids)
    if len(ids) < 2:
        raise EngineError(f"“{text[:40]}” is one token; nothing in it is predicted. Leave it out.")
    return ids


def _read(
    model: Model, pace: Pace, layers: tuple[int, ...], sets: Sequence[Sequence[tuple[int, ...]]]
) -> Steps[tuple[np.ndarray, np.ndarray]]:
    """How often each neuron is above 0, over each set's tokens [set layer neuron], and its mean
    activation over each prompt's [prompt layer neuron]; a BOS is left out."""
    places = [("post", layer) for layer in layers]
    owner = [s for s, one in enumerate(sets) for _ in one]
    rows = [forward.Row(ids, captures=frozenset(places)) for one in sets for ids in one]
    width, bos = model.shape.d_mlp or 0, model.tokenizer.bos_id
    counts, totals = np.zeros((len(sets), len(layers), width)), np.zeros(len(sets))
    means = np.zeros((len(rows), len(layers), width), dtype=np.float32)

    def take(row: int, result: forward.RowResult) -> None:
        ids = rows[row].ids
        first = int(model.tokenizer.adds_bos and ids[0] == bos)
        post = torch.stack([result.captured[at][first:] for at in places]).float()
        counts[owner[row]] += (post > 0).sum(1).cpu().numpy()
        totals[owner[row]] += len(ids) - first
        means[row] = post.mean(1).cpu().numpy()

    yield from run_rows(model, pace, rows, take)
    return counts / totals[:, None, None], means


def _by_layer(
    layers: tuple[int, ...], width: int, flat: np.ndarray, values: np.ndarray
) -> dict[int, tuple[tuple[int, ...], torch.Tensor]]:
    """Neurons by flat index as indices and values of each layer."""
    result = {}
    for row, layer in enumerate(layers):
        here = flat // width == row
        if here.any():
            index = tuple((flat[here] % width).tolist())
            result[layer] = index, torch.tensor(values[here], dtype=torch.float32)
    return result


def _named(layers: tuple[int, ...], width: int, flat: np.ndarray) -> tuple[Neuron, ...]:
    return tuple(Neuron(layers[i // width], i % width) for i in flat.tolist())
