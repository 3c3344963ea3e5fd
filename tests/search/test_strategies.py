"""What a search's account tells of its walk, by the costs of its trials."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

import engine
from engine.search.search import Node
from engine.search.strategies import Account, strategy

N_LAYERS = 4
NODES = [Node(engine.Head(layer, 0)) for layer in range(N_LAYERS)]


@pytest.mark.parametrize("direction", ["backward", "forward"])
def test_a_walk_is_as_far_as_what_its_trials_cost(direction: str) -> None:
    """That of a node is the layers from its own to the last, which run anew."""
    pair = engine.Pair("a b", "b a", " c", " d")
    search = engine.Search("any", engine.Task("any", (pair,)), direction=direction, threshold=0.2)
    account = Account(search, 1.0, 1.0)
    asking, shares = strategy(account, NODES), []
    next(asking)
    for _ in NODES:
        shares.append(account.share)
        if len(shares) < N_LAYERS:
            asking.send([0.0])  # so that it may not go
    costs = [N_LAYERS - node.site.layer for node in NODES]
    if direction == "backward":
        costs.reverse()
    grown = [round(10 * (later - share)) for share, later in pairwise([*shares, 1.0])]
    assert shares[0] == 0 and grown == costs and sum(costs) == 10


def kept_of(loss: Callable[[int], float], n_nodes: int) -> tuple[int, list[int]]:
    """How many nodes are kept, and which numbers were tried, where so many left lose so much."""
    nodes = [Node(engine.Head(layer, 0)) for layer in range(n_nodes)]
    pair = engine.Pair("a b", "b a", " c", " d")
    task = engine.Task("any", (pair,))
    account = Account(engine.Search("any", task, by="nap-ig", threshold=0.2), 1.0, 1.0)
    asking, left = strategy(account, nodes), list[int]()
    try:
        ask = next(asking)
        while True:
            assert 0.0 <= account.share < 1.0
            left.append(n_nodes - len(ask.removed) - 1)
            assert {*ask.removed, *ask.nodes} == {*nodes[: n_nodes - left[-1]]}
            ask = asking.send([1 - loss(left[-1])])
    except StopIteration:
        assert account.removed == {*nodes[: len(account.removed)]}
        return n_nodes - len(account.removed), left


@pytest.mark.parametrize("needed", [0, 1, 2, 7, 40, 99, 100])
def test_where_the_loss_only_grows_halving_finds_the_fewest(needed: int) -> None:
    kept, tried = kept_of(lambda left: float(left < needed), 100)
    assert kept == needed and len(tried) == len({*tried}) <= 7 + 4


def test_where_the_loss_falls_again_close_by_fewer_are_kept() -> None:
    assert kept_of(lambda left: float(left < 40 and left not in (37, 34)), 100)[0] == 34
    assert kept_of(lambda left: float(left < 40 and left != 30), 100)[0] == 40  # too far to be seen
    assert kept_of(lambda left: float(left < 1), 1)[0] == 1
    assert kept_of(lambda left: 0.0, 0) == (0, [])
