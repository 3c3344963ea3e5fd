"""The trial of a model: every kind of place changed and compared with a plain hook, and more.

A plain hook acts in a whole pass of the model, nothing skipped, each row from the first layer on; a
few rows are also read alone. Against it stand the ways the engine runs a model: rows that join a
pass late, blocks called one at a time, and tokens read behind a cache. What fails is refused by
name; where only late joining fails, rows are read whole from then on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version

from ..errors import EngineError, ModelError
from ..model.model import Model
from .checks import Checks, reason_of
from .mlp_inputs import into_mlps
from .readings import PLACES
from .results import Certificate, PlaceCheck

_VERSIONS = ("torch", "transformers", "transformer_lens")


def certify(model: Model, going_on: Callable[[], None] = lambda: None) -> Certificate:
    """Try a model, on its worker's thread, and refuse in it what does not hold.

    Raises: ModelError where not even a plain reading of it holds.
    """
    try:
        return _certify(model, going_on)
    except EngineError:
        raise
    except Exception as wrong:
        raise ModelError(
            f"“{model.name}” ({model.checkpoint.architecture}) was read, but running it fails: "
            f"{reason_of(wrong)}"
        ) from wrong


def _certify(model: Model, going_on: Callable[[], None]) -> Certificate:
    began = time.monotonic()
    trial = Checks(model)
    checks = [trial.weights(), trial.causal(), trial.clean(), trial.alone()]
    going_on()
    places = trial.places()
    if model.late_joining and trial.worst > trial.limit:
        model.late_joining = False
        whole = trial.places()
        if [p.holds for p in whole] == [p.holds for p in places]:
            model.late_joining = True  # it is not the joining that fails
        else:
            places = whole
    checks.append(trial.shared())
    _refuse(model, places)
    going_on()
    parts = (trial.parts_of_heads(), trial.between(), trial.added())
    checks += [one for one in (*parts, trial.along(), into_mlps(trial)) if one is not None]
    going_on()
    blocks = trial.block_by_block()
    if not blocks.holds and model.by_row - model.tiled:
        model.tiled = model.by_row  # what is made row by row does not broadcast here
        blocks = trial.block_by_block()
    checks += [trial.cached(), blocks]
    model.refusals |= {c.name: c.why for c in checks if not c.holds}
    for name in ("q", "k", "v") if "parts of heads" in model.refusals else ():
        _refuse_kind(model, name, model.refusals["parts of heads"])
    if "between" in model.refusals:
        _refuse_kind(model, "resid_mid", model.refusals["between"])
    if "into MLPs" in model.refusals:
        _refuse_kind(model, "mlp_in", model.refusals["into MLPs"])
    model.store.clear()
    model.certificate = Certificate(
        model=model.name,
        architecture=model.checkpoint.architecture,
        dtype=str(model.dtype).removeprefix("torch."),
        kernel=model.kernel,
        places=places,
        checks=tuple(checks),
        absent=tuple(n for n in PLACES if not any(p.name == n for p in places)),
        versions=tuple((name, version(name)) for name in _VERSIONS),
        seconds=time.monotonic() - began,
    )
    result: Certificate = model.certificate
    return result


def _refuse(model: Model, places: tuple[PlaceCheck, ...]) -> None:
    for place in places:
        if not place.holds:
            _refuse_kind(model, place.name, place.why)


def _refuse_kind(model: Model, name: str, why: str) -> None:
    model.refused |= {(name, layer): why for layer in range(model.shape.n_layers)}
