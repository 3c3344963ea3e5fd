"""Where sparse autoencoders lie: those that ship by name, those read or trained here by digest.

What was read is kept as one file, named by the SHA-256 of its numbers and of how they are used, so
that a link that has the digest finds just these or none.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import fields
from pathlib import Path, PurePath
from typing import Any

import safetensors
import safetensors.torch
import torch

from ..errors import EngineError, ExperimentError, SiteError
from ..experiment.sae import Sae
from ..experiment.sites import MLP, resolve_sites
from ..model.model import Model
from .dictionaries import Dictionary
from .hooks import place_of
from .points import Capture
from .sae_folders import MOST_BYTES, read_folder
from .saved_vectors import write_whole

VARIABLE = "SWITCHBOARD_SAES"
"""The environment variable that names the directory of SAEs that were read or trained."""
BUNDLED = Path(__file__).resolve().parents[2] / "assets" / "saes"
_HEADER = "dictionary"


def saes_folder() -> Path:
    """Where they are kept: the directory that the environment variable SWITCHBOARD_SAES names, else
    ~/.cache/switchboard/saes; where nobody's home is known, one that cannot be written."""
    named = os.environ.get(VARIABLE)
    try:
        return Path(named) if named else Path.home() / ".cache" / "switchboard" / "saes"
    except RuntimeError:
        return Path(os.devnull)


def keep_dictionary(made: Dictionary) -> str:
    """Keep an SAE where links find it. Returns: its digest. Raises: EngineError in words."""
    told, tensors = _told(made), {name: one.cpu() for name, one in made.tensors.items()}
    digest = _digest(told, tensors)
    path = saes_folder() / f"{digest}.safetensors"
    if not path.is_file():
        write_whole(path, safetensors.torch.save(tensors, {_HEADER: told}), "SAEs", VARIABLE)
    return digest


def kept_dictionary(sae: Sae) -> Dictionary:
    """The numbers of an SAE, on the CPU.

    Raises: ExperimentError where they are not here, or are not what they were.
    """
    if not sae.digest:
        path = BUNDLED / sae.name
        if not path.is_dir():
            ships = ", ".join(bundled_saes()) or "none"
            raise ExperimentError(f"No SAE “{sae.name}” ships; {ships} does. Others have a digest.")
        return read_folder(path, str(sae.site))
    path = saes_folder() / f"{sae.digest}.safetensors"
    named = f"The SAE “{sae.name}” (SHA-256 {sae.digest[:12]}…)"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError
        with safetensors.safe_open(path, "pt") as file:
            told = (file.metadata() or {})[_HEADER]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if _digest(told, tensors) != sae.digest:
            raise ValueError
        return Dictionary(**tensors, **{**json.loads(told), "site": str(sae.site)})
    except OSError as wrong:
        raise ExperimentError(
            f"{named} was not read on this machine: read its folder here too, as in "
            "engine.read_sae(path), and the link finds it."
        ) from wrong
    except Exception as wrong:
        raise ExperimentError(f"{named}, as kept here, is damaged: read it again.") from wrong


def bundled_saes() -> tuple[str, ...]:
    """The names of those that ship."""
    if not BUNDLED.is_dir():
        return ()
    return tuple(sorted(d.name for d in BUNDLED.iterdir() if (d / "cfg.json").is_file()))


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


def _told(made: Dictionary) -> str:
    """How the numbers are used, as JSON; the site is said by whoever names it."""
    tensors = made.tensors
    plain: dict[str, Any] = {
        f.name: getattr(made, f.name)
        for f in fields(made)
        if f.name not in tensors and f.name != "site" and getattr(made, f.name) != f.default
    }
    return json.dumps(plain, sort_keys=True)


def _digest(told: str, tensors: dict[str, torch.Tensor]) -> str:
    content = hashlib.sha256(told.encode())
    for name, one in sorted(tensors.items()):
        content.update(f"{name}{tuple(one.shape)}".encode())
        content.update(one.contiguous().numpy().astype("<f4").tobytes())
    return content.hexdigest()
