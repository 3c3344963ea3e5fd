"""What can be picked by name, and what it was seen to do when it was loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .experiment.results import ModelInfo
from .model import catalogue
from .model.budget import device_of, dtype_of
from .model.checkpoints import BUNDLED, bundled_names, find_checkpoint
from .model.model import Model
from .registry import load, loaded_models
from .trials.results import Certificate


def models() -> tuple[ModelInfo, ...]:
    """What can be picked by name: the bundled models, the catalogue's, and those loaded now.

    Nothing is fetched or loaded for it; `here` says what needs no network.
    """
    held = loaded_models()
    infos = [_bundled(name, held) for name in bundled_names()]
    infos += [_listed(e, held) for e in catalogue.CATALOGUE]
    shown = {info.name for info in infos}
    return (*infos, *(m.info for m in held.values() if m.name not in shown))


def certificate(name: str) -> Certificate:
    """What a model was seen to do when it was loaded: every kind of place changed and compared
    with a plain hook, with the figures, and what is refused in it. It is loaded if it is not yet.

    Raises: ModelError in words, as `load` does.
    """
    result: Certificate = load(name).certificate
    return result


def _bundled(name: str, held: dict[Path, Model]) -> ModelInfo:
    """What a picker shows of a bundled model, loaded or not."""
    model = held.get((BUNDLED / name).resolve())
    if model is not None:
        return replace(model.info, name=name)
    checkpoint = find_checkpoint(name)
    dtype = dtype_of(None, checkpoint, device_of(None))
    return ModelInfo(
        name=name,
        about=checkpoint.about,
        architecture=checkpoint.architecture,
        bytes_needed=checkpoint.bytes_in(dtype.itemsize),
        shape=None,
        loaded=False,
    )


def _listed(e: catalogue.Entry, held: dict[Path, Model]) -> ModelInfo:
    """What a picker shows of a model of the catalogue, loaded or not, on this machine or not."""
    place = catalogue.fetched(e)
    model = held.get(place.resolve()) if place is not None else None
    model = model or next((m for m in held.values() if m.name == e.name), None)
    if model is not None:
        return replace(model.info, name=e.name, about=e.about)
    width = 4 if device_of(None).type == "cpu" else 2
    return ModelInfo(
        name=e.name,
        about=e.about,
        architecture=e.architecture,
        bytes_needed=e.n_parameters * width,
        shape=None,
        loaded=False,
        here=place is not None or catalogue.on_this_machine(e),
    )
