"""Folders of sparse autoencoders, as SAELens and sparsify write them: a config and safetensors.

| | config | weights |
|---|---|---|
| SAELens | `cfg.json`: architecture, d_in, d_sae, hook_name … | `sae_weights.safetensors` |
| sparsify | `cfg.json`: d_in, k, transcode …; the folder's name is the place | `sae.safetensors` |

Numbers alone are read, never a pickle. What a config says that would change a number and is not
known here is refused, not passed over.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from ..errors import EngineError
from .dictionary import Dictionary
from .folder_parts import CONFIG, SAELENS, SPARSIFY, NotReadError, put_together, whole_k
from .saelens import from_saelens

MOST_BYTES = 4 * 2**30
MOST_CONFIG = 2**20


def read_folder(path: Path, site: str = "") -> Dictionary:
    """The SAE or transcoder in a folder.

    `site`: what it writes, where the folder does not say, or says it of another form of the model.
    Raises: EngineError in words for a folder that is none, is damaged, or asks for what is not
    known here.
    """
    try:
        if not path.is_dir():
            raise NotReadError("it is no folder")
        config = _config(path / CONFIG)
        names = [name for name in (SAELENS, SPARSIFY) if (path / name).is_file()]
        if not names:
            raise NotReadError(f"it has neither {SAELENS} nor {SPARSIFY}")
        tensors = _tensors(path / names[0])
        if names[0] == SAELENS:
            return from_saelens(config, tensors, site)
        return _from_sparsify(config, tensors, path.resolve().name, site)
    except (NotReadError, OSError) as wrong:
        shown = str(path).encode("utf-8", "replace").decode()[:200]
        raise EngineError(f"{shown} is not read as an SAE: {wrong}.") from wrong


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise NotReadError(f"it has no {CONFIG}")
    if path.stat().st_size > MOST_CONFIG:
        raise NotReadError(f"its {CONFIG} is larger than any")
    try:
        config = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as wrong:
        raise NotReadError(f"its {CONFIG} is no JSON ({str(wrong)[:80]})") from wrong
    if not isinstance(config, dict):
        raise NotReadError(f"its {CONFIG} is no object with its fields")
    return config


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.stat().st_size > MOST_BYTES:
        raise NotReadError(f"{path.name} has more than {MOST_BYTES / 2**30:.0f} GiB")
    try:
        tensors = safetensors.torch.load_file(path)
    except Exception as wrong:  # whatever its reader makes of damage
        raise NotReadError(f"{path.name} is damaged ({str(wrong)[:80]})") from wrong
    for name, one in tensors.items():
        if not one.is_floating_point():
            raise NotReadError(f"{name} is of {str(one.dtype)[6:]}, not of real numbers")
        if not one.isfinite().all():
            raise NotReadError(f"{name} holds infinity or NaN")
    return {name: one.float().contiguous() for name, one in tensors.items()}


def _from_sparsify(
    config: dict[str, Any], t: dict[str, Tensor], name: str, site: str
) -> Dictionary:
    if config.get("activation", "topk") != "topk":
        raise NotReadError(f"its features are chosen by {config['activation']!r:.40}, not by topk")
    renamed = {"encoder.weight": "W_enc", "encoder.bias": "b_enc"}
    tensors = {renamed.get(key, key): one for key, one in t.items()}
    if "W_enc" in tensors:
        tensors["W_enc"] = tensors["W_enc"].T.contiguous()
    transcodes = bool(config.get("transcode", False))
    match = re.search(r"(?:^|\.)(\d{1,5})(\.mlp)?$", name)
    found = "" if match is None else f"m{match[1]}" if match[2] else f"r{int(match[1]) + 1}"
    if name.endswith("embed_tokens"):
        found = "r0"
    return put_together(
        config, tensors, "W_skip" in tensors, kind="topk", k=whole_k(config.get("k")),
        centres=not transcodes, transcodes=transcodes, before_norm=True, site=site or found,
    )  # fmt: skip
