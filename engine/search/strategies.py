"""What a search tries next: strategies that ask for scores and decide by them.

A strategy is a generator: it yields what it wants to know (`Ask`) and is sent the scores. It knows
nothing of how they are found, so the scores of a saved search can be told to it again, and it goes
on where that search ended.

Iterative pruning is that of Lan, Torr & Barez 2023 (“Towards Interpretable Sequence Continuation”):
from the whole model, node by node from the last layer to the first, then from the first to the
last, a node goes where the score without it (and all that has gone) stays within the threshold,
until a walk changes nothing. Nodes ranked by integrated gradients (Hanna, Pezzelle & Belinkov 2024)
are not tried alone: how many of the first are needed is found by halving, as if the loss could only
grow as more go. It need not, so the next smaller numbers are tried as well; a circuit much smaller
can still be passed over. What none of the strategies shows: that the circuit is the smallest,
or the only one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, groupby

from .search import BY_GRADIENTS, DIRECTIONS, Node, Search, Trial

_BEYOND = 4
"""How many numbers smaller than the one found by halving are tried too."""


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
    have cost behind each of its trials, of which `n_tried` are done."""

    search: Search
    clean: float
    kept: float
    trials: list[Trial] = field(default_factory=list)
    removed: frozenset[Node] = frozenset()
    walk: int = 0
    direction: str = ""
    costs: tuple[int, ...] = ()
    n_tried: int = 0

    def begin(self, direction: str, costs: Iterable[int]) -> None:
        """A walk begins whose trials cost so much each, and which has no more of them."""
        self.walk += 1
        self.direction, self.n_tried = direction, 0
        self.costs = tuple(accumulate(costs))

    @property
    def share(self) -> float:
        """How much of the walk is done, 0 to 1, by what its trials cost."""
        return self.costs[self.n_tried - 1] / self.costs[-1] if self.n_tried else 0.0

    def tried(self, node: Node, score: float, left: int | None = None) -> None:
        """Note a node's score."""
        self.trials.append(Trial(node, score, removed=False, left=left))
        self.n_tried += 1

    def goes(self, node: Node, score: float, others: Sequence[Node] = ()) -> bool:
        """Remove a node, and those that were tried with it, where the score without stays within
        the threshold."""
        if not self.search.loss(score, self.clean) < self.search.threshold:
            return False
        at = max(i for i, trial in enumerate(self.trials) if trial.node == node)
        self.trials[at] = replace(self.trials[at], removed=True)
        self.removed |= {node, *others}
        self.kept = score
        return True


def strategy(account: Account, nodes: Sequence[Node], ahead: int = 1) -> Strategy:
    """The strategy a search asks for. `nodes`: in the order of the layers, heads before the MLP, or
    for those that rank them the least first. `ahead`: how many nodes of a layer may be asked about
    at once; what is asked in vain, because one before it went, is asked again."""
    n_layers = 1 + max((node.site.layer for node in nodes), default=0)
    match account.search.by:
        case "gradient":
            return _ranked(account, nodes, n_layers)
        case "greedy":
            return _greedy(account, nodes, n_layers)
        case by if by in BY_GRADIENTS:
            return _fewest(account, nodes)
    return _pruning(account, nodes, n_layers, ahead)


def _costs(nodes: Iterable[Node], n_layers: int) -> Iterable[int]:
    """A trial of a node costs the layers from its own to the last."""
    return (n_layers - node.site.layer for node in nodes)


def _pruning(account: Account, nodes: Sequence[Node], n_layers: int, ahead: int) -> Strategy:
    first = DIRECTIONS.index(account.search.direction)
    while True:
        direction = DIRECTIONS[(first + account.walk) % 2]
        left = [node for node in nodes if node not in account.removed]
        left.sort(key=lambda node: node.site.layer, reverse=direction == "backward")
        account.begin(direction, _costs(left, n_layers))
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
    account.begin("least estimated effect first", _costs(nodes, n_layers))
    yield from _one_by_one(account, nodes, 1)


def _greedy(account: Account, nodes: Sequence[Node], n_layers: int) -> Strategy:
    """Of equally cheap nodes the first in the order given goes."""
    left = list(nodes)
    while left:
        account.begin("least loss first", _costs(left, n_layers))
        scores: list[float] = []
        while len(scores) < len(left):
            for score in (yield Ask(account.removed, tuple(left[len(scores) :]))):
                account.tried(left[len(scores)], score)
                scores.append(score)
        losses = [account.search.loss(score, account.clean) for score in scores]
        best = losses.index(min(losses))
        if not account.goes(left.pop(best), scores[best]):
            return


def _fewest(account: Account, nodes: Sequence[Node]) -> Strategy:
    """Let as many of the first nodes go, all together, as can."""
    holds, fails = 0, len(nodes) + 1  # so many may go; so many may not
    account.begin("halving", [1] * len(nodes).bit_length())
    while fails - holds > 1:
        n = (holds + fails) // 2
        if (yield from _all_go(account, nodes, n)):
            holds = n
        else:
            fails = n
    known = {len(nodes) - trial.left for trial in account.trials if trial.left is not None}
    while True:
        further = [n for n in range(holds + 1, holds + 2 + _BEYOND) if n <= len(nodes)]
        further = [n for n in further if n not in known]
        if not further:
            return
        account.begin("fewer still", [1] * len(further))
        for n in further:
            known.add(n)
            if (yield from _all_go(account, nodes, n)):
                holds = n
                break
        else:
            return


def _all_go(
    account: Account, nodes: Sequence[Node], n: int
) -> Generator[Ask, Sequence[float], bool]:
    """Try the first n nodes together. Returns: whether they went."""
    *others, last = nodes[:n]
    (score,) = yield Ask(frozenset(others), (last,))
    account.tried(last, score, left=len(nodes) - n)
    return account.goes(last, score, others)
