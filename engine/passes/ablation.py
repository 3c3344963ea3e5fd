"""An experiment's ablations as the edits of one text, with the references they need.

Averages are taken once for a set of reference prompts and kept, of every head and MLP together (and
of a layer's neurons when first asked for), so that the next toggle costs no pass over the
references. A `mean` weighs every reference token
equally, BOS included; what is generated after a prompt has no counterpart at its position, so
`mean_by_position` and `resample` leave it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..errors import EngineError, ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.method import Kind
from ..experiment.results import Tokens
from ..model.model import Model
from ..model.worker import Steps, finished
from . import forward
from .hooks import Edit, ablated_sites, edit, forced_pattern, grouped

_BY_POSITION = (Kind.MEAN_BY_POSITION, Kind.RESAMPLE)
_REFERENCE_TOKENS = 512
"""Reference tokens run at a time: what is captured of them is averaged and let go."""


def edits_of(model: Model, e: Experiment, prompt: Tokens, n_tokens: int) -> tuple[Edit, ...]:
    """The edits of a text of `n_tokens` that begins with the prompt, on the worker's thread.

    Raises: SiteError, ExperimentError or TokenError saying what does not fit.
    """
    if not _changed_places(model, e):
        return ()
    return edits_at(model, e, prompt, e.positions.at(len(prompt), n_tokens))


def edits_at(
    model: Model, e: Experiment, prompt: Tokens, positions: tuple[int, ...]
) -> tuple[Edit, ...]:
    """The edits at these positions of a text that begins with the prompt, whatever the
    experiment's own positions are; past the prompt only where the method has values there.

    Raises: as `edits_of` does.
    """
    sites = _changed_places(model, e)
    if not sites:
        return ()
    kind = e.method.kind
    if kind in _BY_POSITION:
        positions = tuple(p for p in positions if p < len(prompt))
    texts = reference_texts(model, e, prompt)
    if not positions:
        return ()
    found = _references(model, texts, kind, set(sites)) if texts else {}
    made: list[Edit] = []
    for at, index in sites.items():
        one = edit(at, index, kind, e.method.number, positions, found.get(at))
        forced = at[0] == "pattern" and kind is Kind.SET
        made += forced_pattern(one, len(prompt)) if forced else [one]
    return tuple(made)


def prepared(model: Model, e: Experiment) -> Iterator[float]:
    """Take the averages an experiment needs a group of references at a time, as steps of a job, so
    that others' work fits in between. Raises: as `edits_of` does."""
    sites = _changed_places(model, e)
    if sites:
        prompt = model.tokenizer.encode(e.prompt, e.prepend_bos)
        texts = reference_texts(model, e, prompt)
        if texts:
            yield from _take(model, texts, e.method.kind, set(sites))


def _changed_places(model: Model, e: Experiment) -> dict[forward.Capture, tuple[int, ...] | None]:
    """Where an experiment changes something, and which heads or neurons there.

    Raises: SiteError for a site the model does not have; EngineError for a place that cannot be
    changed in this architecture, or not by this method.
    """
    sites = grouped(ablated_sites(e.ablations, model.shape), model.shape)
    for name, layer in sites:
        if not model.reaches(name, layer):
            raise EngineError(model.why_not(name, layer))
        if name == "pattern" and e.method.kind is Kind.MEAN:
            raise ExperimentError(
                "A pattern has as many keys as there are tokens before it, so it has no mean over "
                "positions: choose mean_by_position, resample, zero, scale or set."
            )
    return sites


def site_values(
    model: Model, e: Experiment, prompt: Tokens
) -> Steps[dict[forward.Capture, Tensor]]:
    """What the method puts in the place of every head's `z` and every MLP's `mlp_out`, by hook
    point and layer, as `hooks.edit` takes it; empty for methods that need no references.

    Raises: as `edits_of` does.
    """
    texts = reference_texts(model, e, prompt)
    every = _every_site(model)
    return (yield from _take(model, texts, e.method.kind, every)) if texts else {}


def has_values_past_the_prompt(kind: Kind) -> bool:
    """Whether a method can change tokens that come after the prompt."""
    return kind not in _BY_POSITION


def reference_texts(model: Model, e: Experiment, prompt: Tokens) -> tuple[tuple[int, ...], ...]:
    """The ids of the prompts a method takes its values from; empty for methods without any.

    Raises: ExperimentError where there are none, or where their length does not fit the prompt.
    """
    kind = e.method.kind
    if kind in (Kind.ZERO, Kind.SCALE, Kind.SET):
        return ()
    if kind is Kind.RESAMPLE:
        if not e.corrupted:
            raise ExperimentError(
                "resample takes its values from the corrupted prompt, and there is none. Give one "
                "with as many tokens as the prompt."
            )
        texts: Sequence[str] = (e.corrupted,)
    else:
        texts = e.references or ((e.corrupted,) if e.corrupted else ())
        if not texts:
            raise ExperimentError(
                f"{kind.word} averages over reference prompts, and there are none. Give some, or "
                "choose zero."
            )
    found = []
    for text in texts:
        ids = model.tokenizer.encode(text, e.prepend_bos).ids
        if kind in _BY_POSITION and len(ids) != len(prompt):
            what = "corrupted prompt" if kind is Kind.RESAMPLE else "reference prompt"
            raise ExperimentError(
                f"The {what} “{text[:60]}” is {len(ids)} tokens long and the prompt "
                f"{len(prompt)}; {kind.word} needs them equal"
                + ("." if kind is Kind.RESAMPLE else ", mean does not.")
            )
        forward.check_ids(model, ids)
        found.append(ids)
    return tuple(found)


def _references(
    model: Model, texts: tuple[tuple[int, ...], ...], kind: Kind, wanted: set[forward.Capture]
) -> dict[forward.Capture, Tensor]:
    """Reference values by hook point and layer: averages, or the corrupted prompt's own."""
    return finished(_take(model, texts, kind, wanted))


def _take(
    model: Model, texts: tuple[tuple[int, ...], ...], kind: Kind, wanted: set[forward.Capture]
) -> Steps[dict[forward.Capture, Tensor]]:
    """The values wanted, from the store, else by running the references, a group a step."""
    by_position = kind in _BY_POSITION
    found = {at: model.means.find((texts, by_position, *at)) for at in wanted}
    kept = {at: value for at, value in found.items() if value is not None}
    missing = wanted - set(kept)
    if missing:
        if any(name != "post" for name, _ in missing):
            missing |= _every_site(model)
        taken = yield from _averages(model, texts, by_position, frozenset(missing))
        for at, value in taken.items():
            model.means.keep((texts, by_position, *at), value)
        kept |= taken
    return {at: kept[at] for at in wanted}


def _every_site(model: Model) -> set[forward.Capture]:
    """Where the heads and the MLPs are changed."""
    heads = {("z", head.layer) for head in model.shape.heads}
    return heads | {("mlp_out", mlp.layer) for mlp in model.shape.mlps}


def _averages(
    model: Model,
    texts: tuple[tuple[int, ...], ...],
    by_position: bool,
    points: frozenset[forward.Capture],
) -> Steps[dict[forward.Capture, Tensor]]:
    """Averages over texts, and over their tokens unless `by_position`."""
    sums: dict[forward.Capture, Tensor] = {}
    group: list[forward.Row] = []
    for i, ids in enumerate(texts):
        group.append(forward.Row(ids, captures=points))
        if sum(len(row.ids) for row in group) < _REFERENCE_TOKENS and i + 1 < len(texts):
            continue
        for result in forward.run(model, group):
            for at, captured in result.captured.items():
                value = captured.transpose(0, 1) if at[0] == "pattern" else captured
                value = value.double() if model.device.type != "mps" else value.float()
                total = value if by_position else value.sum(0)
                sums[at] = sums[at] + total if at in sums else total
        group = []
        yield (i + 1) / len(texts)
    n = len(texts) if by_position else sum(len(ids) for ids in texts)
    return {at: (total / n).to(torch.float32) for at, total in sums.items()}
