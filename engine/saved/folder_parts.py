"""What the forms of SAE folders have in common: names of files, and weights checked and put
together as a `Dictionary`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .dictionary import Dictionary

CONFIG, SAELENS, SPARSIFY = "cfg.json", "sae_weights.safetensors", "sae.safetensors"
_SHAPES = {
    "W_enc": ("d_in", "d_sae"), "W_dec": ("d_sae", "d_out"), "b_dec": ("d_out",),
    "b_enc": ("d_sae",), "threshold": ("d_sae",), "b_gate": ("d_sae",), "b_mag": ("d_sae",),
    "r_mag": ("d_sae",), "W_skip": ("d_out", "d_in"),
}  # fmt: skip
_NEEDS = {
    "relu": ("b_enc",), "jumprelu": ("b_enc", "threshold"), "topk": ("b_enc",),
    "gated": ("b_gate", "b_mag", "r_mag"),
}  # fmt: skip


class NotReadError(ValueError):
    """Why a folder is not read: the rest of a sentence."""


def put_together(
    config: Mapping[str, Any], t: Mapping[str, Tensor], skips: bool, **fields: Any
) -> Dictionary:
    """A dictionary of a folder's weights, with these fields of it. `skips`: it has a W_skip.

    Raises: NotReadError for a tensor that is missing, that its kind has no use for, or that is of
    another shape than it must be.
    """
    kind = fields["kind"]
    needed = ("W_enc", "W_dec", "b_dec", *_NEEDS[kind], *(("W_skip",) if skips else ()))
    missing = [name for name in needed if name not in t]
    if missing:
        raise NotReadError(f"{', '.join(missing)} are missing from its weights")
    unknown = sorted(set(t) - set(_SHAPES))
    if unknown:
        raise NotReadError(f"its weights have “{unknown[0][:40]}”, which is not known here")
    unused = sorted(set(t) - set(needed))
    if unused:
        raise NotReadError(f"its weights have {', '.join(unused)}, which one of its kind has not")
    if t["W_enc"].ndim != 2 or t["W_dec"].ndim != 2:
        raise NotReadError("its encoder and decoder are no matrices")
    sizes = dict(zip(("d_in", "d_sae"), t["W_enc"].shape, strict=True))
    sizes["d_out"] = t["W_dec"].shape[1] if fields["transcodes"] else sizes["d_in"]
    for name in sizes if fields["transcodes"] else ("d_in", "d_sae"):
        if type(config.get(name)) is int and config[name] != sizes[name]:
            raise NotReadError(
                f"its {CONFIG} says {name} is {config[name]:,}, and it has {sizes[name]:,}"
            )
    for name, one in t.items():
        shape = tuple(sizes[axis] for axis in _SHAPES[name])
        if tuple(one.shape) != shape:
            raise NotReadError(f"{name} is {tuple(one.shape)}, where {shape} is meant")
    if not 0 <= fields.get("k", 0) <= sizes["d_sae"] or (kind == "topk" and not fields["k"]):
        raise NotReadError(f"of {sizes['d_sae']:,} features it keeps {fields['k']:,}")
    if fields["transcodes"] and not fields["site"].startswith("m") and fields["site"]:
        raise NotReadError(f"a transcoder is of an MLP (m5), not of {fields['site']}")
    numbers: dict[str, Any] = dict(t)
    return Dictionary(**numbers, **fields)


def whole_k(given: Any) -> int:
    """A config's k. Raises: NotReadError for one that is no whole number."""
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    if isinstance(given, float) and given.is_integer():
        return int(given)
    raise NotReadError(f"its k is {given!r:.40}, no whole number")
