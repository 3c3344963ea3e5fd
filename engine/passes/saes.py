"""Sparse autoencoders in a model: their numbers on its device, their place, whether they fit."""

from __future__ import annotations

import re
from pathlib import PurePath

from torch import nn

from ..errors import EngineError, ExperimentError, SiteError
from ..experiment.sae import Sae
from ..experiment.sites import MLP, resolve_sites
from ..model.model import Model
from ..saved.dictionary import Dictionary
from ..saved.saes import kept_dictionary
from .hooks import place_of
from .points import Capture


def dictionary_of(model: Model, sae: Sae) -> Dictionary:
    """An SAE's numbers on a model's device, from its store, else from where they are kept; on the
    worker's thread.

    Raises: EngineError in words for one that is not here, or is not of this model.
    """
    key = ("sae", sae)
    known: Dictionary | None = model.means.get(key)
    if known is None:
        known = read_dictionary(model, sae).to(model.device)
        model.means.keep(key, known)
    return known


def read_dictionary(model: Model, sae: Sae) -> Dictionary:
    """An SAE's numbers from where they are kept, on the CPU. Raises: as `dictionary_of` does."""
    made = kept_dictionary(sae)
    check_dictionary(model, sae, made)
    return made


def check_dictionary(model: Model, sae: Sae, made: Dictionary) -> None:
    """Refuse an SAE that is not of a model. Raises: EngineError in words."""
    at = place_of_sae(model, sae)
    if made.model and _plain(made.model) != _plain(model.name):
        raise ExperimentError(
            f"The SAE “{sae.name}” was made on “{made.model}”, and this is “{model.name}”, where "
            "its features mean nothing. If it is the same model by another name, read it with "
            "engine.read_sae(path, model='')."
        )
    width = model.shape.d_model
    for does, n in (("reads", made.d_in), ("writes", made.W_dec.shape[1])):
        if n != width:
            raise ExperimentError(
                f"The SAE “{sae.name}” {does} {n:,} numbers, and this model's stream has "
                f"{width:,}: it belongs to another model."
            )
    if made.centred and not isinstance(model.structure.ln_final, nn.LayerNorm):
        raise ExperimentError(
            f"The SAE “{sae.name}” was made of a stream whose mean is taken off, which changes "
            "nothing where norms do so themselves. In this family they do not, so it is not read "
            "here."
        )
    if made.transcodes and not model.reaches(*place_read(sae, made, at)):
        raise EngineError(
            f"{model.why_not(*place_read(sae, made, at))} So the transcoder “{sae.name}”, which "
            "reads what the MLP is given, is not read here."
        )
    if made.before_norm and isinstance(sae.site, MLP):
        place, out = model.place(*at), model.layer(sae.layer).parts.get("mlp.out")
        if out is not None and all(one is not out.module for one in place.module.modules()):
            raise ExperimentError(
                f"The SAE “{sae.name}” is of what the MLP itself gives, and in this family a norm "
                "stands behind it before the stream: it is not read here."
            )


def check_feature(sae: Sae, made: Dictionary, index: int) -> None:
    """Refuse a feature there is not. Raises: SiteError in words."""
    if index >= made.d_sae:
        raise SiteError(
            f"There is no feature {sae.feature(index)}; “{sae.name}” has features 0 to "
            f"{made.d_sae - 1:,}."
        )


def place_of_sae(model: Model, sae: Sae) -> Capture:
    """Where an SAE's site is in a model. Raises: EngineError for one that is not there."""
    (site,) = resolve_sites((sae.site,), model.shape)
    at, _ = place_of(site, model.shape)
    if not model.reaches(*at):
        raise EngineError(model.why_not(*at))
    return at


def place_read(sae: Sae, made: Dictionary, at: Capture) -> Capture:
    """Where what an SAE of place `at` reads passes: there, or, of a transcoder, where its MLP's
    first layer is given it, behind whatever norm the family has before it."""
    return ("mlp_in", sae.layer) if made.transcodes else at


def _plain(name: str) -> str:
    """A model's name without whose it is, alike for the names that programs have for one."""
    plain = re.sub(r"[^a-z0-9]", "", PurePath(name).name.lower())
    return {"gpt2small": "gpt2"}.get(plain, plain)
