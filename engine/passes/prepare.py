"""The changes of an experiment made ready for its prompt: their places found, what is put there
taken from the references once, and then the edits of any text that begins with the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor

from ..errors import EngineError, ExperimentError
from ..experiment.change import Change
from ..experiment.experiment import Experiment
from ..experiment.method import Kind, Method
from ..experiment.results import Tokens
from ..experiment.sae import Sae
from ..experiment.sites import Feature
from ..model.model import Model
from ..model.worker import Steps
from ..saved.dictionary import Become, Dictionary
from .directions import check_direction, made
from .hooks import Edit, ablated_sites, edit, forced_pattern, grouped
from .points import Capture
from .references import Texts, feature_values, reference_texts, take
from .saes import (
    check_feature,
    dictionary_of,
    place_of_sae,
    place_read,
    read_dictionary,
)

_ALONG = ("resid_pre", "resid_mid", "resid_post", "mlp_out")
"""The places at which a direction can be added or removed."""


@dataclass(frozen=True, eq=False)
class _Changed:
    """Features of an SAE that are changed: its numbers, where it reads, what becomes of them."""

    sae: Sae
    dictionary: Dictionary
    reads: Capture
    become: Become


Features = dict[Capture, _Changed]
"""By the place that an SAE writes anew: what is changed there."""


@dataclass(frozen=True, eq=False)
class _Ready:
    """One change: the heads or neurons at each of its places (None: the whole vector), and what is
    put there, or along what, as `hooks.edit` takes it; and the features it is of."""

    change: Change
    places: dict[Capture, tuple[int, ...] | None]
    values: dict[Capture, Tensor]
    features: Features = field(default_factory=dict)

    def edits(
        self, n_prompt: int, first: int, stop: int, before: Sequence[_Ready] = ()
    ) -> Iterator[Edit]:
        """Those from `first` to before `stop`, after those of the changes before it."""
        method, positions = self.change.becomes, self._at(n_prompt, first, stop)
        if not positions:
            return
        for at, index in self.places.items():
            one = edit(at, index, method, positions, self.values.get(at))
            forced = at[0] == "pattern" and method.kind is Kind.SET
            yield from forced_pattern(one, n_prompt) if forced else (one,)
        for at, changed in self.features.items():
            moves, become = changed.dictionary.moved, changed.become
            if changed.reads == at:  # it sees there what the changes before have left
                own = partial(moves, become=become.at(positions))
                yield Edit(*at, None, positions, 0.0, moves=own)
                continue
            earlier = [
                (each.features[at].become, set(each._at(n_prompt, first, stop)))
                for each in before
                if at in each.features
            ]
            alike: dict[tuple[Become, ...], list[int]] = {}
            for p in positions:
                alike.setdefault(tuple(b for b, where in earlier if p in where), []).append(p)
            for became, where in alike.items():
                first_made = tuple(one.at(where) for one in became)
                own = partial(moves, become=become.at(where), before=first_made)
                yield Edit(*at, None, tuple(where), 0.0, moves=own, reads=changed.reads)

    def _at(self, n_prompt: int, first: int, stop: int) -> tuple[int, ...]:
        """The positions changed, from `first` to before `stop`."""
        stop = min(stop, n_prompt) if self.change.becomes.kind.by_position else stop
        return self.change.positions.at(n_prompt, stop, first)


@dataclass(frozen=True, eq=False)
class Prepared:
    """Changes made ready for a prompt, in order.

    `references`: the ids of the prompts that each method among them takes its values from.
    """

    prompt: Tokens
    references: dict[Method, Texts]
    _ready: tuple[_Ready, ...]

    def edits(self, stop: int, first: int = 0) -> tuple[Edit, ...]:
        """The edits at positions `first` to before `stop` of a text that begins with the prompt,
        those of the first change first; past the prompt only where a method has values there."""
        return tuple(one for edits in self.by_change(stop, first) for one in edits)

    def by_change(self, stop: int, first: int = 0) -> list[tuple[Edit, ...]]:
        """The same, each change's own."""
        n, every = len(self.prompt), self._ready
        return [tuple(one.edits(n, first, stop, every[:i])) for i, one in enumerate(every)]


def prepare(
    model: Model, e: Experiment, prompt: Tokens, changes: Sequence[Change] | None = None
) -> Steps[Prepared]:
    """Make ready all changes of an experiment, or others in their place, as steps of a job, so that
    others' work fits in between groups of references.

    Raises: SiteError, ExperimentError or TokenError saying what does not fit.
    """
    changes = e.every_change if changes is None else changes
    vectors = {}
    for name in dict.fromkeys(one.becomes.vector for one in changes if one.becomes.vector):
        vectors[name] = (yield from made(model, e.vector(name), e.prepend_bos)).values
    places, features, texts = [], [], {}
    wanted: dict[tuple[Texts, bool], set[Capture]] = {}
    for one in changes:
        places.append(_places(model, one, prompt))
        features.append(_features(e, one, partial(dictionary_of, model), model))
        method = one.becomes
        if method not in texts:
            texts[method] = reference_texts(model, e, method.kind, prompt)
        if texts[method]:
            key = (texts[method], method.kind.by_position)
            wanted.setdefault(key, set()).update(places[-1])
    taken = {}
    for key, some in wanted.items():
        taken[key] = yield from take(model, *key, some)
    ready = []
    for one, at, own in zip(changes, places, features, strict=True):
        if texts[one.becomes]:
            by_position = one.becomes.kind.by_position
            own = yield from _valued(model, own, texts[one.becomes], by_position)
        values = taken.get((texts[one.becomes], one.becomes.kind.by_position), {})
        if one.becomes.vector is not None:
            values = dict.fromkeys(at, vectors[one.becomes.vector])
        ready.append(_Ready(one, at, values, own))
    return Prepared(prompt, {m: result for m, result in texts.items() if result}, tuple(ready))


def _valued(model: Model, features: Features, texts: Texts, by_position: bool) -> Steps[Features]:
    """Features with the values they have in texts, which they become."""
    result: Features = {}
    for at, one in features.items():
        values = yield from feature_values(
            model, texts, by_position, one.sae, one.dictionary, one.reads
        )
        become = replace(one.become, values=values[..., list(one.become.index)])
        result[at] = replace(one, become=become)
    return result


def check_change(model: Model, e: Experiment, prompt: Tokens, change: Change) -> None:
    """Say why a change cannot be made of a prompt, without running anything.

    Raises: as `prepare` does.
    """
    _places(model, change, prompt)
    _features(e, change, partial(read_dictionary, model), model)
    if change.becomes.vector is not None:
        check_direction(model, e.vector(change.becomes.vector), e.prepend_bos)
    reference_texts(model, e, change.becomes.kind, prompt)


def _places(model: Model, change: Change, prompt: Tokens) -> dict[Capture, tuple[int, ...] | None]:
    """Where something is changed, and which heads or neurons there.

    Raises: SiteError for a site the model does not have; ExperimentError for a position that is
    not in the prompt; EngineError for a place that cannot be changed in this architecture, or not
    by this method.
    """
    named = ablated_sites(change.sites, model.shape)
    if change.becomes.kind.takes == "vector" or any(isinstance(one, Feature) for one in named):
        model.check_way("along directions", f"“{change}”")
    places = grouped([site for site in named if not isinstance(site, Feature)], model.shape)
    for name, layer in places:
        if not model.reaches(name, layer):
            raise EngineError(model.why_not(name, layer))
        if change.becomes.kind.takes == "vector" and name not in _ALONG:
            raise ExperimentError(
                f"“{change}” is not made: a direction lies in the residual stream, so it is used "
                f"there (r5, r5.mid) or on what an MLP writes into it (m5), and {name} is neither."
            )
        if name == "pattern" and change.becomes.kind is Kind.MEAN:
            raise ExperimentError(
                "A pattern has as many keys as there are tokens before it, so it has no mean over "
                "positions: choose mean_by_position, resample, zero, scale or set."
            )
    change.positions.at(len(prompt), len(prompt))  # says what is past the prompt's end
    return places


def _features(
    e: Experiment, change: Change, numbers: Callable[[Sae], Dictionary], model: Model
) -> Features:
    """The features that a change is of, with the numbers of their SAEs.

    Raises: EngineError for a feature there is not, or that cannot be changed by this method.
    """
    named = [one for one in ablated_sites(change.sites, model.shape) if isinstance(one, Feature)]
    if named and change.becomes.kind.takes == "vector":
        raise ExperimentError(
            f"“{change}” is not made: a feature is a number, and no direction is added to it or "
            "taken out; choose zero, scale, set, mean, mean_by_position or resample."
        )
    result: Features = {}
    for layer in dict.fromkeys(one.layer for one in named):
        sae = e.sae(layer)
        dictionary, at = numbers(sae), place_of_sae(model, sae)
        index = sorted({one.index for one in named if one.layer == layer})
        check_feature(sae, dictionary, index[-1])
        method = change.becomes
        become = Become(tuple(index), float(method.number or 0.0), method.kind is Kind.SCALE)
        result[at] = _Changed(sae, dictionary, place_read(sae, dictionary, at), become)
    return result
