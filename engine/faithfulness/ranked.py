"""Nodes or edges of a model by how much they are said to matter: what is cut into circuits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np

from ..circuits.circuit import Circuit
from ..errors import ExperimentError
from ..experiment.parsed import Parsed, field
from ..experiment.sites import MLP, Head, Site, parse_sites
from ..gradients.edge_results import EMBEDDING, EdgeAttribution
from ..gradients.results import NodeAttribution
from ..search.results import Discovery
from ..showing.site_grid import Sided, SiteGrid
from ..sweeps.estimates import mean_of
from ..sweeps.results import SweepResult

LEVELS = {"nodes": "heads and MLPs", "edges": "edges"}
ORDERS = {
    "magnitude": "the greatest scores, up or down, first",
    "signed": "what helps the answer most first, what hurts it last",
}
"""Which of a ranking's scores come first. MIB's CMD is by magnitude, its CPR by signed scores."""
Named = tuple[tuple[str, float], ...]
Scored = NodeAttribution | EdgeAttribution | SweepResult | Discovery | Circuit


@dataclass(frozen=True)
class Ranked:
    """A score for each node or edge of a model, positive where it helps the answer.

    `name`: who scored. `level`: "nodes", written `r0` (all that enters layer 0), `9.1`, `m9`, or
    "edges", written `9.1->10.0.q`, `r0->m3`, `m2->logits`; of shared keys and values one edge, as
    into the first head that reads them. `scores`: of each by name, in any unit. A node without one
    is in every circuit, an edge without one counts as 0, as in MIB.
    What it does not show: how good the scores are, of which the curve tells something; and several
    members that only matter together.
    Raises: ExperimentError for a field that cannot be used.
    """

    name: str
    model: str
    level: str
    scores: Parsed[Named, Any] = field()

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ExperimentError(f"What is ranked are nodes or edges, not “{self.level!s:.40}”.")
        given = self.scores.items() if isinstance(self.scores, dict) else self.scores
        try:
            scores = tuple((str(name), float(score)) for name, score in given)
        except (TypeError, ValueError) as wrong:
            raise ExperimentError("Scores are given by name, as in {'9.1': 0.3}.") from wrong
        bad = next((name for name, score in scores if not isfinite(score)), None)
        if bad is not None:
            raise ExperimentError(f"The score of {bad:.60} is no finite number: leave it out.")
        if not scores:
            raise ExperimentError(f"“{self.name[:60]}” has a score for nothing.")
        if len(dict(scores)) < len(scores):
            raise ExperimentError(f"“{self.name[:60]}” scores something twice.")
        object.__setattr__(self, "scores", scores)

    @property
    def is_circuit(self) -> bool:
        """Whether scores are but 0 and 1: then there is one circuit in it, of what scores 1, and
        no order beyond that."""
        return {score for _, score in self.scores} <= {0.0, 1.0}

    def order(self, by: str = "magnitude") -> tuple[str, ...]:
        """Names, what comes first first; equal scores in the order in which they are given.

        Raises: ExperimentError for no order there is.
        """
        if by not in ORDERS:
            raise ExperimentError(f"Scores are ordered by {', '.join(ORDERS)}, not “{by!s:.40}”.")
        values = np.array([score for _, score in self.scores])
        keys = -np.abs(values) if by == "magnitude" else -values
        return tuple(self.scores[i][0] for i in np.argsort(keys, kind="stable").tolist())

    def grid(self, model: Sided) -> SiteGrid:
        """The score of each head and MLP of a model; of edges, those from it added up. Blue: it
        helps the answer."""
        values: dict[Site, float] = {}
        for name, score in self.scores:
            (site,) = parse_sites(name.partition("->")[0])
            if site != EMBEDDING:
                values[site] = values.get(site, 0.0) + score
        return SiteGrid.of(model, values, f"score by {self.name}", signed=True)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values; `scores` in their order, each with its name."""
        return {"name": self.name, "model": self.model, "level": self.level,
                "scores": [list(one) for one in self.scores]}  # fmt: skip

    @staticmethod
    def from_dict(plain: Any) -> Ranked:
        """The inverse of `to_dict`. Raises: ExperimentError for what is none."""
        if not isinstance(plain, dict) or set(plain) != {"name", "model", "level", "scores"}:
            raise ExperimentError("A ranking has a name, a model, a level and scores.")
        return Ranked(**plain)

    def to_python(self) -> str:
        """The Python that makes this ranking, for `import engine`."""
        return f"engine.Ranked(**{self.to_dict()!r})"


def rank_members(of: Scored, name: str = "") -> Ranked:
    """What was scored, as a ranking: gradients between two runs, a sweep's changes, a search, or a
    circuit, whose members score 1.

    Of a search what went first scores least, and of what is left by then what cost least when it
    was last tried. `name`: by itself how it was scored.
    Raises: ExperimentError where nothing is scored yet, and for a search position by position.
    """
    match of:
        case NodeAttribution():
            scores = [("r0", -float(mean_of(of.embedding))), *_negated(of.grid())]
            return _named(name or "NAP-IG", of.experiment.model, "nodes", scores)
        case EdgeAttribution():
            return _named(name or "EAP-IG", of.experiment.model, "edges", _edges(of))
        case SweepResult():
            given = f"sweep by {of.experiment.method}"
            return _named(name or given, of.experiment.model, "nodes",
                          _negated(of.grid(of.metric, "change")))  # fmt: skip
        case Discovery():
            return _named(name or f"search by {of.search.by}", of.search.model, "nodes",
                          _searched(of))  # fmt: skip
        case Circuit():
            members = set(of.sites)
            scores = [(str(s), float(s in members)) for s in _every(of, not of.all_mlps)]
            return _named(name or of.name, of.model, "nodes", scores)
    raise ExperimentError(
        f"A ranking is made of an attribution by gradients, a sweep, a search or a circuit, not of "
        f"{of!r:.60}."
    )


def edge_name(sender: object, receiver: object) -> str:
    """How an edge is written."""
    return f"{sender}->{receiver}"


def _named(
    name: str, model: str, level: Literal["nodes", "edges"], scores: list[tuple[str, float]]
) -> Ranked:
    known = tuple((of, score) for of, score in scores if isfinite(score))
    if not known:
        raise ExperimentError(f"“{name[:60]}” has scored nothing yet.")
    return Ranked(name, model, level, known)


def _negated(grid: SiteGrid) -> list[tuple[str, float]]:
    """Changes of the metric, of which those below 0 are of what helps the answer."""
    return [(str(site), -grid[site]) for site in grid.sites]


def _edges(of: EdgeAttribution) -> list[tuple[str, float]]:
    rows, columns = np.nonzero(np.isfinite(of.score))
    return [
        (edge_name(of.senders[i], of.receivers[j]), -float(of.score[i, j]))
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def _searched(of: Discovery) -> list[tuple[str, float]]:
    if of.positions is not None:
        raise ExperimentError(
            "This search was made position by position, and a circuit's nodes are kept at every "
            "token: its order is that of no such nodes."
        )
    gone = [str(trial.node) for trial in of.trials if trial.removed]
    cost = of.grid()
    left = [site for site in _every(of.circuit, of.search.mlps) if str(site) not in set(gone)]
    costs = {site: -np.inf if np.isnan(cost[site]) else cost[site] for site in left}
    named = [*gone, *(str(site) for site in sorted(left, key=costs.__getitem__))]
    return [(one, float(place)) for place, one in enumerate(named, 1)]


def _every(of: Circuit, mlps: bool) -> Iterator[Site]:
    """Every head and, where they are asked about, every MLP of a circuit's model."""
    for layer in range(of.n_layers):
        if layer not in of.without_heads:
            yield from (Head(layer, head) for head in range(of.n_heads))
        if mlps and layer not in of.without_mlp:
            yield MLP(layer)
