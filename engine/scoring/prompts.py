"""Prompts read for many scored rows: what is asked of each, what it carries, what sites become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.sites import Shape, Site, resolve_sites
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.growing import Edits
from ..passes.hooks import Edit, edit, grouped
from ..passes.prepare import prepare
from ..passes.references import site_values
from .scorer import Target, target_of


@dataclass(frozen=True)
class Prompt:
    """One prompt: its experiment, its target, and what is put in place of each site.

    `given`: the edits it carries anyway. `positions`: where sites are ablated. `shape`: of the
    model it is a prompt for.
    """

    e: Experiment
    target: Target
    given: Edits
    positions: tuple[int, ...]
    values: dict[forward.Capture, Tensor]
    shape: Shape

    def edit(self, sites: Sequence[Site], positions: tuple[int, ...]) -> Edit:
        """Sites of one place, as heads of one layer or one MLP, ablated at these positions."""
        ((at, index),) = grouped(resolve_sites(sites, self.shape), self.shape).items()
        return edit(at, index, self.e.method, positions, self.values.get(at))


def read_prompts(
    model: Model,
    each: Sequence[Experiment],
    at: str,
    per_position: bool,
    wanted: set[forward.Capture] | None = None,
) -> Steps[list[Prompt]]:
    """Read every prompt and take the reference means, once for all that share them: of every head
    and MLP, or of the places `wanted`.

    Raises: ExperimentError, TokenError or SiteError saying what does not fit.
    """
    result: list[Prompt] = []
    taken: dict[object, dict[forward.Capture, Tensor]] = {}
    lengths: dict[int, str] = {}
    for i, e in enumerate(each):
        target = target_of(model, e, at)
        n = len(target.prompt)
        lengths.setdefault(n, e.prompt)
        if per_position and len(lengths) > 1:
            (a, one), (b, other) = list(lengths.items())[:2]
            raise ExperimentError(
                f"“{one[:60]}” is {a} tokens long and “{other[:60]}” {b}; position by position "
                "needs prompts of one length."
            )
        kind = e.method.kind
        shared = (n if kind.by_position else None, i if kind.takes == "corrupted" else None)
        if shared not in taken:
            taken[shared] = yield from site_values(model, e, target.prompt, wanted)
        acting = e.positions.at(n, n if per_position or kind.by_position else len(target.ids))
        prepared = yield from prepare(model, e, target.prompt)
        given = prepared.edits(len(target.ids))
        result.append(Prompt(e, target, given, acting, taken[shared], model.shape))
        yield 0.0
    return result


def references_of(each: Sequence[Experiment]) -> tuple[str, ...]:
    """The prompts that values were taken from, for the method and for what is changed besides."""
    first = each[0]
    takes = {method.kind.takes for method in (first.method, *(c.becomes for c in first.changes))}
    averaged = first.references or (first.corrupted,) if "references" in takes else ()
    own = [e.corrupted for e in each] if "corrupted" in takes else []
    return (*averaged, *(text for text in own if text not in averaged))
