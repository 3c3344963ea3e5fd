"""Edge attribution patching with integrated gradients: every edge, from a few runs.

Hanna, Pezzelle & Belinkov 2024, "Have Faith in Faithfulness" (EAP-IG, inputs); with one step, the
clean run alone, it is EAP (Syed, Rager & Conmy 2023). For a sender u that writes into the residual
stream and a receiver v that reads it later,

    score(u → v) = Σ (outᵤ' − outᵤ) · (1 / steps) Σₖ ∂m/∂(what v reads)

over positions and features, in the runs of `nodes`, outᵤ' being the sender's output in the
corrupted run. What v reads is the stream before its norm, and the gradient is that by way of v
alone: for a head's queries, keys and values each through the norm and that head's slice of their
projection. A head's output is what its slice of the output projection adds. So scores predict what
`path_patch` measures, and those of all edges from a sender add up to its score as a node.

What it does not show: what several edges do together, and anything not seen in slopes taken while
all inputs change at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..asking import ask
from ..attribution.backward import PARTS, Gradients, Piece
from ..attribution.readout import close_to
from ..attribution.runs import there
from ..attribution.written import check_added, refused
from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..model.model import Model
from ..model.weights import W_K, W_Q, W_V
from ..model.worker import Steps
from ..passes import forward
from ..passes.pace import Pace
from ..tasks.pairs import Pair, as_pairs
from .asked import GradientQuestion, Read, pairs_of, read, total_cost
from .edge_results import EdgeAttribution
from .graph import Graph, graph_of
from .runs import Runs, cut, integrated
from .written import SEEN, differences

MOST_BYTES = 2 * 2**30
"""What senders write, as it is held of one prompt."""
_AT_A_TIME = 128 * 2**20
"""Bytes of what senders of several prompts write, and of the gradients of some receivers."""
_POINTS = ("q", "k", "v", "resid_mid", "mlp_out")
_INTO = {"q": W_Q, "k": W_K, "v": W_V}


@dataclass(frozen=True)
class AttributeEdges(GradientQuestion[EdgeAttribution]):
    """A score for every edge, from what enters layer 0, heads and MLPs to the inputs of later heads
    and MLPs and the logits, between the clean and the corrupted run (EAP-IG)."""

    asks = "edge_attribution"

    def scored(
        self, model: Model, put: Callable[[EdgeAttribution], None]
    ) -> Steps[EdgeAttribution]:
        """Of prompts that are run together."""
        return _steps(model, self, put)


def edge_attribution(
    e: Experiment,
    pairs: Sequence[Pair] | None = None,
    steps: int = 5,
    view: str | None = None,
) -> EdgeAttribution:
    """Ask `AttributeEdges` and wait for the end. Raises: EngineError in words."""
    return ask(AttributeEdges(e, None if pairs is None else as_pairs(pairs), steps), view)


class _Scores:
    """The scores of prompts that are run together, [prompt sender receiver]."""

    def __init__(self, model: Model, graph: Graph, runs: Runs, adding: dict[int, bool]) -> None:
        """`adding`: by layer, whether its MLP is seen to be all that reads `resid_mid` and is added
        to; filled in as layers are met."""
        self._model, self._graph, self._runs, self._adding = model, graph, runs, adding
        self._senders = differences(model, runs, graph).flatten(2)
        shape = len(runs.targets), len(graph.senders), len(graph.receivers)
        self.scores = torch.zeros(shape, device=self._senders.device)

    def visit(self, layer: int, piece: Piece, gradients: Gradients) -> None:
        if layer == self._model.shape.n_layers - 1:
            self._add(len(self._graph.receivers) - 1, gradients.leaving[None])
        found = gradients.leaving.float()
        for part in PARTS:
            if (part, layer) in gradients.at:
                found = found + self._into_heads(part, layer, piece, gradients)
        if ("mlp_out", layer) in gradients.at:
            gradient = self._into_mlp(layer, piece, gradients)
            self._add(self._graph.columns("mlp", layer).start, gradient[None])
            found = found + gradient
        self._check_whole(layer, found, gradients)

    def _into_mlp(self, layer: int, piece: Piece, gradients: Gradients) -> Tensor:
        """The gradient by way of a layer's MLP. Where its output and the stream before it make up
        what leaves the layer, that is what `resid_mid` has beyond the stream behind it."""
        mlp, mid = ("mlp_out", layer), ("resid_mid", layer)
        beyond = gradients.at[mid] - gradients.leaving if mid in gradients.at else None
        if beyond is not None and self._adding.get(layer):
            return beyond
        own = piece.probes.get(mid, piece.entering)
        by = (piece.activations[mlp], own, gradients.at[mlp])
        (gradient,) = torch.autograd.grad(*by, retain_graph=True)
        if beyond is not None and layer not in self._adding:
            off = (beyond - gradient).norm()
            exact = gradient.dtype == torch.float32  # a difference of coarse numbers is coarser
            self._adding[layer] = exact and bool(off <= 1e-5 * gradients.at[mid].norm())
        return gradient

    def _into_heads(self, part: str, layer: int, piece: Piece, gradients: Gradients) -> Tensor:
        """Score the edges into a part of every head. Returns: the gradient by way of them all."""
        weight, read = _INTO[part](self._model, layer), piece.read[part]
        slopes, first = gradients.at[part, layer], self._graph.columns(part, layer).start
        each, found = max(1, _AT_A_TIME // (4 * piece.entering.numel())), torch.zeros(())
        for start in range(0, len(weight), each):
            some = slice(start, start + each)
            toward = torch.einsum("rthe,hde->hrtd", slopes[:, :, some], weight[some])
            (by_head,) = torch.autograd.grad(
                read, piece.entering, toward, retain_graph=True, is_grads_batched=True
            )
            self._add(first + start, by_head)
            found = found.to(by_head.device) + by_head.float().sum(0)
        return found

    def _add(self, first: int, gradients: Float[Tensor, "receiver rows pos d_model"]) -> None:
        """Score the edges into receivers that stand side by side: one product for all of them."""
        reach = self._graph.reach[first]
        mean = self._runs.summed(gradients, 1).flatten(2)  # [receiver prompt feature]
        product = self._senders[:, :reach] @ mean.permute(1, 2, 0)
        self.scores[:, :reach, first : first + len(gradients)] += product

    def enter(self, gradient: Tensor) -> None:
        """Nothing more: what enters layer 0 is a sender."""

    def _check_whole(self, layer: int, found: Tensor, gradients: Gradients) -> None:
        """Refuse a layer that reads the stream otherwise than by its receivers."""
        receivers = {part for part, _ in gradients.at} - {"resid_mid"}
        heads = self._model.layer(layer).attention is not None
        if not receivers or (not heads and "mlp_out" in receivers):
            return  # whatever mixes tokens there is no node
        off = (found - gradients.entering.float()).norm()
        if off > 3 * close_to(self._model) * gradients.entering.float().norm():
            raise refused(
                self._model,
                layer,
                "the stream is read otherwise than by queries, keys, values and an MLP, so no edge "
                "is scored",
            )


def _steps(
    model: Model, asked: AttributeEdges, put: Callable[[EdgeAttribution], None]
) -> Steps[EdgeAttribution]:
    pace = Pace(model)
    yield 0.0
    result = yield from read(model, asked.e, asked.pairs, "edge attribution")
    graph = graph_of(model)
    notes = _checked(model, result, graph)
    yield 0.0
    prompts = result.prompts
    pace.total = total_cost(pace.block_cost, prompts, asked.steps)
    adding: dict[int, bool] = {}
    n, shape = 0, (len(graph.senders), len(graph.receivers))
    total, squares, metric = np.zeros(shape), np.zeros(shape), np.full((2, len(prompts)), np.nan)
    none = np.arange(shape[0])[:, None] >= np.array(graph.reach)

    def snapshot(progress: float) -> EdgeAttribution:
        mean = np.where(none | (n == 0), np.nan, total / max(n, 1))
        return EdgeAttribution(
            experiment=asked.e,
            pairs=pairs_of(asked.e, asked.pairs),
            steps=asked.steps,
            metric=result.metric,
            shape=model.shape,
            senders=graph.senders,
            receivers=graph.receivers,
            score=mean,
            spread=np.sqrt(np.maximum(squares / max(n, 1) - mean**2, 0.0)),
            n=n,
            clean=metric[0].copy(),
            corrupted=metric[1].copy(),
            notes=(*result.notes, *notes),
            progress=progress,
            seconds=pace.seconds,
            seconds_left=0.0 if progress >= 1 else pace.seconds_left,
        )

    for group in result.groups(model):
        n_tokens = len(prompts[group[0]].target.ids)
        most = _AT_A_TIME // _nbytes(model, graph, n_tokens)
        for some in cut(pace, group, n_tokens, asked.steps, most):
            runs, scores = yield from integrated(
                model, pace, [prompts[i] for i in some], [result.corrupted[i] for i in some],
                result.metric, asked.steps, _POINTS, SEEN,
                lambda runs: _Scores(model, graph, runs, adding),
            )  # fmt: skip
            own = scores.scores.double().cpu().numpy()
            total, squares, n = total + own.sum(0), squares + (own**2).sum(0), n + len(some)
            metric[:, some] = runs.metric.cpu().numpy()
            put(snapshot(min(pace.share, 0.999)))
    whole = snapshot(1.0)
    put(whole)
    return whole


def _nbytes(model: Model, graph: Graph, n_tokens: int) -> int:
    """Bytes of what all senders write in one prompt."""
    return 4 * len(graph.senders) * n_tokens * model.shape.d_model


def _checked(model: Model, result: Read, graph: Graph) -> tuple[str, ...]:
    """Refuse a model whose parts do not add to the stream, and prompts too long to be held.
    Returns: what a reader must know of the edges."""
    ids = max((prompt.target.ids for prompt in result.prompts), key=len)
    held = _nbytes(model, graph, len(ids))
    if held > MOST_BYTES:
        raise ExperimentError(
            f"What {len(graph.senders):,} senders write at {len(ids)} tokens takes "
            f"{held / 2**30:.1f} GiB, and at most {MOST_BYTES / 2**30:.0f} are held. Take shorter "
            "prompts."
        )
    stream = there(model, "resid_pre", "attn_out", "resid_mid", "mlp_out")
    stream |= {("resid_post", model.shape.n_layers - 1)}
    (row,) = forward.run(model, [forward.Row(ids, captures=stream, at_end=True)])
    others, s = check_added(model, row.captured), model.shape
    shared, notes = s.n_heads // s.n_key_value_heads, []
    if shared > 1:
        notes.append(
            f"Each {shared} heads of a layer share their keys and values, and so one edge into "
            "either."
        )
    if others:
        layers = ", ".join(map(str, others))
        notes.append(
            f"What layers {layers} add otherwise than by heads and MLPs is no sender and no "
            "receiver: the edges from a node do not add up to its score."
        )
    return tuple(notes)
