"""The features that prompts have at an SAE's place, and what switching each off would do, estimated
from one forward and one backward pass a prompt.

Attribution patching with features as nodes (Marks et al. 2024, sparse feature circuits): with x the
activation in the baseline run, f its features, d their directions, u what a unit of one writes
(1 but for SAEs of normalized activations), x̂ what the SAE makes of x, and m the metric,

    m without feature i − m ≈ −Σ f_i u d_i · ∂m/∂x
    m without the error − m ≈ −Σ (x − x̂) · ∂m/∂x

summed over the positions changed. What is not switched off, the error among it, stays as it is.
Features are switched off before all that the experiment changes itself. What a transcoder reads
does not show it, so that what the experiment makes of the same features then is counted here: of a
feature that it sets to a number nothing is left to switch off, and of one that it scales so much.
What it does not show: whatever is no straight line between x and what is left of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..attribution.backward import TOKENS, Gradients, Piece, backward_cost, differentiated
from ..experiment.method import Kind
from ..experiment.sites import Feature
from ..model.model import Model
from ..model.worker import Steps
from ..passes.blockwise import Blocks
from ..passes.overflow import check_numbers
from ..passes.pace import Pace
from ..passes.points import Capture, Wanted, by_place
from ..saved.dictionary import Dictionary
from ..scoring.prompts import Prompt
from .places import Fitted


@dataclass(frozen=True, eq=False)
class Then:
    """What an experiment makes of features `index` after others' changes, at the positions that are
    the `rows` of a reading: `times` what they are then, or, with 0, a number of its own."""

    rows: Int[Tensor, " row"]
    index: Int[Tensor, " index"]
    times: float


@dataclass(frozen=True, eq=False)
class Reading:
    """What an SAE reads of one prompt, at the positions that are changed.

    `on`: the features above 0 at any of them, in order, with their `values`; `unit`: how many times
    its direction a unit of one writes, where nothing is made of it `then`; `error`: x − x̂.
    `estimates`: of the change of the metric without each of those features, and `of_error` without
    the error; NaN where none were asked for.
    """

    positions: tuple[int, ...]
    on: Int[Tensor, " on"]
    values: Float[Tensor, "pos on"]
    unit: Float[Tensor, "pos 1"]
    error: Float[Tensor, "pos d_out"]
    estimates: Float[np.ndarray, " on"]
    of_error: float
    then: tuple[Then, ...] = ()

    def writes(self, features: Int[Tensor, " some"]) -> Float[Tensor, "pos some"]:
        """How many times its direction a unit of each of some features writes."""
        result = self.unit.repeat(1, len(features))
        for one in self.then:
            columns = torch.isin(features, one.index).nonzero()[:, 0]
            result[one.rows[:, None], columns] *= one.times
        return result

    def column(self, feature: int) -> int | None:
        """Where a feature is among those that are on; None where it is not."""
        at = int(torch.searchsorted(self.on, feature))
        return at if at < len(self.on) and int(self.on[at]) == feature else None

    def without(self, sae: Dictionary, columns: list[int] | slice) -> Float[Tensor, "pos d_out"]:
        """What is added where features that are on, by their places among these, become 0."""
        on = self.on[columns]
        return -(self.values[:, columns] * self.writes(on)) @ sae.W_dec[on]


def readings_cost(pace: Pace, prompts: Sequence[Prompt], fitted: Fitted) -> float:
    """Operations of `readings_of`."""
    n = sum(len(p.target.ids) for p in prompts)
    return backward_cost(pace, n) + n * _encoding(fitted)


def readings_of(
    model: Model,
    pace: Pace,
    prompts: Sequence[Prompt],
    groups: Sequence[Sequence[int]],
    fitted: Fitted,
    metric: str | None,
) -> Steps[list[Reading]]:
    """Read prompts, those of a group being of one token count; "logit_diff" or "log_prob" is the
    metric of the estimates, None if there are to be none, for which the blocks up to the SAE do.
    Raises: EngineError where numbers overflow."""
    result: dict[int, Reading] = {}
    for group in groups:
        each = max(1, TOKENS // len(prompts[group[0]].target.ids))
        for start in range(0, len(group), each):
            some = group[start : start + each]
            part = yield from _readings(model, pace, [prompts[i] for i in some], fitted, metric)
            result.update(zip(some, part, strict=True))
    return [result[i] for i in range(len(prompts))]


def _readings(
    model: Model, pace: Pace, prompts: Sequence[Prompt], fitted: Fitted, metric: str | None
) -> Steps[list[Reading]]:
    blocks = Blocks(model, [p.target.ids for p in prompts])
    passed: dict[Capture, Tensor] = {}
    slope: list[Tensor] = []

    def wanted(layer: int) -> Wanted:
        return by_place([[e for e in prompt.given if e.layer == layer] for prompt in prompts])

    def visit(layer: int, piece: Piece, gradients: Gradients) -> None:
        if layer == fitted.writes[1]:
            passed.update({at: piece.activations[at].detach() for at in fitted.captures})
            slope.append(gradients.at[fitted.writes].float())

    if metric is None:
        yield from _passed(model, pace, blocks, fitted, wanted, passed)
    else:
        points = tuple(dict.fromkeys((fitted.reads[0], fitted.writes[0])))
        targets = [p.target for p in prompts]
        yield from differentiated(
            model, pace, blocks, blocks.embedded, targets, metric, points, wanted, visit
        )
    result: list[Reading] = []

    def work(start: int, stop: int) -> None:
        for row in range(start, stop):
            own = {at: value[row] for at, value in passed.items()}
            own_slope = slope[0][row] if slope else None
            result.append(_reading(model, fitted, prompts[row], own, own_slope))

    n, nbytes = blocks.n_tokens, 8 * blocks.n_tokens * fitted.dictionary.d_sae
    yield from pace.steps(len(prompts), n * _encoding(fitted), nbytes, work)
    return result


def _passed(
    model: Model,
    pace: Pace,
    blocks: Blocks,
    fitted: Fitted,
    wanted: Callable[[int], Wanted],
    passed: dict[Capture, Tensor],
) -> Steps[None]:
    """Run blocks up to an SAE's place, and put what passes there into `passed`, as it is before it
    is changed."""
    hidden, last = blocks.embedded, fitted.writes[1]

    def look(at: Capture, activation: Tensor) -> None:
        passed[at] = activation.clone()

    for layer in range(last + 1):

        def onward(_start: int, _stop: int, layer: int = layer) -> None:
            nonlocal hidden
            with ExitStack() as stack:
                for at in fitted.captures if layer == last else ():
                    stack.enter_context(model.hooked(*at, blocks.n_tokens, partial(look, at)))
                hidden = blocks.call(layer, hidden, wanted(layer))

        yield from pace.steps(1, len(hidden) * blocks.n_tokens * pace.block_cost[layer], 0, onward)
    n = len(hidden) * blocks.n_tokens
    pace.skip(backward_cost(pace, n) - n * sum(pace.block_cost[: last + 1]))


def positions_of(prompt: Prompt) -> tuple[int, ...]:
    """Where a prompt's features are changed: as the experiment says, answers after it too."""
    return prompt.e.positions.at(len(prompt.target.prompt), len(prompt.target.ids))


def _reading(
    model: Model,
    fitted: Fitted,
    prompt: Prompt,
    passed: dict[Capture, Tensor],
    slope: Float[Tensor, "pos d_out"] | None,
) -> Reading:
    positions, sae = positions_of(prompt), fitted.dictionary
    at = list(positions)
    x, meant = fitted.given(passed)[at], fitted.meant(passed)[at]
    features = sae.encode(x)
    made = sae.decode(features, x)
    check_numbers(model, made, "encode")
    on = (features > 0).any(0).nonzero()[:, 0]
    values, unit, error = features[:, on], sae.unit(x), meant - made
    read = Reading(
        positions, on, values, unit, error, np.full(len(on), np.nan), np.nan,
        tuple(_made_then(fitted, prompt, positions)),
    )  # fmt: skip
    if slope is None:
        return read
    slope = slope[at]
    along = slope @ sae.W_dec[on].T
    estimates = -(values * read.writes(on) * along).sum(0).cpu().double().numpy()
    return replace(read, estimates=estimates, of_error=-float((error * slope).sum()))


def _made_then(fitted: Fitted, prompt: Prompt, positions: tuple[int, ...]) -> Iterator[Then]:
    """What the experiment makes of the features of a transcoder."""
    if not fitted.dictionary.transcodes or not fitted.sae.is_among(prompt.e.saes):
        return
    device, n = fitted.dictionary.W_dec.device, len(prompt.target.prompt)
    for change in prompt.e.every_change:
        sites = [site for site in change.sites.sites if isinstance(site, Feature)]
        index = [site.index for site in sites if site.layer == fitted.sae.layer]
        kind = change.becomes.kind
        there = {*change.positions.at(n, n if kind.by_position else len(prompt.target.ids))}
        rows = [row for row, position in enumerate(positions) if position in there]
        if index and rows:
            times = float(change.becomes.number or 0.0) if kind is Kind.SCALE else 0.0
            yield Then(torch.tensor(rows, device=device), torch.tensor(index, device=device), times)


def _encoding(fitted: Fitted) -> float:
    """Operations of reading one token."""
    return 2.0 * sum(one.numel() for one in fitted.dictionary.tensors.values())
