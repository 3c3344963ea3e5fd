"""What a search knows so far, as arrays and as the circuit that is left, and its snapshots."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from ..circuits.circuit import Circuit
from ..circuits.results import Evaluation
from ..experiment.sites import MLP, Head, Shape, Site
from .results import Discovery
from .search import BY_GRADIENTS, STRATEGIES, Node, Search
from .strategies import Account


class SearchArrays:
    """The score without each node when it was last tried, and how fast that goes."""

    def __init__(
        self,
        shape: Shape,
        search: Search,
        nodes: Sequence[Node],
        positions: tuple[int, ...] | None,
        references: tuple[str, ...],
        notes: tuple[str, ...],
        numbers: tuple[float, ...] = (),
    ) -> None:
        """`numbers`: by which the nodes are ranked, where they are."""
        self.shape, self.search, self.nodes = shape, search, nodes
        self.positions, self.references, self.notes = positions, references, notes
        self.ranked = tuple(zip(nodes, numbers, strict=True)) if numbers else ()
        places = () if positions is None else (len(positions),)
        self.heads = np.full((*places, shape.n_layers, shape.n_heads), np.nan)
        self.mlps = np.full((*places, shape.n_layers), np.nan)
        self._seen, self._walk, self._walk_from = 0, 0, 0.0
        self._began = self._walk_began = time.monotonic()

    def snapshot(
        self,
        account: Account,
        *,
        notes: tuple[str, ...] = (),
        done: bool = False,
        evaluation: Evaluation | None = None,
        fresh: bool = False,
        unevaluated: str = "",
    ) -> Discovery:
        """All that is known by now; `notes` of the moment come behind those of the search."""
        self._follow(account)
        kept = tuple(node for node in self.nodes if node not in account.removed)
        stays_heads, stays_mlps = (np.full(x.shape, True) for x in (self.heads, self.mlps))
        stays_heads[..., list(self.shape.without_heads), :] = False
        stays_mlps[..., list(self.shape.without_mlp)] = False
        for node in account.removed:
            self._array(node, stays_heads, stays_mlps)[self._at(node)] = False
        share = account.share
        own, spent = share - self._walk_from, time.monotonic() - self._walk_began
        return Discovery(
            search=self.search,
            circuit=self._circuit(account, kept),
            nodes=kept,
            clean=account.clean,
            kept=account.kept,
            heads=self.heads.copy(),
            mlps=self.mlps.copy(),
            heads_kept=stays_heads,
            mlps_kept=stays_mlps,
            positions=self.positions,
            trials=tuple(account.trials),
            ranked=self.ranked,
            walk=account.walk,
            direction=account.direction,
            progress=1.0 if done else share,
            seconds=time.monotonic() - self._began,
            seconds_left=0.0 if done else spent * (1 - share) / own if own else None,
            done=done,
            references=self.references,
            notes=(*self.notes, *notes),
            evaluation=evaluation,
            fresh=fresh,
            unevaluated=unevaluated,
        )

    def _follow(self, account: Account) -> None:
        if account.walk != self._walk:
            self._walk, self._walk_began = account.walk, time.monotonic()
            self._walk_from = account.share  # of a search gone on with, what was done before
        for trial in account.trials[self._seen :]:
            if trial.left is not None:
                continue
            self._array(trial.node, self.heads, self.mlps)[self._at(trial.node)] = trial.score
        self._seen = len(account.trials)

    def _array(self, node: Node, heads: np.ndarray, mlps: np.ndarray) -> np.ndarray:
        return mlps if isinstance(node.site, MLP) else heads

    def _at(self, node: Node) -> tuple[int, ...]:
        site = node.site
        own = (site.layer, site.head) if isinstance(site, Head) else (site.layer,)
        if self.positions is None or node.position is None:
            return own
        return (self.positions.index(node.position), *own)

    def _circuit(self, account: Account, kept: Sequence[Node]) -> Circuit:
        search = self.search
        sites: dict[Site, None] = dict.fromkeys(node.site for node in kept)
        unit = "nats of divergence" if search.metric == "kl" else f"of the {search.metric} lost"
        limit = f"{search.threshold:g}" if search.metric == "kl" else f"{search.threshold:.0%}"
        note = f"{STRATEGIES[search.by].partition(':')[0]}: at most {limit} {unit}"
        if search.by == "pruning":
            note += f", {search.direction} first"
        if search.by in BY_GRADIENTS and search.steps != Search.steps:
            note += f", {search.steps} steps"
        if search.per_position:
            note += (
                f"; position by position: of {len(self.nodes)} heads and MLPs at one position "
                f"{len(kept)} are kept, here every site that is kept anywhere"
            )
        return Circuit(
            name=f"{search.task.name}, {search.by}",
            model=search.model,
            task=search.task.name,
            sites=tuple(sites),
            n_layers=self.shape.n_layers,
            n_heads=self.shape.n_heads,
            without_heads=self.shape.without_heads,
            without_mlp=self.shape.without_mlp,
            all_mlps=not search.mlps,
            method=search.method,
            note=f"{note}.",
            threshold=search.threshold,
            score=account.kept,
            n=len(search.task.pairs),
            seed=search.task.seed,
            references=self.references if search.method.kind.takes == "references" else (),
        )
