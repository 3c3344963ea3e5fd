"""Which circuits of features are run for a curve, and what is added to a prompt's activation where
all but a circuit's features become what they are on average, or 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.method import Kind, Method
from ..experiment.sae import Sae
from ..experiment.sites import Feature
from ..scoring.prompts import Prompt
from .places import Fitted
from .readings import Reading

T = TypeVar("T")

_ALL_SIZES = 12
_MOST_SIZES = 28
NOT_RUN = b""
"""The key of no circuit."""
MOST_BYTES = 2**30
"""What is held of the features of all prompts."""


@dataclass(frozen=True, eq=False)
class FeatureCircuits:
    """Features `on` [member] that are on in some prompt, in order, and for each prompt what would
    be added along their directions were all of them changed, `moves` [pos member]; `gone` [pos
    d_out]: the error, where that goes too."""

    on: Int[np.ndarray, " member"]
    directions: Float[Tensor, "member d_out"]
    moves: tuple[Float[Tensor, "_ member"], ...]
    gone: tuple[Float[Tensor, "_ d_out"] | None, ...]

    def added(self, prompt: int, kept: Bool[np.ndarray, " member"]) -> Float[Tensor, "pos d_out"]:
        """What is added to a prompt's activation where only these members are kept."""
        changed = torch.from_numpy(np.flatnonzero(~kept)).to(self.directions.device)
        result = self.moves[prompt][:, changed] @ self.directions[changed]
        gone = self.gone[prompt]
        return result if gone is None else result - gone


@dataclass(frozen=True, eq=False)
class Plan:
    """The circuits of an order, kept and removed, and of random orders: for each the key of the
    members it keeps, `NOT_RUN` of none, and these by key, in the order in which they are run.

    `ranks`: the members as they are ordered; `order`: their features.
    """

    ranks: Int[np.ndarray, " member"]
    order: tuple[Feature, ...]
    sizes: tuple[int, ...]
    none: bytes
    kept: tuple[bytes, ...]
    removed: tuple[bytes, ...]
    random: tuple[tuple[bytes, ...], ...]
    members: dict[bytes, np.ndarray]

    def with_size(self, size: int) -> Plan:
        """The same with one size more, at which no random order is run."""
        at = int(np.searchsorted(self.sizes, size))
        which = np.isin(np.arange(len(self.ranks)), self.ranks[:size])
        kept, removed = (np.packbits(one).tobytes() for one in (which, ~which))

        def more(some: tuple[T, ...], one: T) -> tuple[T, ...]:
            return (*some[:at], one, *some[at:])

        return replace(
            self,
            sizes=more(self.sizes, size),
            kept=more(self.kept, kept),
            removed=more(self.removed, removed),
            random=tuple(more(own, NOT_RUN) for own in self.random),
            members={**self.members, kept: which, removed: ~which},
        )


def circuits_of(
    sae: Sae, fitted: Fitted, readings: Sequence[Reading], others: str, error: str
) -> FeatureCircuits:
    """The features that are on, and what becomes of them. `others`: "mean" or "zero".

    Raises: ExperimentError where none is on, for the mean of one prompt, and for more than is held.
    """
    on = torch.cat([one.on for one in readings]).unique()
    if not len(on):
        raise ExperimentError(
            f"No feature of “{sae.name}” is on at the positions changed in these prompts, so there "
            "is no circuit of features."
        )
    n = sum(len(one.positions) for one in readings)
    if 4 * n * len(on) > MOST_BYTES:
        raise ExperimentError(
            f"{len(on):,} features are on in these {len(readings):,} prompts, which is more than "
            f"is held ({MOST_BYTES / 2**30:.0f} GiB). Take fewer prompts."
        )
    values = [_whole(one, on) for one in readings]
    if others == "mean":
        if len(readings) < 2:
            raise ExperimentError(
                "Of one prompt a feature's mean is what it is there already: have the others "
                "become 0, or ask over the pairs of a task."
            )
        mean = torch.stack(values).mean(0) if line_up(readings) else torch.cat(values).mean(0)
        moves = [(mean - own) * one.writes(on) for own, one in zip(values, readings, strict=True)]
    else:
        moves = [-own * one.writes(on) for own, one in zip(values, readings, strict=True)]
    return FeatureCircuits(
        on.cpu().numpy(),
        fitted.dictionary.W_dec[on],
        tuple(moves),
        tuple(one.error if error == "zero" else None for one in readings),
    )


def same_change(
    e: Experiment,
    prompts: Sequence[Prompt],
    readings: Sequence[Reading],
    others: str,
    error: str,
    there: bool,
) -> tuple[Method | None, str]:
    """The method by which a change of an experiment does to features what a curve does, with the
    prompts as its references; None where none does, and for what reason. `there`: the experiment
    changes the SAE's own place."""
    if error == "zero":
        return None, "the curve is without the SAE's error, which a change of features keeps"
    if there:
        return None, (
            "the experiment changes the SAE's own place too, in the curve after the features and "
            "in a link before them"
        )
    if others == "zero":
        return Method(), ""
    lengths = [len(one.target.prompt) for one in prompts]
    positions = [one.positions for one in readings]
    if e.every_change:
        return None, (
            "the curve's means are of runs in which other things are changed, and those of an "
            "experiment of clean runs"
        )
    if any(max(own, default=0) >= n for own, n in zip(positions, lengths, strict=True)):
        return None, "the curve's means are also of the tokens of answers"
    if line_up(readings):
        if len({*lengths}) == 1:
            return Method(Kind.MEAN_BY_POSITION), ""
        return None, (
            "the curve's means are by position, and those of an experiment only where all prompts "
            "are as long"
        )
    if all(len(own) == n for own, n in zip(positions, lengths, strict=True)):
        return Method(Kind.MEAN), ""
    return None, (
        "the curve's means are over the positions changed, and those of an experiment over every "
        "token"
    )


def line_up(readings: Sequence[Reading]) -> bool:
    """Whether prompts are changed at the same positions, so that means are by position."""
    return len({one.positions for one in readings}) == 1


def _whole(one: Reading, on: Tensor) -> Float[Tensor, "pos member"]:
    """A prompt's features among all that are on in some prompt."""
    result = one.values.new_zeros((len(one.positions), len(on)))
    result[:, torch.searchsorted(on, one.on)] = one.values
    return result


def planned(
    sae: Sae,
    circuits: FeatureCircuits,
    estimates: Float[np.ndarray, " member"],
    first: Sequence[Feature],
    by: str,
    controls: int,
    seed: int,
) -> Plan:
    """The circuits of the order in which `first` come first, in theirs, and the others behind them
    by their `estimates`: by size, or with "signed" those first that help the answer most."""
    n = len(circuits.on)
    place = {int(index): i for i, index in enumerate(circuits.on)}
    front = {place[one.index]: None for one in first if one.index in place}
    by_estimate = np.argsort(estimates if by == "signed" else -np.abs(estimates), kind="stable")
    order = np.array([*front, *(i for i in by_estimate.tolist() if i not in front)])
    sizes = sizes_up_to(n)
    members: dict[bytes, np.ndarray] = {}

    def key(some: np.ndarray, kept: bool = True) -> bytes:
        which = np.full(n, not kept)
        which[some] = kept
        made = np.packbits(which).tobytes()
        members.setdefault(made, which)
        return made

    none = key(order[:0])
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n) for _ in range(controls)]
    kept, removed, random = [], [], []
    for size in sizes:
        kept.append(key(order[:size]))
        removed.append(key(order[:size], kept=False))
        random.append([key(own[:size]) for own in orders])
    return Plan(
        order,
        tuple(sae.feature(int(circuits.on[i])) for i in order),
        sizes,
        none,
        tuple(kept),
        tuple(removed),
        tuple(tuple(own) for own in zip(*random, strict=True)),
        members,
    )


def sizes_up_to(n: int) -> tuple[int, ...]:
    """The sizes of circuits run first: each of the few, then ever farther apart, up to all n."""
    few = range(1, min(n, _ALL_SIZES) + 1)
    spread = np.geomspace(_ALL_SIZES, max(n, _ALL_SIZES), _MOST_SIZES - _ALL_SIZES)
    return tuple(sorted({*few, *(min(n, round(size)) for size in spread.tolist())}))
