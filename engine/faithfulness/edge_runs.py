"""Circuits of edges run: every input reads what it is led, each by itself.

A receiver v of a circuit C reads, in place of the residual stream x of the run itself,

    x + Σ (outᵤ' − outᵤ)   over the senders u before v whose edge u → v is not in C,

with outᵤ what u writes in this run and outᵤ' what it writes in the corrupted one, before the norm
in front of v (Hanna, Pezzelle & Belinkov 2024, and so MIB: Mueller et al. 2025). So a kept edge
carries what the circuit made of its sender, and an edge left out what the corrupted prompt did. A
head's queries, keys and values are inputs of their own; heads that share keys and values share
those inputs. Where a norm stands behind a layer's heads, what those left out change is what
becomes of that norm's output when all of them change together.

Every layer is called once, as its family wrote it: what its projections give is put in place as it
passes, and what its MLP reads is changed where it reads it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..attribution.backward import PARTS
from ..attribution.readout import close_to
from ..attribution.written import refused
from ..experiment.sites import MLP, Head
from ..gradients.graph import Graph
from ..gradients.runs import CLEAN, CORRUPTED, Runs
from ..model.model import Model
from ..model.place import Place
from ..model.through import hook
from ..model.weights import W_K, W_O, W_Q, W_V, b_K, b_O, b_Q, b_V
from ..model.worker import Steps
from ..passes.blockwise import Blocks
from ..passes.overflow import check_numbers
from ..passes.pace import Pace
from .runs import Rows

SEEN = ("z", "attn_out", "mlp_out", "resid_post")
_INTO = {"q": (W_Q, b_Q), "k": (W_K, b_K), "v": (W_V, b_V)}


def _put(value: Tensor, _passed: Tensor) -> Tensor:
    return value


class _Read(Exception):
    """What projections are given is known: the rest of the layer need not be run."""


@dataclass
class _State:
    """Rows under way. `off` [row sender pos d_model]: corrupted − own output, of heads behind which
    a norm stands before it; `whole`: of these layers what its heads write together, [row pos
    d_model]. `left_out` [row sender receiver]: 1 where there is an edge and it is not kept."""

    runs: Runs
    pairs: Tensor
    left_out: Float[Tensor, "row sender receiver"]
    off: Float[Tensor, "row sender pos d_model"]
    whole: dict[int, Tensor] = field(default_factory=dict)


class EdgeCircuits:
    """How circuits of edges are run in a model."""

    def __init__(self, model: Model, graph: Graph) -> None:
        self._model, self._graph = model, graph
        self._heads: dict[int, slice] = {}
        for i, site in enumerate(graph.senders):
            if isinstance(site, Head):
                first = self._heads.get(site.layer, slice(i, i)).start
                self._heads[site.layer] = slice(first, i + 1)
        self._mlps = {s.layer: i for i, s in enumerate(graph.senders) if isinstance(s, MLP)}
        self._normed = {i: norm for i in self._heads if (norm := self._norm_behind(i)) is not None}

    def nbytes(self, n_tokens: int) -> int:
        s = self._model.shape
        return 4 * n_tokens * s.d_model * (len(self._graph.senders) + 6 * s.n_heads)

    def cost(self, n_tokens: int) -> float:
        d = self._model.shape.d_model
        wired = 2.0 * d * sum(self._graph.reach)
        return n_tokens * (wired + 2 * sum(Pace(self._model).block_cost))

    def run(self, pace: Pace, runs: Runs, rows: Rows) -> Steps[Float[Tensor, "row pos d_model"]]:
        model, n, graph = self._model, runs.blocks.n_tokens, self._graph
        pairs = torch.tensor(rows.pairs, device=model.device)
        hidden = runs.embedded[CLEAN][pairs]
        edge = torch.arange(len(graph.senders))[:, None] < torch.tensor(graph.reach)
        left_out = (edge & ~torch.tensor(rows.kept)).float().to(model.device)
        shape = len(hidden), len(graph.senders), n, model.shape.d_model
        state = _State(runs, pairs, left_out, torch.zeros(shape, device=model.device))
        state.off[:, 0] = (runs.embedded[CORRUPTED][pairs] - hidden).float()
        for layer in self._normed:
            state.whole[layer] = torch.zeros(hidden.shape, device=model.device)
        for layer in range(model.shape.n_layers):
            out = torch.empty_like(hidden)

            def work(
                start: int, stop: int, layer: int = layer, hidden: Tensor = hidden,
                out: Tensor = out,
            ) -> None:  # fmt: skip
                some = slice(start, stop)
                out[some] = self._layer(state, layer, hidden[some], some)

            mine = [r for r, one in zip(graph.reach, graph.receivers, strict=True)
                    if one.layer == layer]  # fmt: skip
            cost = n * (2.0 * model.shape.d_model * sum(mine) + 2 * pace.block_cost[layer])
            nbytes = 4 * n * model.shape.d_model * 6 * model.shape.n_heads
            yield from pace.steps(len(hidden), cost, nbytes, work)
            hidden = out
        last = len(graph.receivers) - 1
        rest = slice(0, len(hidden))
        hidden = hidden + self._change(state, rest, slice(last, last + 1))[:, 0].to(hidden.dtype)
        yield pace.share
        check_numbers(model, hidden, "run circuits")
        return hidden

    def _layer(
        self, state: _State, layer: int, hidden: Tensor, rows: slice
    ) -> Float[Tensor, "row pos d_model"]:
        """Rows through one layer. Returns: the stream as it leaves, all added as it is."""
        model, blocks = self._model, state.runs.blocks
        n, added, given = blocks.n_tokens, {}, {}
        for part in PARTS if layer in self._heads else ():
            given[part] = self._projected(state, layer, part, hidden, rows)
        mlp = self._graph.columns("mlp", layer) if layer in self._mlps else None
        sequential = mlp is not None and model.reaches("resid_mid", layer)

        def heads(z: Tensor) -> None:
            state.off[rows, self._heads[layer]] = self._written(state, layer, z, rows)

        def mid(stream: Tensor) -> Tensor:
            assert mlp is not None
            return stream + self._change(state, rows, mlp)[:, 0].to(stream.dtype)

        def seen(name: str, activation: Tensor) -> None:
            added[name] = activation.clone()  # some families add to it in place

        apart = None
        if mlp is not None and not sequential:
            changed = hidden + self._change(state, rows, mlp)[:, 0].to(hidden.dtype)
            with model.hooked("mlp_out", layer, n, lambda passed: seen("mlp_out", passed)):
                blocks.call(layer, changed, {})
            apart = added["mlp_out"]
        with ExitStack() as stack:
            for part, value in given.items():
                stack.enter_context(model.hooked(part, layer, n, partial(_put, value)))
            if given:
                stack.enter_context(model.hooked("z", layer, n, heads))
                stack.enter_context(
                    model.hooked("attn_out", layer, n, lambda passed: seen("attn_out", passed))
                )
            if sequential:
                stack.enter_context(model.hooked("resid_mid", layer, n, mid))
            if mlp is not None and apart is None:
                stack.enter_context(
                    model.hooked("mlp_out", layer, n, lambda passed: seen("mlp_out", passed))
                )
            blocks.call(layer, hidden, {})
        if mlp is not None:
            corrupted = state.runs.captured["mlp_out", layer][CORRUPTED][state.pairs[rows]]
            state.off[rows, self._mlps[layer]] = corrupted.float() - added["mlp_out"].float()
        return hidden + sum(added.values(), torch.zeros_like(hidden))

    def _change(
        self, state: _State, rows: slice, receivers: slice
    ) -> Float[Tensor, "row receiver pos d_model"]:
        """What receivers that stand side by side read beyond the stream, float32."""
        reach = self._graph.reach[receivers.start]
        left_out = state.left_out[rows, :reach, receivers]
        off = state.off[rows, :reach]
        plain = left_out
        behind = [i for i in self._normed if self._heads[i].stop <= reach]
        if behind:
            plain = left_out.clone()
            for layer in behind:
                plain[:, self._heads[layer]] = 0.0
        result = torch.einsum("rsj,rspd->rjpd", plain, off)
        for layer in behind:
            own, whole = self._heads[layer], state.whole[layer][rows]
            moved = torch.einsum("rsj,rspd->rjpd", left_out[:, own], off[:, own])
            place, norm = self._model.place("attn_out", layer), self._normed[layer]
            after = self._through(norm, whole[:, None] + moved)
            result = result + place.scale * (after - self._through(norm, whole)[:, None])
        return result

    def _projected(
        self, state: _State, layer: int, part: str, hidden: Tensor, rows: slice
    ) -> Float[Tensor, "row pos head_index d_head"]:
        """What a part's projection gives each head, each of what that head's input reads."""
        own = self._graph.columns(part, layer)
        stream = hidden[:, None] + self._change(state, rows, own).to(hidden.dtype)
        read = self._reads(state.runs.blocks, layer, part, stream.flatten(0, 1))
        read = read.unflatten(0, stream.shape[:2])
        weight, bias = (of(self._model, layer) for of in _INTO[part])
        return torch.einsum("rjpd,jde->rpje", read, weight) + bias

    def _reads(
        self, blocks: Blocks, layer: int, part: str, stream: Float[Tensor, "rows pos d_model"]
    ) -> Float[Tensor, "rows pos d_model"]:
        """What the projection of a part is given where `stream` enters the layer, by running the
        layer so far."""
        seen: list[Tensor] = []

        def look(read: Tensor) -> None:
            seen.append(read)
            raise _Read

        handle = hook(Place(self._model.place(part, layer).module, True), blocks.n_tokens, look)
        try:
            blocks.call(layer, stream, {})
        except _Read:
            return seen[0]
        finally:
            handle.remove()
        raise refused(self._model, layer, "nothing is given to the projections of heads")

    def _written(
        self, state: _State, layer: int, z: Tensor, rows: slice
    ) -> Float[Tensor, "row head_index pos d_model"]:
        """Corrupted − own output of a layer's heads; before the norm behind them, where there is
        one."""
        model, weight = self._model, W_O(self._model, layer).float()
        corrupted = state.runs.captured["z", layer][CORRUPTED][state.pairs[rows]]
        off = torch.einsum("rthe,hed->rhtd", corrupted.float() - z.float(), weight)
        if layer in self._normed:
            whole = torch.einsum("rthe,hed->rtd", z.float(), weight) + b_O(model, layer).float()
            state.whole[layer][rows] = whole
            return off
        return model.place("attn_out", layer).scale * off

    def _norm_behind(self, layer: int) -> nn.Module | None:
        """The norm between a layer's heads and the stream; None where there is none."""
        place, output = self._model.place("attn_out", layer), self._model.layer(layer).output
        return None if any(m is output for m in place.module.modules()) else place.module

    def _through(self, norm: nn.Module, vectors: Tensor) -> Tensor:
        result: Tensor = norm(vectors.to(self._model.dtype))
        return result.float()

    def check(self, runs: Runs) -> None:
        """Refuse a model in which what heads write is changed on the way by more than a norm."""
        for layer in self._heads:
            z, landed = (runs.captured[at, layer][CLEAN].float() for at in ("z", "attn_out"))
            weight = W_O(self._model, layer).float()
            whole = torch.einsum("rthe,hed->rtd", z, weight) + b_O(self._model, layer).float()
            if layer in self._normed:
                whole = self._through(self._normed[layer], whole)
            whole = self._model.place("attn_out", layer).scale * whole
            if (whole - landed).norm() > close_to(self._model) * landed.norm():
                raise refused(
                    self._model, layer,
                    "what heads write is changed on the way into the stream, so no circuit of "
                    "edges is run",
                )  # fmt: skip
