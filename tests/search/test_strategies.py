"""What a search's account tells of its walk, by the costs of its trials."""

from __future__ import annotations

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
