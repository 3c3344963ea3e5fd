"""Path patching said again, without a line of the engine: plain torch hooks on the Hugging Face
model that hold every other component at its clean value."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from tests.support.reference import Reference

_QKV = {
    "gpt2": "attn.c_attn",
    "gpt_neox": "attention.query_key_value",
    "gptj": "attn.{}_proj",
    "phi": "self_attn.{}_proj",
}


class PathReference(Reference):
    """Senders are ("head", layer, head) or ("mlp", layer, 0); receivers (part, layer, head) with
    part q, k, v, mlp or logits."""

    def patched(
        self, clean: Sequence[int], corrupted: Sequence[int], sender: tuple, receivers: list[tuple]
    ) -> Tensor:
        """The last position's logits with the paths patched: Wang et al.'s four passes."""
        clean_out, other = (self._outputs(ids) for ids in (clean, corrupted))
        recomputed: dict[tuple, Tensor] = {}
        with torch.no_grad(), ExitStack() as stack:
            for layer in range(self.n_layers):
                z = clean_out["z", layer].clone()
                mlp = clean_out["mlp", layer]
                if sender[:2] == ("head", layer):
                    z[:, self._head(sender[2])(z.shape[-1])] = other["z", layer][
                        :, self._head(sender[2])(z.shape[-1])
                    ]
                if sender[:2] == ("mlp", layer):
                    mlp = other["mlp", layer]
                self._hold(stack, layer, z, mlp, recomputed)
                self._look(stack, layer, recomputed)
            direct = self.hf(input_ids=torch.tensor([list(clean)]), use_cache=False).logits[0]
        if any(part == "logits" for part, *_ in receivers):
            assert len(receivers) == 1
            return direct[-1]
        with torch.no_grad(), ExitStack() as stack:
            for receiver in receivers:
                self._put(stack, receiver, recomputed)
            return self.hf(input_ids=torch.tensor([list(clean)]), use_cache=False).logits[0][-1]

    def _outputs(self, ids: Sequence[int]) -> dict[tuple, Tensor]:
        """Each layer's heads before their projection, [pos heads·d], and what its MLP adds."""
        found: dict[tuple, Tensor] = {}
        with torch.no_grad(), ExitStack() as stack:
            for i, layer in enumerate(self.layers):
                o, mlp = layer.get_submodule(self._out), layer.get_submodule(self._mlp)

                def keep_z(_m: Any, args: Any, i: Any = i) -> None:
                    found["z", i] = args[0][0].clone()

                def keep_mlp(_m: Any, _a: Any, out: Any, i: Any = i) -> None:
                    found["mlp", i] = flat(out).clone()

                stack.callback(o.register_forward_pre_hook(keep_z).remove)
                stack.callback(mlp.register_forward_hook(keep_mlp).remove)
            self.hf(input_ids=torch.tensor([list(ids)]), use_cache=False)
        return found

    def _hold(self, stack: ExitStack, layer: int, z: Tensor, mlp: Tensor, seen: dict) -> None:
        block = self.layers[layer]

        def hold_z(_m: Any, args: Any) -> Any:
            return (z[None], *args[1:])

        def hold_mlp(_m: Any, _a: Any, out: Any) -> Any:
            seen["mlp", layer] = flat(out).clone()
            held = mlp.reshape((out if isinstance(out, Tensor) else out[0]).shape)
            return held if isinstance(out, Tensor) else (held, *out[1:])

        o, last = block.get_submodule(self._out), block.get_submodule(self._mlp)
        stack.callback(o.register_forward_pre_hook(hold_z).remove)
        stack.callback(last.register_forward_hook(hold_mlp).remove)

    def _look(self, stack: ExitStack, layer: int, seen: dict) -> None:
        for part in "qkv":
            module, columns = self._projection(layer, part)

            def look(_m: Any, _a: Any, out: Any, part: Any = part, columns: Any = columns) -> None:
                seen[part, layer] = out[0][:, columns].clone()

            stack.callback(module.register_forward_hook(look).remove)

    def _put(self, stack: ExitStack, receiver: tuple, seen: dict) -> None:
        part, layer, head = receiver
        if part == "mlp":
            module = self.layers[layer].get_submodule(self._mlp)

            def put_mlp(_m: Any, _a: Any, out: Any) -> Any:
                shape = (out if isinstance(out, Tensor) else out[0]).shape
                new = seen["mlp", layer].reshape(shape)
                return new if isinstance(out, Tensor) else (new, *out[1:])

            stack.callback(module.register_forward_hook(put_mlp).remove)
            return
        module, columns = self._projection(layer, part)
        n = self.n_heads if part == "q" else self.n_groups
        head = head * n // self.n_heads
        width = seen[part, layer].shape[-1] // n
        own = slice(head * width, (head + 1) * width)

        def put(_m: Any, _a: Any, out: Any) -> Any:
            out = out.clone()
            index = torch.arange(out.shape[-1])[columns][own]
            out[0][:, index] = seen[part, layer][:, own]
            return out

        stack.callback(module.register_forward_hook(put).remove)

    @property
    def n_groups(self) -> int:
        return getattr(self.hf.config, "num_key_value_heads", None) or self.n_heads

    def _projection(self, layer: int, part: str) -> tuple[nn.Module, slice | Tensor]:
        """The module that makes q, k or v, and which of its columns."""
        kind = self.hf.config.model_type
        path = _QKV.get(kind, "self_attn.{}_proj").format(part)
        module = self.layers[layer].get_submodule(path)
        if kind == "gpt2":
            d = self.hf.config.n_embd
            return module, slice("qkv".index(part) * d, ("qkv".index(part) + 1) * d)
        if kind == "gpt_neox":
            d = self.hf.config.hidden_size // self.n_heads
            each = torch.arange(3 * self.n_heads * d).reshape(self.n_heads, 3, d)
            return module, each[:, "qkv".index(part)].reshape(-1)
        return module, slice(None)


def flat(out: Tensor | tuple) -> Tensor:
    """What a module gives, one row: [pos width]."""
    found = out if isinstance(out, Tensor) else out[0]
    return found.reshape(-1, found.shape[-1])
