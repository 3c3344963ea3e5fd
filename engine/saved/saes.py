"""Where sparse autoencoders lie: those that ship by name, those read or trained here by digest.

What was read is kept as one file, named by the SHA-256 of its numbers and of how they are used, so
that a link that has the digest finds just these or none.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from ..errors import ExperimentError
from ..experiment.sae import Sae
from .dictionary import Dictionary
from .files import keep_file, kept_folder
from .sae_folders import MOST_BYTES, read_folder

VARIABLE = "SWITCHBOARD_SAES"
"""The environment variable that names the directory of SAEs that were read or trained."""
BUNDLED = Path(__file__).resolve().parents[2] / "assets" / "saes"
_HEADER = "dictionary"


def saes_folder() -> Path:
    """The directory that SWITCHBOARD_SAES names, else as `kept_folder` has it."""
    return kept_folder(VARIABLE, "saes")


def keep_dictionary(made: Dictionary) -> str:
    """Keep an SAE where links find it. Returns: its digest. Raises: EngineError in words."""
    told, tensors = _told(made), {name: one.cpu() for name, one in made.tensors.items()}
    digest = _digest(told, tensors)
    path = saes_folder() / f"{digest}.safetensors"
    if not path.is_file():
        keep_file(path, safetensors.torch.save(tensors, {_HEADER: told}), "SAEs", VARIABLE)
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
