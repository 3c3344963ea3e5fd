"""Circuits of edges run again, without a line of the engine: plain torch hooks on the Hugging Face
model, in which every input is recomputed from what its own edges bring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from tests.support.gradient_reference import _BEHIND, _NORMS, GradientReference, Node


class CircuitReference(GradientReference):
    """Nodes are those of `GradientReference`."""

    @torch.no_grad()
    def circuit(
        self,
        clean: Sequence[int],
        corrupted: Sequence[int],
        left_out: Callable[[Node, Node], bool],
    ) -> Tensor:
        """Logits [pos vocab] of the clean prompt where every edge for which `left_out(sender,
        receiver)` holds brings what its sender writes in the corrupted run."""
        other = self._whole(corrupted)
        own: dict[tuple[str, int], Tensor] = {}
        kind = self.hf.config.model_type
        before = _NORMS.get(kind, ("input_layernorm", "post_attention_layernorm"))

        def beyond(receiver: Node, last: int, own_heads: bool) -> Tensor:
            """What a receiver reads beside the stream, from all that comes before layer `last`, and
            that layer's heads too where it reads them."""
            total = torch.zeros_like(own["embedding", 0])
            if left_out(("embedding", 0, 0), receiver):
                total += other["embedding", 0] - own["embedding", 0]
            for layer in range(last + own_heads):
                z = own["head", layer].clone()
                for head in range(self.n_heads):
                    if left_out(("head", layer, head), receiver):
                        mine = self._head(head)(z.shape[-1])
                        z[..., mine] = other["head", layer][..., mine]
                total += self._lands(layer, z) - self._lands(layer, own["head", layer])
                if layer < last and left_out(("mlp", layer, 0), receiver):
                    total += other["mlp", layer] - own["mlp", layer]
            return total

        with ExitStack() as stack:
            for i, block in enumerate(self.layers):
                self._rewire(stack, i, block, own, beyond, before)
            n = len(self.layers)

            def leave(_m: nn.Module, _a: Any, out: Any) -> Any:
                more = beyond(("logits", 0, 0), n, False)
                return out + more if isinstance(out, Tensor) else (out[0] + more, *out[1:])

            stack.callback(self.layers[-1].register_forward_hook(leave).remove)
            return self.hf(input_ids=torch.tensor([list(clean)]), use_cache=False).logits[0]

    def _rewire(
        self,
        stack: ExitStack,
        i: int,
        block: nn.Module,
        own: dict[tuple[str, int], Tensor],
        beyond: Callable[[Node, int, bool], Tensor],
        before: tuple[str, str],
    ) -> None:
        """Let every input of a layer be recomputed, and what its nodes write be noted."""
        kind = self.hf.config.model_type
        stream: dict[str, Tensor] = {}

        def enter(_m: nn.Module, args: Any, kwargs: Any) -> None:
            stream["attention"] = args[0] if args else kwargs["hidden_states"]
            if i == 0:
                own["embedding", 0] = stream["attention"]

        def mid(_m: nn.Module, args: Any, kwargs: Any) -> None:
            stream["mlp"] = args[0] if args else kwargs["hidden_states"]

        stack.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
        by_module: dict[nn.Module, list[tuple[str, Any]]] = {}
        for part in "qkv":
            module, columns = self._projection(i, part)
            by_module.setdefault(module, []).append((part, columns))
        for module, parts in by_module.items():

            def project(
                _m: Any, _a: Any, out: Tensor, module: Any = module, parts: Any = parts
            ) -> Tensor:
                out = out.clone()
                for part, columns in parts:
                    n = self.n_heads if part == "q" else self.n_groups
                    for head in range(n):
                        mine = torch.arange(out.shape[-1])[columns].reshape(n, -1)[head]
                        read = stream["attention"] + beyond((part, i, head), i, False)
                        normed = self._plain(i, before[0], read)
                        out[..., mine] = type(module).forward(module, normed)[..., mine]
                return out

            stack.callback(module.register_forward_hook(project).remove)

        def heads(_m: nn.Module, args: Any) -> None:
            own["head", i] = args[0].clone()

        out = block.get_submodule(self._out)
        stack.callback(out.register_forward_pre_hook(heads).remove)
        reads = block.get_submodule(before[1] or "mlp")
        stack.callback(reads.register_forward_pre_hook(mid, with_kwargs=True).remove)

        def anew(_m: nn.Module, _a: Any, out: Any) -> Any:
            parallel = before[0] == before[1] != "" or bool(
                getattr(self.hf.config, "use_parallel_residual", False)
            )
            result = stream["mlp"] + beyond(("mlp", i, 0), i, not parallel)
            result = self._plain(i, before[1], result)
            if kind == "opt":
                result = self._plain(i, "fc1", result).relu()
            for path in ("mlp", self._mlp) if kind in _BEHIND else (self._mlp,):
                result = self._plain(i, path, result)
            own["mlp", i] = result
            return result if isinstance(out, Tensor) else (result, *out[1:])

        stack.callback(block.get_submodule(self._mlp).register_forward_hook(anew).remove)
