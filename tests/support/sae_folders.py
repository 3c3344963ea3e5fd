"""Folders of sparse autoencoders written by hand, as SAELens and sparsify write them, and what each
kind makes of an activation, said plainly from their formulae and without a line of the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

KINDS = ("standard", "jumprelu", "topk", "gated")


def weights(kind: str, d_in: int, d_sae: int, seed: int = 0) -> dict[str, Tensor]:
    """Random weights, of a size that keeps activations of one size."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    made = {
        "W_enc": draw(d_in, d_sae) / d_in**0.5,
        "W_dec": draw(d_sae, d_in) / d_in**0.5,
        "b_dec": 0.3 * draw(d_in),
    }
    if kind == "gated":
        names = ("b_gate", "b_mag", "r_mag")
        return made | {name: 0.2 * draw(d_sae) for name in names}
    if kind == "jumprelu":
        made["threshold"] = 0.5 * draw(d_sae).abs()
    return made | {"b_enc": 0.2 * draw(d_sae)}


def write(folder: Path, kind: str, tensors: dict[str, Tensor], **config: Any) -> Path:
    """A folder in SAELens' form."""
    folder.mkdir(parents=True, exist_ok=True)
    d_in, d_sae = tensors["W_enc"].shape
    told = {
        "architecture": kind, "d_in": d_in, "d_sae": d_sae, "dtype": "float32",
        "normalize_activations": "none", "apply_b_dec_to_input": "transcoder" not in kind,
        "metadata": {"hook_name": "blocks.1.hook_resid_post"},
    } | config  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(told), "utf-8")
    save_file(tensors, folder / "sae_weights.safetensors")
    return folder


def write_transcoder(
    folder: Path, kind: str, tensors: dict[str, Tensor], k: int = 0, layer: int = 1, **config: Any
) -> Path:
    """A folder of a transcoder of one MLP, with a skip connection where there is a W_skip: top-k in
    sparsify's form, the others in SAELens'."""
    if kind != "topk":
        into, out = f"blocks.{layer}.mlp.hook_in", f"blocks.{layer}.hook_mlp_out"
        skip = "skip_" if "W_skip" in tensors else ""
        kind = ("" if kind == "standard" else f"{kind}_") + skip + "transcoder"
        d_out, meta = tensors["W_dec"].shape[1], {"hook_name": into, "hook_name_out": out}
        return write(folder, kind, tensors, d_out=d_out, metadata=meta, **config)
    folder = folder / f"layers.{layer}.mlp"
    folder.mkdir(parents=True)
    stored = {"encoder.weight": tensors["W_enc"].T.contiguous(), "encoder.bias": tensors["b_enc"]}
    stored |= {name: tensors[name] for name in ("W_dec", "b_dec", "W_skip") if name in tensors}
    save_file(stored, folder / "sae.safetensors")
    told = {"d_in": tensors["W_enc"].shape[0], "k": k, "transcode": True, **config}
    (folder / "cfg.json").write_text(json.dumps(told), "utf-8")
    return folder


def features(
    kind: str, t: dict[str, Tensor], x: Tensor, k: int = 0, centres: bool = True
) -> Tensor:
    """What SAELens' `encode` gives."""
    u = x - t["b_dec"] if centres else x
    if kind == "gated":
        gate = (u @ t["W_enc"] + t["b_gate"] > 0).float()
        return gate * torch.relu(u @ (t["W_enc"] * t["r_mag"].exp()) + t["b_mag"])
    h = u @ t["W_enc"] + t["b_enc"]
    if kind == "topk":
        best = torch.topk(h, k)
        result = torch.zeros_like(h)
        for row in range(len(h)):
            for value, at in zip(best.values[row], best.indices[row], strict=True):
                result[row, at] = max(float(value), 0.0)
        return result
    return torch.relu(h) * (h > t["threshold"]) if kind == "jumprelu" else torch.relu(h)


def decoded(t: dict[str, Tensor], f: Tensor) -> Tensor:
    """What SAELens' `decode` gives."""
    return f @ t["W_dec"] + t["b_dec"]
