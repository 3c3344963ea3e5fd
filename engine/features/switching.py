"""Features switched off, and only some kept, as changes of an experiment."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ExperimentError
from ..experiment.ablations import Ablations
from ..experiment.change import Change
from ..experiment.method import AsMethod, Method
from ..experiment.positions import AsPositions, Positions
from ..experiment.sae import Sae
from ..experiment.sites import MOST_SITES, Feature
from .files import sae_shape


def switch_off_features(
    sae: Sae | str,
    features: Sequence[Feature | str | int],
    positions: AsPositions = "all",
    becomes: AsMethod = "zero",
) -> Change:
    """The change that sets features to 0, the SAE's error kept: `zero f3.5 f3.12`; or to what else
    they are to become, as `FeatureCurve.becomes` says. The experiment it is put into names the SAE
    among its `saes`, and the `references` that a mean is of.

    Raises: EngineError for no features, and for what is none of this SAE.
    """
    one = Sae.parse(sae)
    return _changed(one, [one.one(each) for each in features], positions, becomes)


def keep_features(
    sae: Sae | str,
    features: Sequence[Feature | str | int],
    positions: AsPositions = "all",
    becomes: AsMethod = "zero",
) -> Change:
    """The change that sets all other features of an SAE to 0, its error kept: `zero f3.0-4 f3.6-9`;
    or to what else they are to become, as `switch_off_features` has it.

    Raises: EngineError where the SAE is not here, for what is none of its features, where no other
    is left, and where there are more than a change names.
    """
    one, n = Sae.parse(sae), sae_shape(sae).d_sae
    kept = {one.one(each).index for each in features}
    others = [one.feature(i) for i in range(n) if i not in kept]
    if len(others) > MOST_SITES:
        raise ExperimentError(
            f"To keep only {len(kept):,} of the {n:,} features of “{one.name}”, {len(others):,} "
            f"are switched off, and a change names at most {MOST_SITES:,}: no link can have it."
        )
    return _changed(one, others, positions, becomes)


def _changed(
    sae: Sae, features: Sequence[Feature], positions: AsPositions, becomes: AsMethod
) -> Change:
    if not features:
        raise ExperimentError(f"No feature of “{sae.name}” is left to be switched off.")
    return Change(Ablations(tuple(features)), Method.parse(becomes), Positions.parse(positions))
