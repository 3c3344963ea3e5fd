"""Where in a model an SAE reads and writes, and what it makes of what passes there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from ..errors import SiteError
from ..experiment.sae import Sae
from ..experiment.sites import Feature, parse_sites
from ..model.model import Model
from ..passes.dictionaries import Dictionary
from ..passes.points import Capture
from ..passes.saved_saes import dictionary_of, place_of_sae, place_read


@dataclass(frozen=True, eq=False)
class Fitted:
    """An SAE on a model: its numbers, where what it reads is captured, and where it writes."""

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
    return Fitted(dictionary, place_read(sae, dictionary, writes), writes)


def one_feature(sae: Sae, given: Feature | str | int) -> Feature:
    """The one feature that is meant: a Feature, its index, or as text “f3.12” or “12”.

    Raises: SiteError for what is none of this SAE.
    """
    text = str(given).strip()
    sites = parse_sites(f"f{sae.layer}.{text}" if text.isdecimal() else text)
    if len(sites) != 1 or not isinstance(sites[0], Feature) or sites[0].layer != sae.layer:
        raise SiteError(
            f"Name one feature of “{sae.name}”, as in f{sae.layer}.12; “{text[:40]}” is not that."
        )
    return sites[0]


def check_feature(sae: Sae, dictionary: Dictionary, feature: Feature) -> None:
    """Refuse a feature there is not. Raises: SiteError in words."""
    if feature.index >= dictionary.d_sae:
        raise SiteError(
            f"There is no feature {feature}; “{sae.name}” has features 0 to "
            f"{dictionary.d_sae - 1:,}."
        )
