"""What an ablation is, said again without a line of the engine or of TransformerLens: plain torch
hooks on the Hugging Face model, eager attention, no cache, texts of one length at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

# model_type: (list of layers, attention's output projection, what the MLP adds, its last linear)
_PATHS = {
    "gpt2": ("transformer.h", "attn.c_proj", "mlp", "mlp.c_proj"),
    "gptj": ("transformer.h", "attn.out_proj", "mlp", "mlp.fc_out"),
    "gpt_neox": ("gpt_neox.layers", "attention.dense", "mlp", "mlp.dense_4h_to_h"),
    "opt": ("model.decoder.layers", "self_attn.out_proj", "fc2", "fc2"),
    "mixtral": ("model.layers", "self_attn.o_proj", "mlp", None),
    "phi": ("model.layers", "self_attn.dense", "mlp", "mlp.fc2"),
    "falcon": ("transformer.h", "self_attention.dense", "mlp", "mlp.dense_4h_to_h"),
}
_GATED = ("model.layers", "self_attn.o_proj", "mlp", "mlp.down_proj")
_POST_NORM = ("model.layers", "self_attn.o_proj", "post_feedforward_layernorm", "mlp.down_proj")
_PATHS |= dict.fromkeys(["llama", "mistral", "qwen2", "qwen3", "stablelm", "phi3"], _GATED)
_PATHS |= dict.fromkeys(["gemma2", "gemma3_text", "olmo2"], _POST_NORM)

_ALL = -1
"""Every head, or every neuron, of a layer."""


@dataclass(frozen=True)
class Change:
    """`kind` is head, mlp or neuron; `become(old)` maps [positions, ...] to its new value."""

    kind: str
    layer: int
    index: int
    positions: tuple[int, ...]
    become: Callable[[Tensor], Tensor]


def always(value: Tensor) -> Callable[[Tensor], Tensor]:
    """Whatever was there becomes this."""
    return lambda _: value


class Reference:
    """A Hugging Face model with hooks of its own."""

    def __init__(self, directory: Path | str, **where: str) -> None:
        self.hf = AutoModelForCausalLM.from_pretrained(
            directory, attn_implementation="eager", dtype=torch.float32, **where
        ).eval()
        layers, out, mlp, last = _PATHS[self.hf.config.model_type]
        self.layers = list(self.hf.get_submodule(layers))
        self._out, self._mlp, self._last = out, mlp, last
        self.n_layers, self.n_heads = len(self.layers), self.hf.config.num_attention_heads
        self.has_neurons = last is not None
        self._seen: dict[tuple[int, ...], dict[tuple[str, int], Tensor]] = {}
        self.d_mlp = 0
        if last is not None:
            linear = self.layers[0].get_submodule(last)
            self.d_mlp = getattr(linear, "in_features", None) or linear.weight.shape[0]

    def logits(self, ids: Iterable[int], changes: Iterable[Change] = ()) -> Tensor:
        """[pos, vocab] of one text with changes made."""
        return self.each_logits([(ids, changes)])[0]

    def each_logits(self, rows: Sequence[tuple[Iterable[int], Iterable[Change]]]) -> Tensor:
        """[rows, pos, vocab] of texts of one length, each with its own changes made."""
        return self._read(rows)

    def each_last(self, rows: Sequence[tuple[Iterable[int], Iterable[Change]]]) -> Tensor:
        """[rows, vocab] of the last positions alone: of a large vocabulary the others take long."""
        return self._read(rows, logits_to_keep=1)[:, -1]

    def _read(self, rows: Sequence[tuple[Iterable[int], Iterable[Change]]], **how: Any) -> Tensor:
        with torch.no_grad(), self.changed([changes for _, changes in rows]):
            ids = torch.tensor([list(ids) for ids, _ in rows])
            return self.hf(input_ids=ids, use_cache=False, **how).logits

    @contextmanager
    def changed(self, rows: Sequence[Iterable[Change]]) -> Iterator[None]:
        """While it lasts, make each row's changes, those of one place in the order given."""
        at: dict[tuple[str, int], list[tuple[int, Change]]] = {}
        for row, changes in enumerate(rows):
            for change in changes:
                at.setdefault((change.kind, change.layer), []).append((row, change))
        with ExitStack() as stack:
            for (kind, layer), here in at.items():
                stack.callback(self._hook(kind, layer, here, len(rows)).remove)
            yield

    def value(self, kind: str, layer: int, index: int, ids: Iterable[int]) -> Tensor:
        """[pos, ...] of one head's z, one MLP's addition, or one neuron, in a clean run."""
        whole = self._clean(tuple(ids))[kind, layer]
        return whole[:, self._columns(kind, index)(whole.shape[-1])].clone()

    def _clean(self, ids: tuple[int, ...]) -> dict[tuple[str, int], Tensor]:
        """[pos, width] of all that can be changed, in a clean run: each text is read once."""
        if ids not in self._seen:
            found: dict[tuple[str, int], Tensor] = {}
            kinds = ("head", "mlp", "neuron") if self.has_neurons else ("head", "mlp")

            def keep(kind: str, layer: int) -> Change:
                def look(old: Tensor) -> Tensor:
                    found[kind, layer] = old.clone()
                    return old

                return Change(kind, layer, _ALL, tuple(range(len(ids))), look)

            self.logits(
                ids, [keep(kind, layer) for kind in kinds for layer in range(self.n_layers)]
            )
            self._seen[ids] = found
        return self._seen[ids]

    def _hook(self, kind: str, layer: int, here: list[tuple[int, Change]], n_rows: int) -> Any:
        """Make the changes of rows to what is of one kind in one layer, in the order given."""

        def edit(tensor: Tensor) -> Tensor:
            by_row = tensor.reshape(n_rows, -1, tensor.shape[-1]).clone()  # [rows, pos, width]
            for row, change in here:
                columns = self._columns(kind, change.index)(tensor.shape[-1])
                old = by_row[row, list(change.positions), columns]
                by_row[row, list(change.positions), columns] = change.become(old)
            return by_row.reshape(tensor.shape)

        own = self.layers[layer]
        if kind != "mlp":
            module: nn.Module = own.get_submodule(self._out if kind == "head" else self._last)
            return module.register_forward_pre_hook(lambda _m, args: (edit(args[0]), *args[1:]))
        module = own.get_submodule(self._mlp)
        return module.register_forward_hook(
            lambda _m, _a, out: edit(out) if isinstance(out, Tensor) else (edit(out[0]), *out[1:])
        )

    def _columns(self, kind: str, index: int) -> Callable[[int], slice]:
        if index == _ALL or kind == "mlp":
            return lambda width: slice(width)
        return self._head(index) if kind == "head" else lambda _: slice(index, index + 1)

    def _head(self, head: int) -> Callable[[int], slice]:
        return lambda width: slice(head * width // self.n_heads, (head + 1) * width // self.n_heads)
