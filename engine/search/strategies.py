"""What a search tries next: strategies that ask for scores and decide by them.

A strategy is a generator: it yields what it wants to know (`Ask`) and is sent the scores. It knows
nothing of how they are found, so the scores of a saved search can be told to it again, and it goes
on where that search ended.

Iterative pruning is that of Lan, Torr & Barez 2023 (“Towards Interpretable Sequence Continuation”):
from the whole model, node by node from the last layer to the first, then from the first to the
last, a node goes where the score without it (and all that has gone) stays within the threshold,
until a walk changes nothing. What none of the strategies shows: that the circuit is the smallest,
or the only one.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby

from .search import DIRECTIONS, Node, Search, Trial


@dataclass(frozen=True)
class Ask:
    """The scores wanted: with all of `removed` and one of `nodes` ablated, for each of these. As
    many of them as are known may be sent, in order, and at least one."""

    removed: frozenset[Node]
    nodes: tuple[Node, ...]


Strategy = Generator[Ask, Sequence[float], None]


@dataclass
class Account:
    """What a search has tried and removed. `clean`: the whole model's score; `kept`: that of what
    is left; `walk` and `direction`: which walk over the nodes is under way; `costs`: what it will
    have cost behind each of its nodes, of which `n_tried` are done."""

    search: Search
    clean: float
    kept: float
    trials: list[Trial] = field(default_factory=list)
    removed: frozenset[Node] = frozenset()
    walk: int = 0
    direction: str = ""
    costs: tuple[int, ...] = ()
    n_tried: int = 0

    def begin(self, direction: str, nodes: Sequence[Node], n_layers: int) -> None:
        """A walk over these nodes begins. A trial costs the layers from its node's to the last."""
        self.walk += 1
        self.direction, self.n_tried = direction, 0
        self.costs = tuple(accumulate(n_layers - node.site.layer for node in nodes))

    @property
    def share(self) -> float:
        """How much of the walk is done, 0 to 1, by what its trials cost."""
        return self.costs[self.n_tried - 1] / self.costs[-1] if self.n_tried else 0.0

    def tried(self, node: Node, score: float) -> None:
        """Note a node's score."""
        self.trials.append(Trial(node, score, removed=False))
        self.n_tried += 1

    def goes(self, node: Node, score: float) -> bool:
        """Remove a node where the score without it stays within the threshold."""
        if not self.search.loss(score, self.clean) < self.search.threshold:
            return False
        at = max(i for i, trial in enumerate(self.trials) if trial.node == node)
        self.trials[at] = Trial(node, score, removed=True)
        self.removed |= {node}
        self.kept = score
        return True


def strategy(account: Account, nodes: Sequence[Node], ahead: int = 1) -> Strategy:
    """The strategy a search asks for. `nodes`: in the order of the layers, heads before the MLP, or
    for `gradient` the least first. `ahead`: how many nodes of a layer may be asked about at once;
    what is asked in vain, because one before it went, is asked again."""
    n_layers = 1 + max((node.site.layer for node in nodes), default=0)
    match account.search.by:
        case "gradient":
            return _ranked(account, nodes, n_layers)
        case "greedy":
            return _greedy(account, nodes, n_layers)
    return _pruning(account, nodes, n_layers, ahead)


def _pruning(account: Account, nodes: Sequence[Node], n_layers: int, ahead: int) -> Strategy:
    first = DIRECTIONS.index(account.search.direction)
    while True:
        direction = DIRECTIONS[(first + account.walk) % 2]
        left = [node for node in nodes if node not in account.removed]
        left.sort(key=lambda node: node.site.layer, reverse=direction == "backward")
        account.begin(direction, left, n_layers)
        before = account.removed
        for _, here in groupby(left, lambda node: node.site.layer):
            yield from _one_by_one(account, [*here], ahead)
        if account.removed == before:
            return


def _one_by_one(account: Account, nodes: Sequence[Node], ahead: int) -> Strategy:
    done, wide = 0, 1
    while done < len(nodes):
        some = nodes[done : done + wide]
        went = False
        for node, score in zip(some, (yield Ask(account.removed, tuple(some))), strict=False):
            account.tried(node, score)
            done += 1
            went = account.goes(node, score)
            if went:
                break
        wide = 1 if went else min(2 * wide, ahead)


def _ranked(account: Account, nodes: Sequence[Node], n_layers: int) -> Strategy:
    account.begin("least estimated effect first", nodes, n_layers)
    yield from _one_by_one(account, nodes, 1)


def _greedy(account: Account, nodes: Sequence[Node], n_layers: int) -> Strategy:
    """Of equally cheap nodes the first in the order given goes."""
    left = list(nodes)
    while left:
        account.begin("least loss first", left, n_layers)
        scores: list[float] = []
        while len(scores) < len(left):
            for score in (yield Ask(account.removed, tuple(left[len(scores) :]))):
                account.tried(left[len(scores)], score)
                scores.append(score)
        losses = [account.search.loss(score, account.clean) for score in scores]
        best = losses.index(min(losses))
        if not account.goes(left.pop(best), scores[best]):
            return
