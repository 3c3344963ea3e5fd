"""Integrated gradients of nodes and edges said again, without a line of the engine: a loop over
interpolations, plain autograd on the Hugging Face model, and for every receiver a pass of its own
in which that input alone has a zero added to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from tests.support.path_reference import PathReference

_NORMS = {
    "gpt2": ("ln_1", "ln_2"),
    "gptj": ("ln_1", "ln_1"),
    "opt": ("self_attn_layer_norm", "final_layer_norm"),
    "phi": ("input_layernorm", "input_layernorm"),
    "olmo2": ("", ""),
    "gemma2": ("input_layernorm", "pre_feedforward_layernorm"),
    "gemma3_text": ("input_layernorm", "pre_feedforward_layernorm"),
}
"""The norms before attention and before the MLP; "" where it reads the stream as it is."""
_BEHIND = ("olmo2", "gemma2", "gemma3_text")
"""Families with a norm behind attention and one behind the MLP."""
Node = tuple[str, int, int]
"""("head", layer, head), ("mlp", layer, 0) or ("embedding", 0, 0); receivers have q, k, v, mlp or
logits for the first."""
Metric = Callable[[Tensor], Tensor]


class GradientReference(PathReference):
    """`metric` takes the logits [pos vocab] of one run. Nodes change in the first `n` positions, by
    itself in all."""

    def nodes(
        self,
        clean: Sequence[int],
        corrupted: Sequence[int],
        steps: int,
        metric: Metric,
        n: int | None = None,
    ) -> dict[Node, float]:
        """Every head's, MLP's and the embedding's score."""
        one, other = (self._whole(ids) for ids in (clean, corrupted))
        inputs = one["embedding", 0], other["embedding", 0]
        other = self._mixed(one, other, n)
        total = {at: torch.zeros_like(value) for at, value in one.items()}
        for embedded in self._between(*inputs, steps):
            seen: dict[tuple[str, int], Tensor] = {}
            logits = self._run(clean, embedded, seen)
            places = [at for at in total if at in seen]
            for at, slope in zip(
                places,
                torch.autograd.grad(metric(logits), [seen[at] for at in places]),
                strict=True,
            ):
                total[at] += slope / steps
        scores: dict[Node, float] = {}
        for (kind, layer), slope in total.items():
            product = (other[kind, layer] - one[kind, layer]) * slope
            if kind == "head":
                for head in range(self.n_heads):
                    own = product[..., self._head(head)(product.shape[-1])]
                    scores["head", layer, head] = float(own.sum())
            else:
                scores[kind, layer, 0] = float(product.sum())
        return scores

    def edges(
        self,
        clean: Sequence[int],
        corrupted: Sequence[int],
        steps: int,
        metric: Metric,
        receivers: Sequence[Node],
        n: int | None = None,
    ) -> dict[tuple[Node, Node], float]:
        """The score of every sender into these receivers, whether it comes before them or not."""
        one, other = (self._whole(ids) for ids in (clean, corrupted))
        inputs = one["embedding", 0], other["embedding", 0]
        written = dict(self._written(one, self._mixed(one, other, n)))
        scores: dict[tuple[Node, Node], float] = {}
        for receiver in receivers:
            total = torch.zeros_like(one["embedding", 0])
            for embedded in self._between(*inputs, steps):
                zero = torch.zeros_like(embedded, requires_grad=True)
                logits = self._run(clean, embedded, {}, receiver, zero)
                total += torch.autograd.grad(metric(logits), zero)[0] / steps
            for sender, off in written.items():
                scores[sender, receiver] = float((off * total).sum())
        return scores

    def _mixed(self, one: dict, other: dict, n: int | None) -> dict[tuple[str, int], Tensor]:
        """The other run in the first `n` positions, and the one behind them."""
        return {
            at: value if n is None else torch.cat([value[:, :n], one[at][:, n:]], dim=1)
            for at, value in other.items()
        }

    def _between(self, x: Tensor, y: Tensor, steps: int) -> Iterator[Tensor]:
        for k in range(1, steps + 1):
            yield (y + (x - y) * (k / steps)).detach().requires_grad_()

    def _whole(self, ids: Sequence[int]) -> dict[tuple[str, int], Tensor]:
        """Heads before their projection, what MLPs add and the embedding: [1 pos width]."""
        seen: dict[tuple[str, int], Tensor] = {}
        self._run(ids, None, seen)
        return {at: value.detach() for at, value in seen.items()}

    def _written(self, one: dict, other: dict) -> Iterator[tuple[Node, Tensor]]:
        """How what every sender adds to the stream differs, others in its layer as they were."""
        yield ("embedding", 0, 0), other["embedding", 0] - one["embedding", 0]
        for layer in range(self.n_layers):
            for head in range(self.n_heads):
                z, own = one["head", layer].clone(), self._head(head)(one["head", layer].shape[-1])
                z[..., own] = other["head", layer][..., own]
                off = self._lands(layer, z) - self._lands(layer, one["head", layer])
                yield ("head", layer, head), off
            yield ("mlp", layer, 0), other["mlp", layer] - one["mlp", layer]

    @torch.no_grad()
    def _lands(self, layer: int, z: Tensor) -> Tensor:
        result = self._plain(layer, self._out, z)
        behind = self.hf.config.model_type in _BEHIND
        return self._plain(layer, "post_attention_layernorm", result) if behind else result

    def _plain(self, layer: int, path: str, given: Tensor) -> Tensor:
        """What a part of a layer makes of what it is given, past hooks; "" gives it on."""
        if not path:
            return given
        module = self.layers[layer].get_submodule(path)
        result = type(module).forward(module, given)
        return result if isinstance(result, Tensor) else result[0]

    def _run(
        self,
        ids: Sequence[int],
        embedded: Tensor | None,
        seen: dict[tuple[str, int], Tensor],
        receiver: Node | None = None,
        zero: Tensor | None = None,
    ) -> Tensor:
        """Logits [pos vocab] of a run that enters the first layer as `embedded`."""
        with torch.enable_grad(), ExitStack() as stack:

            def enter(_m: nn.Module, args: Any, kwargs: Any) -> Any:
                given = args[0] if args else kwargs["hidden_states"]
                given = given if embedded is None else embedded
                seen["embedding", 0] = given
                more = (given, *args[1:]) if args else args
                return more, kwargs if args else {**kwargs, "hidden_states": given}

            handle = self.layers[0].register_forward_pre_hook(enter, with_kwargs=True)
            stack.callback(handle.remove)
            for i, layer in enumerate(self.layers):
                out, mlp = layer.get_submodule(self._out), layer.get_submodule(self._mlp)

                def heads(_m: nn.Module, args: Any, i: int = i) -> None:
                    seen["head", i] = args[0]

                def adds(_m: nn.Module, _a: Any, result: Any, i: int = i) -> None:
                    seen["mlp", i] = result if isinstance(result, Tensor) else result[0]

                stack.callback(out.register_forward_pre_hook(heads).remove)
                if receiver is None:
                    stack.callback(mlp.register_forward_hook(adds).remove)
            if receiver is not None:
                assert zero is not None
                self._receive(stack, receiver, zero)
            return self.hf(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]

    def _receive(self, stack: ExitStack, receiver: Node, zero: Tensor) -> None:
        """Let one input alone, read from the stream anew, have a zero added to it."""
        part, layer, head = receiver
        kind = self.hf.config.model_type
        before = _NORMS.get(kind, ("input_layernorm", "post_attention_layernorm"))
        block = self.layers[layer]
        if part == "logits":

            def leave(_m: nn.Module, _a: Any, out: Any) -> Any:
                return out + zero if isinstance(out, Tensor) else (out[0] + zero, *out[1:])

            stack.callback(self.layers[-1].register_forward_hook(leave).remove)
            return
        stream: list[Tensor] = []

        def look(_m: nn.Module, args: Any, kwargs: Any) -> None:
            stream[:] = [args[0] if args else kwargs["hidden_states"]]

        if part == "mlp":
            reads = block.get_submodule(before[1] or "mlp")
            stack.callback(reads.register_forward_pre_hook(look, with_kwargs=True).remove)

            def anew(_m: nn.Module, _a: Any, out: Any) -> Any:
                result = self._plain(layer, before[1], stream[0] + zero)
                if kind == "opt":
                    result = self._plain(layer, "fc1", result).relu()
                for path in ("mlp", self._mlp) if kind in _BEHIND else (self._mlp,):
                    result = self._plain(layer, path, result)
                return result if isinstance(out, Tensor) else (result, *out[1:])

            stack.callback(block.get_submodule(self._mlp).register_forward_hook(anew).remove)
            return
        stack.callback(block.register_forward_pre_hook(look, with_kwargs=True).remove)
        module, columns = self._projection(layer, part)
        n = self.n_heads if part == "q" else self.n_groups

        def project(_m: nn.Module, _a: Any, out: Tensor) -> Tensor:
            normed = self._plain(layer, before[0], stream[0] + zero)
            mine = torch.arange(out.shape[-1])[columns].reshape(n, -1)[head]
            out = out.clone()
            out[..., mine] = type(module).forward(module, normed)[..., mine]
            return out

        stack.callback(module.register_forward_hook(project).remove)
