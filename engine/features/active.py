"""The features of an SAE in a prompt, in tokens, and in texts.

A feature's direction is read in the vocabulary as a neuron's row of W_out is:

    logits = W_U · γ ⊙ (d − mean)        γ: the gain of the final norm

which is what a unit of it would add if nothing came behind. What these do not show: what later
layers make of it, and whether the model uses the feature at all; switch it off to see that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ..asking import ask
from ..errors import EngineError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed, field
from ..experiment.sae import Sae
from ..experiment.sites import Feature
from ..model.model import Model
from ..model.worker import Steps
from ..neurons.context_results import NeuronContexts
from ..neurons.contexts import WHAT, ContextsQuestion, Looked
from ..neurons.token_results import TokenNumbers
from ..neurons.tokens import vector_tokens
from ..neurons.windows import as_texts
from ..passes import forward
from ..passes.overflow import check_numbers
from ..passes.prepare import prepare
from ..passes.saes import check_feature
from ..registry import load, model_of
from .active_results import ActiveFeatures
from .places import fit

MOST_SHOWN = 1_000


def active_features(
    e: Experiment, sae: Sae | str, k: int = 20, view: str | None = None
) -> ActiveFeatures:
    """The k features that are strongest at the prompt's positions, in the clean run or with its
    changes made: those that come first at a position, then those that come second, and so on.

    Returns: ActiveFeatures, activations at every position. A BOS counts for none of the choice.
    Raises: EngineError in words.
    """
    check_experiment(e)
    one, k = Sae.parse(sae), whole_number(k, "How many features are shown")
    if not 1 <= k <= MOST_SHOWN:
        raise EngineError(f"1 to {MOST_SHOWN:,} features are shown, not {k:,}.")
    model = model_of(e)
    return model.worker.submit(_active(model, e, one, k), view=view).result()


def feature_tokens(
    model: str,
    sae: Sae | str,
    features: Sequence[Feature | str | int],
    k: int = 10,
    view: str | None = None,
) -> dict[Feature, TokenNumbers]:
    """The tokens that each of some features promotes and demotes, logits per unit of it above their
    mean over all tokens, in a stream of size 1. Raises: EngineError in words."""
    loaded, one = load(model), Sae.parse(sae)
    several = [one.one(each) for each in features]
    return loaded.worker.submit(_tokens(loaded, one, several, k), view=view).result()


@dataclass(frozen=True)
class FindFeatureContexts(ContextsQuestion):
    """The tokens of texts at which a feature is strongest, the strongest of each window, and
    quantiles of its activation over all.

    `window`: tokens read at a time, at most. `k`: how many contexts.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "feature_contexts"
    n_plain = 4
    model: str
    sae: Parsed[Sae, Sae | str] = field()
    feature: Parsed[Feature, Feature | str | int] = field()
    texts: tuple[str, ...] = ()
    window: int = 64
    k: int = 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "sae", Sae.parse(self.sae))
        object.__setattr__(self, "feature", self.sae.one(self.feature))
        self.read_fields()

    def looked_at(self, model: Model) -> Looked:
        """Its activation."""
        fitted = fit(model, self.sae)
        index = self.feature.index
        check_feature(self.sae, fitted.dictionary, index)

        def values(result: forward.RowResult) -> Tensor:
            return fitted.dictionary.encode(fitted.given(result.captured))[:, index]

        return Looked(self.feature, fitted.captures, values)


def feature_contexts(
    model: str,
    sae: Sae | str,
    feature: Feature | str | int,
    texts: str | Sequence[str],
    window: int = 64,
    k: int = 20,
    view: str | None = None,
) -> NeuronContexts:
    """Ask `FindFeatureContexts` and wait for the end. Raises: EngineError in words."""
    one, read = Sae.parse(sae), as_texts(texts, WHAT)
    return ask(FindFeatureContexts(model, one, one.one(feature), read, window, k), view)


def _active(model: Model, e: Experiment, sae: Sae, k: int) -> Steps[ActiveFeatures]:
    prompt = model.tokenizer.encode(e.prompt, e.prepend_bos)
    forward.check_ids(model, prompt.ids)
    fitted, prepared = fit(model, sae), (yield from prepare(model, e, prompt))
    rows = [
        forward.Row(prompt.ids, edits, captures=fitted.captures)
        for edits in ((), prepared.edits(len(prompt)))
    ]
    runs = forward.run(model, rows)
    each: list[Any] = []
    for run in runs:
        values = fitted.dictionary.encode(fitted.given(run.captured))
        check_numbers(model, values, "encode")
        each.append(values.T.cpu().numpy().astype(np.float64))
    first = int(prompt.bos and len(prompt) > 1)
    shown = _strongest([values[:, first:] for values in each], k)
    x, meant = fitted.given(runs[0].captured), fitted.meant(runs[0].captured)
    return ActiveFeatures(
        sae=sae,
        tokens=prompt,
        features=tuple(sae.feature(i) for i in shown),
        clean=each[0][shown],
        ablated=each[1][shown],
        explained=_explained(meant, fitted.dictionary(x), first),
        n_on=(each[0] > 0).sum(0).astype(np.float64),
    )


def _strongest(runs: Sequence[np.ndarray], k: int) -> list[int]:
    """Of the features of runs [feature pos] those that come first at a position of one, then those
    that come second, up to k; in the order of the positions where the first run has them
    strongest."""
    best = np.full(len(runs[0]), np.inf)
    for values in runs:
        order = np.argsort(-values, axis=0, kind="stable")
        rank = np.argsort(order, axis=0, kind="stable").astype(np.float64)
        best = np.minimum(best, np.where(values > 0, rank, np.inf).min(1))
    first = runs[0]
    some = np.lexsort((-first.max(1), best))[:k]
    some = some[np.isfinite(best[some])]
    return [int(i) for i in some[np.lexsort((-first[some].max(1), first[some].argmax(1)))]]


def _explained(x: Tensor, out: Tensor, first: int) -> np.ndarray:
    """At each position, 1 − what is left / the distance from the prompt's mean."""
    left, whole = (x - out).pow(2).sum(-1), (x - x[first:].mean(0)).pow(2).sum(-1)
    share = 1 - left / whole.clamp_min(1e-30)
    result: np.ndarray = share.cpu().numpy().astype(np.float64)
    return result


def _tokens(
    model: Model, sae: Sae, features: Sequence[Feature], k: int
) -> Steps[dict[Feature, TokenNumbers]]:
    fitted, result = fit(model, sae), {}
    for feature in features:
        check_feature(sae, fitted.dictionary, feature.index)
        vector = fitted.dictionary.direction(feature.index)
        result[feature] = yield from vector_tokens(model, vector, k)
    return result
