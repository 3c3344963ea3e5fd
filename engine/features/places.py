"""Where in a model an SAE reads and writes, and what it makes of what passes there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ..experiment.experiment import Experiment
from ..experiment.sae import Sae
from ..experiment.sites import Feature
from ..model.model import Model
from ..passes.hooks import ablated_sites, place_of
from ..passes.points import Capture
from ..passes.saes import dictionary_of, place_of_sae, place_read
from ..saved.dictionary import Dictionary


@dataclass(frozen=True, eq=False)
class Fitted:
    """An SAE on a model: its numbers, where what it reads is captured, and where it writes."""

    sae: Sae
    dictionary: Dictionary
    reads: Capture
    writes: Capture

    @property
    def captures(self) -> frozenset[Capture]:
        """What a run must capture."""
        return frozenset({self.reads, self.writes})

    def given(self, captured: Mapping[Capture, Tensor]) -> Float[Tensor, "pos d_in"]:
        """What it reads."""
        return captured[self.reads].float()

    def meant(self, captured: Mapping[Capture, Tensor]) -> Float[Tensor, "pos d_out"]:
        """What it is to write anew."""
        return captured[self.writes].float()


def fit(model: Model, sae: Sae) -> Fitted:
    """Find an SAE's places in a model, on the worker's thread.

    Raises: EngineError in words for one that is not of this model.
    """
    dictionary, writes = dictionary_of(model, sae), place_of_sae(model, sae)
    return Fitted(sae, dictionary, place_read(sae, dictionary, writes), writes)


def changed_too(model: Model, e: Experiment, writes: Capture) -> bool:
    """Whether an experiment's own changes are of the place that an SAE writes."""
    sites = [site for one in e.every_change for site in ablated_sites(one.sites, model.shape)]
    features = {place_of_sae(model, e.sae(one.layer)) for one in sites if isinstance(one, Feature)}
    others = {place_of(one, model.shape)[0] for one in sites if not isinstance(one, Feature)}
    return writes in features | others
