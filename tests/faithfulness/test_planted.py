"""Circuits planted by hand are found by every way of ranking, and are what their curves keep."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import engine
from tests.faithfulness.planted import PLANTED, Planted


@pytest.fixture(scope="module", params=PLANTED)
def planted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return PLANTED[request.param](tmp_path_factory.mktemp(request.param))


@functools.cache
def rankings(planted: Planted) -> dict[str, engine.Ranked]:
    e = engine.Experiment(planted.directory, method="resample")
    pairs = planted.task.pairs
    found = engine.discover(planted.task, planted.directory, controls=0)
    return {
        "NAP-IG": engine.rank_members(engine.node_attribution(e, pairs)),
        "EAP-IG": engine.rank_members(engine.edge_attribution(e, pairs)),
        "sweep": engine.rank_members(engine.sweep(e, pairs)),
        "pruning": engine.rank_members(found),
        "its circuit": engine.rank_members(found.circuit),
    }


def test_the_models_do_what_they_are_made_to_do(planted: Planted) -> None:
    assert (engine.score_task(planted.directory, planted.task).clean.logit_diff > 1).all()


@pytest.mark.parametrize("by", ["NAP-IG", "sweep", "pruning", "its circuit"])
def test_every_way_of_ranking_nodes_finds_the_planted_ones(planted: Planted, by: str) -> None:
    ranking = rankings(planted)[by]
    known = planted.nodes | ({"r0"} if by == "NAP-IG" else set())
    assert engine.auroc(ranking, known) >= 0.95
    assert engine.auroc(ranking, known, "signed") >= 0.95


def test_edges_by_gradients_are_the_planted_ones(planted: Planted) -> None:
    ranking = rankings(planted)["EAP-IG"]
    assert engine.auroc(ranking, planted.edges) >= 0.95
    assert set(ranking.order()[:3]) == planted.edges


def test_the_planted_circuits_keep_the_answer_and_random_ones_do_not(planted: Planted) -> None:
    edges = rankings(planted)["EAP-IG"]
    of = {name: float(name in planted.edges) for name, _ in edges.scores}
    circuit = engine.Ranked("planted", planted.directory, "edges", of)
    point = engine.faithfulness_curve(circuit, planted.task)
    assert 0.8 < point.faithfulness[0] < 1.1
    assert np.abs(point.control_faithfulness).max() < 0.05
    curve = engine.faithfulness_curve(edges, planted.task)
    assert curve.cmd() < 0.05 < 0.5 < np.median(curve.control_areas("cmd"))
    nodes = engine.faithfulness_curve(rankings(planted)["NAP-IG"], planted.task)
    assert nodes.cmd() < 0.25 < 0.5 < np.median(nodes.control_areas("cmd"))
