"""NAP-IG and EAP-IG as one would write them for GPT-2: hooks and autograd on the Hugging Face
model, one pair and one interpolation at a time, without gradients of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

Ids = Sequence[int]
Seen = dict[tuple[str, int], Tensor]


class Plain:
    """Scores of one pair: corrupted − clean times gradients, which are means over `steps` runs."""

    def __init__(self, hf: GPT2LMHeadModel, steps: int) -> None:
        self.hf, self.steps = hf.eval().requires_grad_(False), steps
        self.layers: Any = hf.transformer.h
        self.n_heads = hf.config.n_head

    def nodes(self, clean: Ids, corrupted: Ids, tokens: tuple[int, int]) -> Tensor:
        """[sender]: what enters layer 0, then the heads and the MLP of each layer."""
        one, other = self._seen(clean), self._seen(corrupted)
        at = [("stream", 0)]
        at += [(part, i) for i in range(len(self.layers)) for part in ("z", "mlp")]
        total = [torch.zeros_like(one[a]) for a in at]
        for seen, metric in self._between(clean, tokens, one, other):
            slopes = torch.autograd.grad(metric, [seen[a] for a in at])
            for sum_, slope in zip(total, slopes, strict=True):
                sum_ += slope / self.steps
        scores = []
        for a, slope in zip(at, total, strict=True):
            product = (other[a] - one[a]) * slope
            heads = self.n_heads if a[0] == "z" else 1
            scores.append(product.unflatten(-1, (heads, -1)).sum((0, 1, 3)))
        return torch.cat(scores)

    def edges(self, clean: Ids, corrupted: Ids, tokens: tuple[int, int]) -> Tensor:
        """[sender receiver]: to queries, keys and values of each head and the MLP of each layer,
        then the logits; NaN where the sender comes later."""
        one, other = self._seen(clean), self._seen(corrupted)
        n, h = len(self.layers), self.n_heads
        off = self._written(one, other)
        scores = torch.full((len(off), n * (3 * h + 1) + 1), float("nan"))
        at = [(part, i) for i in range(n) for part in ("stream", "qkv", "mid")] + [("stream", n)]
        for seen, metric in self._between(clean, tokens, one, other):
            slopes = dict(zip(at, torch.autograd.grad(
                metric, [seen[a] for a in at], retain_graph=True), strict=True))  # fmt: skip
            for i in range(n):
                weight = self.layers[i].attn.c_attn.weight.unflatten(1, (3 * h, -1))
                toward = torch.einsum(
                    "bthe,dhe->hbtd", slopes["qkv", i].unflatten(2, (3 * h, -1)), weight
                )
                (heads,) = torch.autograd.grad(
                    seen["normed", i], seen["stream", i], toward,
                    retain_graph=True, is_grads_batched=True,
                )  # fmt: skip
                first, before = i * (3 * h + 1), 1 + i * (h + 1)
                self._add(scores, off, before, first, heads)
                mlp = slopes["mid", i] - slopes["stream", i + 1]
                self._add(scores, off, before + h, first + 3 * h, mlp[None])
            self._add(scores, off, len(off), scores.shape[1] - 1, slopes["stream", n][None])
        return scores / self.steps

    def _add(self, scores: Tensor, off: Tensor, reach: int, first: int, slopes: Tensor) -> None:
        mine = scores[:reach, first : first + len(slopes)]
        mine.nan_to_num_()
        mine += off[:reach].flatten(1) @ slopes.flatten(1).T

    def _written(self, one: Seen, other: Seen) -> Tensor:
        """Corrupted − clean of what every sender adds to the stream, [sender batch pos d_model]."""
        parts = [(other["stream", 0] - one["stream", 0])[None]]
        for i, layer in enumerate(self.layers):
            z = (other["z", i] - one["z", i]).unflatten(2, (self.n_heads, -1))
            weight = layer.attn.c_proj.weight.unflatten(0, (self.n_heads, -1))
            parts.append(torch.einsum("bthe,hed->hbtd", z, weight))
            parts.append((other["mlp", i] - one["mlp", i])[None])
        return torch.cat(parts)

    @torch.no_grad()
    def _seen(self, ids: Ids) -> Seen:
        with self._looking(None) as seen:
            self.hf(torch.tensor([ids]), use_cache=False, logits_to_keep=1)
        return seen

    def _between(
        self, ids: Ids, tokens: tuple[int, int], one: Seen, other: Seen
    ) -> Iterator[tuple[Seen, Tensor]]:
        x, y = one["stream", 0], other["stream", 0]
        for k in range(1, self.steps + 1):
            embedded = torch.lerp(y, x, k / self.steps).requires_grad_()
            with self._looking(embedded) as seen:
                logits = self.hf(torch.tensor([ids]), use_cache=False, logits_to_keep=1).logits
            yield seen, logits[0, -1, tokens[0]] - logits[0, -1, tokens[1]]

    @contextmanager
    def _looking(self, embedded: Tensor | None) -> Iterator[Seen]:
        """See what passes in a run, which enters layer 0 as `embedded` if that is given."""
        seen: Seen = {}
        with ExitStack() as stack:

            def enter(_m: nn.Module, args: Any) -> Any:
                return args if embedded is None else (embedded, *args[1:])

            def given(module: nn.Module, name: str, layer: int) -> None:
                def look(_m: nn.Module, args: Any) -> None:
                    seen[name, layer] = args[0]

                stack.callback(module.register_forward_pre_hook(look).remove)

            def gives(module: nn.Module, name: str, layer: int) -> None:
                def look(_m: nn.Module, _a: Any, result: Tensor) -> None:
                    seen[name, layer] = result

                stack.callback(module.register_forward_hook(look).remove)

            stack.callback(self.layers[0].register_forward_pre_hook(enter).remove)
            for i, layer in enumerate(self.layers):
                given(layer.ln_1, "stream", i)
                gives(layer.ln_1, "normed", i)
                gives(layer.attn.c_attn, "qkv", i)
                given(layer.attn.c_proj, "z", i)
                given(layer.ln_2, "mid", i)
                gives(layer.mlp, "mlp", i)
            given(self.hf.transformer.ln_f, "stream", len(self.layers))
            yield seen
