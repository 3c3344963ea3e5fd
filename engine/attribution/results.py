"""What direct logit attribution gives: a number for each part of a run, and what they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.sites import MLP, Head, Neuron
from ..showing.beside import beside_figure
from ..showing.site_grid import SiteGrid
from ..showing.writing import Rows
from ..text.shown import token_text
from .figures import sources_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

FURTHER = {
    "embedding": "embedding",
    "attention_biases": "attention biases",
    "other": "other",
    "norm_bias": "final norm's bias",
    "unembed_bias": "unembedding's bias",
    "cap": "cap on the logits",
    "rest": "rest",
    "logit_diff": "logit difference",
}
"""What a run is made of beside heads and MLPs, by name, as tables call it; last the sum of all."""


@dataclass(frozen=True)
class DirectRun:
    """What the parts of one run write towards the answer: logits, positive for the answer, negative
    for the distractor.

    `sites`: of each head and MLP; an MLP's own biases are part of it, as its values' are of a head.
    `embedding`: of what enters layer 0, positions and its norm included. `attention_biases`: of
    what output projections, and norms behind them, add beside the heads. `other`: of what else is
    in the stream: layers of another kind, a change of the stream itself. `norm_bias`: of the final
    norm's bias. `unembed_bias`: of the two tokens' own. `cap`: what capping the logits adds to the
    difference, 0 where nothing caps them. `rest`: what remains, which is rounding. Together they
    are `logit_diff`, logit(answer) − logit(distractor).
    """

    sites: SiteGrid
    embedding: float
    attention_biases: float
    other: float
    norm_bias: float
    unembed_bias: float
    cap: float
    rest: float
    logit_diff: float

    @property
    def heads(self) -> float:
        """What all heads write together."""
        return float(np.nansum(self.sites.heads))

    @property
    def mlps(self) -> float:
        """What all MLPs write together."""
        return float(np.nansum(self.sites.mlps))


@dataclass(frozen=True)
class DirectAttribution:
    """Direct logit attribution, clean and ablated. `notes`: what a reader must know, in sentences.

    The two are equal where nothing is changed. Each run has scales of its norms of its own, so a
    part that is the same in both may still count otherwise. What it does not show: what a part does
    through later ones.
    """

    clean: DirectRun
    ablated: DirectRun
    notes: tuple[str, ...]

    def sites(self, run: str = "clean") -> SiteGrid:
        """Each head's and MLP's number in logits: `run` is "clean", "ablated" or "difference",
        ablated − clean: above 0 writes more towards the answer than before, as backup heads do.

        Raises: KeyError for another run.
        """
        clean, ablated = self.clean.sites, self.ablated.sites
        if run == "difference":
            heads, mlps = ablated.heads - clean.heads, ablated.mlps - clean.mlps
            return SiteGrid(heads, mlps, "change of direct, logits", signed=True)
        return {"clean": clean, "ablated": ablated}[run]

    def figure(self, run: str = "clean") -> go.Figure:
        """Layers down, heads across, MLPs at the right; blue is towards the answer."""
        return self.sites(run).figure()

    def table(self) -> Rows:
        """A row a part: `site`, and `clean`, `ablated` and `change` (ablated − clean) in logits.
        Behind the heads and MLPs all else; the last row is what everything adds up to."""
        pairs = [
            (str(s), self.clean.sites[s], self.ablated.sites[s]) for s in self.clean.sites.sites
        ]
        pairs += [
            (told, getattr(self.clean, name), getattr(self.ablated, name))
            for name, told in FURTHER.items()
        ]
        return [_row({"site": name}, clean, ablated) for name, clean, ablated in pairs]

    def beside_figure(self, total: SiteGrid) -> go.Figure:
        """A point for each head and MLP: across, what it writes in the clean run; up, how the
        logit difference changes where it is switched off (`total`, as a sweep's grid has it), below
        0 where it helps the answer. On the dashed line is what acts directly alone."""
        return beside_figure(
            self.clean.sites,
            total,
            titles=(
                "direct, clean run: logits towards the answer",
                "change of the logit difference, switched off",
            ),
            says=("writes", "switched off:"),
            line="direct alone",
            falls=True,
        )


@dataclass(frozen=True)
class SourceRun:
    """What a head writes of each token, [pos], in logits, positive for the answer; `pattern`: its
    attention to each, 0 to 1; `total`: the head's number, which the tokens' add up to."""

    direct: Float[np.ndarray, " pos"]
    pattern: Float[np.ndarray, " pos"]
    total: float


@dataclass(frozen=True)
class SourceAttribution:
    """A head's direct number by the token whose value it brought, clean and ablated.

    `pieces`: the tokens up to where answer and distractor part, and `texts`, what each adds. NaN in
    a run in which what the head gives was put in place, and not brought from a token. What it does
    not show: why the head looks there, nor how the token's value came to be what it is.
    """

    head: Head
    pieces: tuple[str, ...]
    texts: tuple[str, ...]
    clean: SourceRun
    ablated: SourceRun
    notes: tuple[str, ...]

    def figure(self) -> go.Figure:
        """Tokens across, a bar for each run; up is towards the answer."""
        runs = {"clean": self.clean.direct, "ablated": self.ablated.direct}
        tokens = [token_text(*one) for one in zip(self.texts, self.pieces, strict=True)]
        return sources_figure(self.head, tokens, runs)

    def table(self) -> Rows:
        """A row a token, with the attention it gets, 0 to 1, in both runs."""
        a, b = self.clean, self.ablated
        return [
            _row(
                {"position": i, "piece": piece, "text": self.texts[i]},
                float(a.direct[i]),
                float(b.direct[i]),
            )
            | {
                "clean_attention": float(a.pattern[i]),
                "ablated_attention": float(b.pattern[i]),
            }
            for i, piece in enumerate(self.pieces)
        ]


@dataclass(frozen=True)
class NeuronRun:
    """What each neuron of an MLP writes, [d_mlp], in logits, positive for the answer; `post`: its
    activation; `bias`: what the MLP adds beside its neurons, by its output bias and that of a norm
    behind it; `total`: the MLP's number, which all of these add up to."""

    direct: Float[np.ndarray, " d_mlp"]
    post: Float[np.ndarray, " d_mlp"]
    bias: float
    total: float


@dataclass(frozen=True)
class NeuronAttribution:
    """An MLP's direct number by neuron, clean and ablated: activation × what its output weights
    write. NaN in a run in which what the MLP gives was put in place."""

    mlp: MLP
    clean: NeuronRun
    ablated: NeuronRun
    notes: tuple[str, ...]

    def table(self, run: str = "clean", most: int | None = None) -> Rows:
        """A row a neuron, those first that write most, up or down, in a run or in the difference;
        `most`: so many of them. Raises: KeyError for another run."""
        a, b = self.clean, self.ablated
        by = {"clean": a.direct, "ablated": b.direct, "difference": b.direct - a.direct}[run]
        order = np.argsort(-np.abs(np.nan_to_num(by)), kind="stable")[:most]
        return [
            _row({"neuron": str(Neuron(self.mlp.layer, i))}, float(a.direct[i]), float(b.direct[i]))
            | {"clean_post": float(a.post[i]), "ablated_post": float(b.post[i])}
            for i in order.tolist()
        ]


def _row(named: dict[str, object], clean: float, ablated: float) -> dict[str, object]:
    return {**named, "clean": clean, "ablated": ablated, "change": ablated - clean}
