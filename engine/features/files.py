"""Folders of sparse autoencoders, in and out: read for good, and written in SAELens' form."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch
import torch

from ..errors import EngineError
from ..experiment.sae import Sae
from ..experiment.sites import MLP, AsSites, Stream
from ..saved.dictionary import Dictionary
from ..saved.files import keep_file
from ..saved.folder_parts import CONFIG, SAELENS
from ..saved.sae_folders import read_folder
from ..saved.saes import BUNDLED, VARIABLE, bundled_saes, keep_dictionary, kept_dictionary
from .names import neuronpedia_name

_ARCHITECTURES = {"relu": "standard", "jumprelu": "jumprelu", "topk": "topk", "gated": "gated"}
_TRANSCODERS = {"relu": "", "jumprelu": "jumprelu_"}
_CENTRED = {"center_writing_weights": True}
_FORM = "6.0.0"
"""The version of SAELens from which on its configs are as they are written here."""


@dataclass(frozen=True)
class SaeShape:
    """What an SAE is. `kind`: relu, jumprelu, topk or gated; `d_in` numbers read, `d_sae` features,
    at most `k` of them at once (0: no such limit); `model`: on which it was made, where known;
    `transcodes`: it goes from an MLP's input to its output."""

    kind: str
    d_in: int
    d_sae: int
    k: int
    norm: str
    model: str
    transcodes: bool


def read_sae(
    path: str | os.PathLike[str], name: str = "", site: AsSites = "", model: str | None = None
) -> Sae:
    """The SAE or transcoder in a folder of SAELens' or sparsify's, kept where links find it.

    `name`: what it is called; by itself the folder. `site`: where it is, where the folder does not
    say. `model`: on which it was made, instead of what the folder says; empty, on any.
    Raises: EngineError in words for a folder that is none, is damaged, or asks for what is not
    known here.
    """
    folder = Path(path)
    if not folder.exists() and re.fullmatch(r"[\w.-]+[/@]\d+-[\w./-]+", str(path)):
        raise EngineError(neuronpedia_name(str(path)).told)
    written = str(site) if not isinstance(site, str) else site
    made = read_folder(folder, written)
    if model is not None:
        made = replace(made, model=model)
    if not made.site:
        raise EngineError(
            f"{folder.name[:60]} does not say where in the model its SAE is: give `site`, as in "
            "“r5” for what enters layer 5 or “m5” for what its MLP writes."
        )
    called = name or re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-")[:40]
    return Sae(called or "sae", made.site, keep_dictionary(made))


def bundled_sae(name: str) -> Sae:
    """One that ships. Raises: EngineError naming those there are."""
    if name not in bundled_saes():
        raise EngineError(f"No SAE “{name!s:.40}” ships; there is {', '.join(bundled_saes())}.")
    return Sae(name, read_folder(BUNDLED / name).site)


def sae_shape(sae: Sae | str) -> SaeShape:
    """How large an SAE is, and of which kind. Raises: EngineError where it is not here."""
    made = kept_dictionary(Sae.parse(sae))
    return SaeShape(
        made.kind, made.d_in, made.d_sae, made.k, made.norm, made.model, made.transcodes
    )


def save_sae(sae: Sae | str, path: str | os.PathLike[str], dtype: str = "float32") -> None:
    """Write an SAE as a folder in SAELens' form, `dtype` float32 or float16.

    Raises: EngineError for one that has no such form, and where it cannot be written.
    """
    one = Sae.parse(sae)
    write_folder(kept_dictionary(one), one, Path(path), dtype)


def write_folder(made: Dictionary, sae: Sae, folder: Path, dtype: str = "float32") -> None:
    """Write numbers as `save_sae` does. Raises: as that does."""
    if dtype not in ("float32", "float16"):
        raise EngineError(f"An SAE is written in float32 or float16, not in “{dtype!s:.20}”.")
    config = {
        "architecture": _architecture(made), "d_in": made.d_in, "d_sae": made.d_sae,
        "dtype": dtype, "device": "cpu", "apply_b_dec_to_input": made.centres,
        "normalize_activations": made.norm, "reshape_activations": "none",
        **({"k": made.k} if made.kind == "topk" else {}),
        **({"d_out": made.W_dec.shape[1]} if made.transcodes else {}),
        "metadata": {
            "sae_lens_version": _FORM, "model_name": made.model, **_hooks(made, sae),
            **({"model_from_pretrained_kwargs": _CENTRED} if made.centred else {}),
        },
    }  # fmt: skip
    kind = torch.float16 if dtype == "float16" else torch.float32
    tensors = {name: one.cpu().to(kind).contiguous() for name, one in made.tensors.items()}
    keep_file(folder / SAELENS, safetensors.torch.save(tensors), "SAEs", VARIABLE)
    keep_file(folder / CONFIG, (json.dumps(config, indent=1) + "\n").encode(), "SAEs", VARIABLE)


def _architecture(made: Dictionary) -> str:
    """Which of SAELens' it is. Raises: EngineError where it has none for it."""
    skips = "skip_" if made.W_skip is not None else ""
    if made.transcodes and made.kind in _TRANSCODERS:
        return f"{_TRANSCODERS[made.kind]}{skips}transcoder"
    if made.transcodes or skips:
        raise EngineError(
            f"SAELens' form has no {made.kind} {'transcoder' if made.transcodes else 'SAE'}"
            f"{' with a skip connection' if skips else ''}, so it is not written."
        )
    return _ARCHITECTURES[made.kind]


def _hooks(made: Dictionary, sae: Sae) -> dict[str, str]:
    site = sae.site
    if isinstance(site, MLP):
        out = f"blocks.{site.layer}.hook_mlp_out"
        if made.transcodes:
            return {"hook_name": f"blocks.{site.layer}.mlp.hook_in", "hook_name_out": out}
        return {"hook_name": out}
    assert isinstance(site, Stream)
    if site.mid or not site.layer:
        return {"hook_name": f"blocks.{site.layer}.hook_resid_{'mid' if site.mid else 'pre'}"}
    return {"hook_name": f"blocks.{site.layer - 1}.hook_resid_post"}
