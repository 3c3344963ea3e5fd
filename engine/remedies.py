"""What to change in an experiment whose changes are refused, so that they can be made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from .errors import EngineError
from .experiment.ablations import Ablations
from .experiment.change import Change
from .experiment.experiment import Experiment
from .experiment.method import Kind, Method
from .experiment.positions import Positions
from .experiment.results import Tokens
from .experiment.sites import Site
from .model.model import Model
from .passes import forward
from .passes.prepare import check_change
from .registry import model_of
from .text.scrambled import scrambled

_MOST_NAMED = 3
"""Sites that are named one by one where they are left out."""
_INSTEAD = (Kind.MEAN, Kind.MEAN_BY_POSITION, Kind.ZERO)


@dataclass(frozen=True)
class Remedy:
    """An experiment that can be made in the place of one whose changes are refused. `does`: what
    is done to that one, as a button says it."""

    does: str
    experiment: Experiment


def remedies(e: Experiment) -> tuple[Remedy, ...]:
    """What would let an experiment's changes be made: the nearest experiments whose changes its
    model does not refuse, the last of them without those that it does. Nothing is run: where only a
    run can tell (numbers that overflow), those that set, scale or add are taken for refused.

    Returns: none where nothing is changed. Raises: EngineError for a prompt that cannot be read.
    """
    every = e.every_change
    if not every:
        return ()
    model = model_of(e)
    prompt = model.tokenizer.encode(e.prompt, e.prepend_bos)
    forward.check_ids(model, prompt.ids)
    wrong = [i for i, one in enumerate(every) if _refused(model, e, prompt, one)]
    if not wrong:
        wrong = [i for i, one in enumerate(every) if one.becomes.kind.numbered]
    wrong = wrong or list(range(len(every)))
    result = [one for one in _nearest(model, e, prompt, wrong) if _goes(model, one, prompt)]
    last = _with(e, [None if i in wrong else one for i, one in enumerate(every)])
    return (
        *result,
        Remedy("Leave the change out" if len(wrong) == 1 else "Leave these changes out", last),
    )


def _nearest(model: Model, e: Experiment, prompt: Tokens, wrong: Sequence[int]) -> Iterator[Remedy]:
    """Experiments with one thing changed in the changes that are refused; some are refused too."""
    every = e.every_change

    def changed(how: Callable[[Change], Change]) -> Experiment:
        return _with(e, [how(x) if i in wrong else x for i, x in enumerate(every)])

    absent = [_absent(model, e, prompt, every[i]) for i in wrong]
    gone = list(dict.fromkeys(site for sites in absent for site in sites))
    rest = [_without(one, gone) for one in every]
    if gone and any(rest):
        named = " ".join(map(str, gone)) if len(gone) <= _MOST_NAMED else f"{len(gone)} sites"
        yield Remedy(f"Leave out {named}", _with(e, rest))
    kinds = {every[i].becomes.kind for i in wrong}
    if any(kind.takes in ("corrupted", "references") for kind in kinds):
        text = scrambled(model.tokenizer, prompt)
        if text is not None:
            yield Remedy("Make a corrupted prompt that fits", replace(e, corrupted=text))
    if any(kind.takes for kind in kinds) and not any(kind.takes == "vector" for kind in kinds):
        taken = {kind.takes for kind in kinds}
        for method in map(Method, _INSTEAD):
            if method.kind not in kinds and not (method.kind.takes and "number" in taken):
                becomes = partial(replace, becomes=method)
                yield Remedy(f"Use {method}", changed(becomes))
    if any(every[i].positions.which == "indices" for i in wrong):
        yield Remedy(
            "Act at all positions", changed(lambda one: replace(one, positions=Positions()))
        )


def _goes(model: Model, remedy: Remedy, prompt: Tokens) -> bool:
    e = remedy.experiment
    return not any(_refused(model, e, prompt, change) for change in e.every_change)


def _refused(model: Model, e: Experiment, prompt: Tokens, change: Change) -> bool:
    try:
        check_change(model, e, prompt, change)
    except EngineError:
        return True
    return False


def _absent(model: Model, e: Experiment, prompt: Tokens, change: Change) -> list[Site]:
    """The sites of a change that are refused by themselves, zeroed everywhere."""
    return [
        site
        for site in change.sites.sites
        if _refused(model, e, prompt, Change(Ablations((site,))))
    ]


def _without(change: Change, absent: Sequence[Site]) -> Change | None:
    """A change without some of its sites; None where none are left."""
    sites = tuple(site for site in change.sites.sites if site not in absent)
    left = replace(change.sites, sites=sites)
    return replace(change, sites=left) if left else None


def _with(e: Experiment, changes: Sequence[Change | None]) -> Experiment:
    """An experiment with others in the place of its changes, one by one; None for none."""
    if not e.ablations:
        return replace(e, changes=tuple(filter(None, changes)))
    first, *others = changes
    e = replace(e, changes=tuple(filter(None, others)))
    if first is None:
        return replace(e, ablations=Ablations(), method=Method(), positions=Positions())
    return replace(e, ablations=first.sites, method=first.becomes, positions=first.positions)
