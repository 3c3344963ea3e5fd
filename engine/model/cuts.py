"""Where queries, keys and values, or gate and input, come out of one projection: which of its
outputs are which, by the adapter's own cut of its weight."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .place import Place, inputs_of, outputs_of, submodule


class Cuts:
    """Which outputs of a joint projection are queries, keys and values."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        self._known: dict[tuple[int, ...], dict[str, Tensor]] = {}

    def joint(
        self, attention: nn.Module, names: Any, n_heads: int, groups: int
    ) -> dict[str, Place]:
        """Places of q, k and v in a projection of all three; none where each has its own."""
        joint = None if names is None else (names.submodules or {}).get("qkv")
        projection = None if joint is None else submodule(attention, joint.name)
        if joint is None or projection is None:
            return {}
        weight = projection.weight
        assert isinstance(weight, Tensor)
        shape = tuple(weight.shape)
        if shape not in self._known:
            self._known[shape] = self._columns(attention, joint.name, projection, names)
        return {
            part: Place(projection, False, n_heads if part == "q" else groups, columns)
            for part, columns in self._known[shape].items()
        }

    def without_gates(self, places: dict[str, Place]) -> dict[str, Place]:
        """The place of q in a projection that also gives, behind each head's query, its gate
        (Qwen3-Next); none for all others."""
        q, width = places.get("q"), inputs_of(places["z"].module)
        if q is None or width is None or not getattr(self._adapter.cfg, "gated_q_proj", False):
            return {}
        if outputs_of(q.module) != 2 * width:
            return {}
        each = torch.arange(2 * width).view(q.heads or 1, 2, -1)
        return {"q": replace(q, columns=each[:, 0].flatten())}

    def gated(self, mlp: nn.Module, names: Any) -> dict[str, Place]:
        """Gate and input of an MLP that has them in one projection; none where each is its own."""
        cut, name = getattr(names, "split_gate_up_matrix", None), getattr(names, "fused_attr", "")
        projection = submodule(mlp, name) if name else None
        if cut is None or projection is None or inputs_of(projection) is None:
            return {}
        try:
            gate, up = cut(_numbered(mlp, name, projection, narrow=True))
        except Exception:  # an adapter that cannot cut it: they are not offered
            return {}
        columns = {"mlp.gate": _numbers(gate), "mlp.in": _numbers(up)}
        return {part: Place(projection, False, columns=some) for part, some in columns.items()}

    def _columns(
        self, attention: nn.Module, name: str, projection: nn.Module, names: Any
    ) -> dict[str, Tensor]:
        layout = interleaved_groups(attention)
        if layout is not None:
            return layout
        cut = getattr(names, "split_qkv_matrix", None) or getattr(
            self._adapter, "split_qkv_matrix", None
        )
        if cut is None:
            return {}
        try:
            parts = cut(_numbered(attention, name, projection))
        except Exception:  # an adapter that cannot cut it: its q, k and v are not offered
            return {}
        return {part: _numbers(one) for part, one in zip("qkv", parts, strict=True)}


def _numbered(
    holder: nn.Module, name: str, projection: nn.Module, narrow: bool = False
) -> nn.Module:
    """A module with a projection in it whose weight says, for each output, its number. `narrow`:
    to one input, where the cut does not ask how many there are."""
    weight = projection.weight
    assert isinstance(weight, Tensor)
    transposed = hasattr(projection, "nf")  # Conv1D: [d_in d_out]
    n = weight.shape[1 if transposed else 0]
    each = torch.arange(n, dtype=torch.float64)
    rows = each[None] if transposed else each[:, None]
    numbered = copy.copy(projection)
    numbered._parameters = {
        "weight": nn.Parameter(
            rows.clone() if narrow else rows.expand(tuple(weight.shape)).clone(),
            requires_grad=False,
        ),
        "bias": nn.Parameter(each, requires_grad=False),  # some cuts fail without, as GPT-NeoX's
    }
    stand_in = copy.copy(holder)
    stand_in._modules = {**holder._modules, name: numbered}
    return stand_in


def _numbers(part: Any) -> Tensor:
    weight = part.weight.detach().double()
    rows = weight[:, 0] if not hasattr(part, "nf") else weight[0]
    if (weight.diff(dim=0 if hasattr(part, "nf") else 1) != 0).any():
        rows = weight[0]
    return rows.round().long()


def interleaved_groups(attention: nn.Module) -> dict[str, Tensor] | None:
    """The outputs of a projection that adapters cannot cut: for each key-value head its queries,
    then its key, then its value (Falcon's newer one, transformers' `FalconAttention._split_heads`,
    and GPTBigCode's where keys are not shared). None for all others."""
    if getattr(attention, "new_decoder_architecture", False):
        groups = int(attention.num_kv_heads)  # type: ignore[arg-type]
    elif hasattr(attention, "c_attn") and getattr(attention, "multi_query", True) is False:
        groups = int(attention.num_heads)  # type: ignore[arg-type]
    else:
        return None
    each = int(attention.num_heads) // groups  # type: ignore[arg-type]
    width = int(attention.head_dim)  # type: ignore[arg-type]
    numbers = torch.arange(groups * (each + 2) * width).view(groups, each + 2, width)
    return {
        "q": numbers[:, :each].flatten(),
        "k": numbers[:, each].flatten(),
        "v": numbers[:, each + 1].flatten(),
    }
