"""SAELens' form of an SAE's folder, of any of its versions: what it says, and what it means by it.

The formulae are those of its classes for use. A config from before version 6 has its fields side by
side, a later one what it says of the model under `metadata`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .dictionary import NORMS, Dictionary
from .folder_parts import NotReadError, put_together, whole_k

_KINDS = {
    "standard": "relu", "jumprelu": "jumprelu", "topk": "topk", "batchtopk": "jumprelu",
    "matryoshka_batchtopk": "jumprelu", "gated": "gated", "transcoder": "relu",
    "skip_transcoder": "relu", "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}  # fmt: skip
_BATCHED = ("batchtopk", "matryoshka_batchtopk")
_FOLDS = {
    "expected_average_only_in": (
        "by a number that is not among its weights; SAELens' fold_activation_norm_scaling_factor "
        "folds it into them, which is done at the end of training"
    ),
    "covariance_whitening": (
        "by a mean and a matrix that are not among its weights; SAELens' fold_activation_whitening "
        "folds them in, which is done at the end of training"
    ),
}
_HOOK = re.compile(r"blocks\.(\d{1,5})\.(.+)")
Config = Mapping[str, Any]


def from_saelens(config: Config, t: dict[str, Tensor], site: str) -> Dictionary:
    """The SAE or transcoder of a config and its weights, at a site, by itself where it says.

    Raises: NotReadError for what is damaged or not known here.
    """
    meta = config.get("metadata", config.get("meta"))
    own = meta if isinstance(meta, dict) else {}
    told = {**config, **{name: value for name, value in own.items() if value is not None}}
    architecture = _architecture(config)
    kind, transcodes = _KINDS[architecture], "transcoder" in architecture
    _take_threshold(architecture, t)
    _drop_scale(config, t)
    hook = str(told.get("hook_name") or told.get("hook_point") or "")
    _check_heads(told, hook)
    centres = config.get("apply_b_dec_to_input", not transcodes)
    if transcodes and centres:
        raise NotReadError(
            "it is a transcoder and takes b_dec, which is of what it writes, off what it reads "
            "(apply_b_dec_to_input), which is not known here or to SAELens"
        )
    extra = config.get("activation_fn_kwargs")
    k = config.get("k", extra.get("k") if isinstance(extra, dict) else None)
    if not site:
        site = _site_of_transcoder(told) if transcodes else _site_of_hook(hook)
    made = put_together(
        config, t, "skip" in architecture, kind=kind, k=whole_k(k) if kind == "topk" else 0,
        norm=_norm(config), centres=bool(centres), transcodes=transcodes, site=site,
        centred=_centred(told, transcodes),
        model=str(told.get("model_name") or ""),
    )  # fmt: skip
    if config.get("rescale_acts_by_decoder_norm") and "topk" in architecture:
        return _unit_decoder(made)
    return made


def _architecture(config: Config) -> str:
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
            f"its architecture is “{architecture[:40]}”, whose features come about in a way that "
            f"is not known here; read are {', '.join(_KINDS)}"
        )
    return architecture


def _take_threshold(architecture: str, t: dict[str, Tensor]) -> None:
    """Name the threshold as it is used: that of a batch-top-k SAE is one number for all features,
    and older ones in training have its logarithm."""
    if architecture == "jumprelu" and "log_threshold" in t:
        t["threshold"] = t.pop("log_threshold").exp()
    if architecture not in _BATCHED:
        return
    if "topk_threshold" in t and "b_enc" in t:
        t["threshold"] = t.pop("topk_threshold").expand(t["b_enc"].shape).contiguous()
    if "threshold" not in t:
        raise NotReadError(
            "it is a batch-top-k SAE in training, whose features depend on what else is read; "
            "SAELens saves it for use with a threshold"
        )


def _drop_scale(config: Config, t: dict[str, Tensor]) -> None:
    """Drop the finetuned scale of features where it is 1."""
    scales = [t.pop(name) for name in ("scaling_factor", "finetuning_scaling_factor") if name in t]
    if any(not torch.allclose(one, torch.ones_like(one)) for one in scales):
        raise NotReadError("its features have a finetuned scale, which is not known here")
    if config.get("finetuning_scaling_factor") and not scales:
        raise NotReadError("its features have a finetuned scale, which is not among its weights")


def _check_heads(told: Config, hook: str) -> None:
    """Refuse an SAE of what heads give, whichever site is asked for."""
    if hook.endswith("hook_z") or told.get("reshape_activations") not in ("none", None):
        raise NotReadError(
            "it reads the heads' outputs side by side (hook_z), which are no one site here"
        )
    for name in ("hook_head_index", "hook_point_head_index", "hook_head_index_out"):
        if told.get(name) is not None:
            raise NotReadError(
                f"it is of one head, {told[name]!r:.20}, of “{hook[:40]}”; read are those of whole "
                "vectors"
            )


def _centred(told: Config, transcodes: bool) -> bool:
    """Whether it was made of a stream whose mean is taken off, as TransformerLens can load a model.
    To what an MLP is given that is all one."""
    form = told.get("model_from_pretrained_kwargs")
    form = form if isinstance(form, dict) else {}
    if transcodes and form.get("fold_ln"):
        raise NotReadError(
            "it reads what an MLP is given in a form of the model whose norms are folded into what "
            "is behind them (fold_ln), which is something else here"
        )
    return bool(form.get("center_writing_weights")) and not transcodes


def _norm(config: Config) -> str:
    norm = config.get("normalize_activations", "none")
    if isinstance(norm, bool) or norm is None:
        norm = "expected_average_only_in" if norm else "none"
    if norm not in NORMS:
        how = _FOLDS.get(str(norm), f"which is not known here; known are {', '.join(NORMS)}")
        raise NotReadError(f"it asks for activations normalized as {norm!r:.60}, {how}")
    return str(norm)


def _unit_decoder(made: Dictionary) -> Dictionary:
    """The same with directions of length 1: the k greatest are chosen by what they write."""
    assert made.b_enc is not None
    long = made.W_dec.norm(dim=-1).clamp_min(1e-30)
    fields = {"W_enc": made.W_enc * long, "b_enc": made.b_enc * long}
    return Dictionary(**{**vars(made), **fields, "W_dec": made.W_dec / long[:, None]})


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


def _site_of_transcoder(told: Config) -> str:
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
