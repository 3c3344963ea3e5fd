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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from ..errors import EngineError
from .dictionary import NORMS, Dictionary

CONFIG, SAELENS, SPARSIFY = "cfg.json", "sae_weights.safetensors", "sae.safetensors"
MOST_BYTES = 4 * 2**30
MOST_CONFIG = 2**20
_SHAPES = {
    "W_enc": ("d_in", "d_sae"), "W_dec": ("d_sae", "d_out"), "b_dec": ("d_out",),
    "b_enc": ("d_sae",), "threshold": ("d_sae",), "b_gate": ("d_sae",), "b_mag": ("d_sae",),
    "r_mag": ("d_sae",), "W_skip": ("d_out", "d_in"),
}  # fmt: skip
_KINDS = {
    "standard": "relu", "jumprelu": "jumprelu", "topk": "topk", "batchtopk": "jumprelu",
    "gated": "gated", "transcoder": "relu", "skip_transcoder": "relu",
    "jumprelu_transcoder": "jumprelu", "jumprelu_skip_transcoder": "jumprelu",
}  # fmt: skip
_NEEDS = {
    "relu": ("b_enc",), "jumprelu": ("b_enc", "threshold"), "topk": ("b_enc",),
    "gated": ("b_gate", "b_mag", "r_mag"),
}  # fmt: skip
_HOOK = re.compile(r"blocks\.(\d{1,5})\.(.+)")


class NotReadError(ValueError):
    """Why a folder is not read: the rest of a sentence."""


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
        reads = _from_saelens if names[0] == SAELENS else _from_sparsify
        return reads(config, tensors, path.resolve().name, site)
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


def _from_saelens(config: dict[str, Any], t: dict[str, Tensor], _: str, site: str) -> Dictionary:
    meta = config.get("metadata", config.get("meta"))
    told = {**config, **(meta if isinstance(meta, dict) else {})}
    architecture = str(config.get("architecture", "standard"))
    function = str(config.get("activation_fn_str", config.get("activation_fn", "relu")))
    if architecture == "standard" and function == "topk":
        architecture = "topk"
    elif function not in ("relu", "topk"):
        raise NotReadError(f"its activation function is “{function[:40]}”; relu and topk are known")
    elif function == "topk" and architecture in _KINDS and "topk" not in architecture:
        raise NotReadError(f"it is {architecture} and chooses by topk at once, not known here")
    if architecture not in _KINDS:
        raise NotReadError(
            f"its architecture is “{architecture[:40]}”; known are {', '.join(_KINDS)}"
        )
    kind, transcodes = _KINDS[architecture], "transcoder" in architecture
    if architecture == "batchtopk":
        if "topk_threshold" in t and "b_enc" in t:
            t["threshold"] = t.pop("topk_threshold").expand(t["b_enc"].shape).contiguous()
        if "threshold" not in t:
            raise NotReadError(
                "it is a batch-top-k SAE in training, whose features depend on what else is read; "
                "SAELens saves it for use with a threshold"
            )
    scale = t.pop("scaling_factor", None)
    if config.get("finetuning_scaling_factor") or (scale is not None and (scale != 1).any()):
        raise NotReadError("its features have a finetuned scale, which is not known here")
    norm = config.get("normalize_activations", "none")
    norm = "none" if norm in (False, None) else norm
    if norm not in NORMS:
        raise NotReadError(
            f"it asks for activations normalized as {norm!r:.60}, by a number that its folder does "
            "not have; SAELens' fold_activation_norm_scaling_factor folds it into the weights"
        )
    if transcodes and norm != "none":
        raise NotReadError("it is a transcoder of normalized activations, which is not known here")
    if config.get("reshape_activations", "none") not in ("none", None):
        raise NotReadError("it reads the heads' outputs side by side, which are no one site here")
    extra = config.get("activation_fn_kwargs")
    k = config.get("k", extra.get("k") if isinstance(extra, dict) else None)
    if not site:
        hook = str(told.get("hook_name") or told.get("hook_point") or "")
        site = _site_of_transcoder(told) if transcodes else _site_of_hook(hook)
    made = _made(
        config, t, kind=kind, k=_whole(k) if kind == "topk" else 0, norm=norm,
        centres=bool(config.get("apply_b_dec_to_input", True)) and not transcodes,
        transcodes=transcodes, site=site, model=str(told.get("model_name") or ""),
    )  # fmt: skip
    if config.get("rescale_acts_by_decoder_norm"):
        return _unit_decoder(made)
    return made


def _unit_decoder(made: Dictionary) -> Dictionary:
    """The same with directions of length 1: the k greatest are chosen by what they write."""
    assert made.b_enc is not None
    long = made.W_dec.norm(dim=-1).clamp_min(1e-30)
    fields = {"W_enc": made.W_enc * long, "b_enc": made.b_enc * long}
    return Dictionary(**{**vars(made), **fields, "W_dec": made.W_dec / long[:, None]})


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
    return _made(
        config, tensors, kind="topk", k=_whole(config.get("k")), centres=not transcodes,
        transcodes=transcodes, before_norm=True, site=site or found,
    )  # fmt: skip


def _made(config: Mapping[str, Any], t: Mapping[str, Tensor], **fields: Any) -> Dictionary:
    """Raises: NotReadError for a tensor that is missing, or is of another shape than it must be."""
    kind = fields["kind"]
    needed = ("W_enc", "W_dec", "b_dec", *_NEEDS[kind])
    missing = [name for name in needed if name not in t]
    if missing:
        raise NotReadError(f"{', '.join(missing)} are missing from its weights")
    unknown = sorted(set(t) - set(_SHAPES))
    if unknown:
        raise NotReadError(f"its weights have “{unknown[0][:40]}”, which is not known here")
    if t["W_enc"].ndim != 2 or t["W_dec"].ndim != 2:
        raise NotReadError("its encoder and decoder are no matrices")
    sizes = dict(zip(("d_in", "d_sae"), t["W_enc"].shape, strict=True))
    sizes["d_out"] = t["W_dec"].shape[1] if fields["transcodes"] else sizes["d_in"]
    for name in ("d_in", "d_sae"):
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
    used: dict[str, Any] = {name: t[name] for name in t if name in _USED[kind]}
    return Dictionary(**used, **fields)


_ALWAYS = ("W_enc", "W_dec", "b_dec", "W_skip")
_USED = {kind: (*_ALWAYS, *names) for kind, names in _NEEDS.items()}


def _site_of_hook(hook: str) -> str:
    match = _HOOK.fullmatch(hook)
    if match is None:
        if hook:
            raise NotReadError(f"its place is “{hook[:60]}”, which is no site here: give `site`")
        return ""
    layer, name = int(match[1]), match[2]
    sites = {
        "hook_resid_pre": f"r{layer}", "hook_resid_mid": f"r{layer}.mid",
        "hook_resid_post": f"r{layer + 1}", "hook_mlp_out": f"m{layer}",
    }  # fmt: skip
    if name not in sites:
        raise NotReadError(
            f"it is of {hook[:60]}; read are those of the residual stream and of what an MLP "
            "writes into it"
        )
    return sites[name]


def _site_of_transcoder(told: Mapping[str, Any]) -> str:
    """The MLP that a transcoder is in the place of."""
    into, out = str(told.get("hook_name") or ""), str(told.get("hook_name_out") or "")
    layer = re.match(r"blocks\.(\d{1,5})\.", into)
    if layer is None or out != f"blocks.{layer[1]}.hook_mlp_out":
        raise NotReadError(
            f"it goes from “{into[:40]}” to “{out[:40]}”; read are transcoders of one MLP, to its "
            "hook_mlp_out"
        )
    if not into.endswith(".mlp.hook_in"):
        raise NotReadError(
            f"it reads “{into[:60]}”, which is the MLP's input in some forms of a model and not in "
            f"others: if it is, give site=“m{layer[1]}”"
        )
    return f"m{layer[1]}"


def _whole(given: Any) -> int:
    if isinstance(given, bool) or not (isinstance(given, int) or _is_whole(given)):
        raise NotReadError(f"its k is {given!r:.40}, no whole number")
    return int(given)


def _is_whole(given: Any) -> bool:
    return isinstance(given, float) and given.is_integer()
