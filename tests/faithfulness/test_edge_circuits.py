"""Circuits of edges and of nodes equal plain hooks on the Hugging Face model, and each other."""

from __future__ import annotations

import functools
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import engine
from engine.faithfulness.wiring import wiring_of
from engine.registry import load
from tests.gradients.test_by_hand import node_of, receiver_of
from tests.support.circuit_reference import CircuitReference
from tests.support.tiny_models import HYBRIDS, LATE, SCALED, SINKS, Tiny

PAIRS = (
    engine.Pair("t1 t5 t9 t2 t7", "t4 t8 t3 t11 t6", "t3", "t4"),
    engine.Pair("t2 t6 t9 t1 t3", "t4 t7 t3 t12 t6", "t3", "t4"),
    engine.Pair("t1 t5 t9", "t4 t8 t3", "t3", "t4"),
)
TASK = engine.Task("random", PAIRS)
FAMILIES = ("gpt2", "llama", "gpt_neox", "gptj", "gemma2", "olmo2", "qwen3", "mixtral", "opt",
            "phi")  # fmt: skip


@functools.cache
def reference(directory: Path) -> CircuitReference:
    return CircuitReference(directory)


def circuit(directory: Path, level: str, members: set[str], every: list[str]) -> engine.Ranked:
    scores = {name: float(name in members) for name in every}
    return engine.Ranked("some", str(directory), level, scores)


def of(curve: engine.FaithfulnessCurve) -> np.ndarray:
    return curve.circuits[0]


def hooks(directory: Path, left_out: Any) -> np.ndarray:
    diffs = []
    for pair in PAIRS:
        clean, other = (
            engine.tokenize(str(directory), text).ids for text in (pair.prompt, pair.corrupted)
        )
        logits = reference(directory).circuit(clean, other, left_out)[-1]
        diffs.append(float(logits[6] - logits[7]))  # t3 and t4, behind three special tokens
    return np.array(diffs)


@pytest.mark.parametrize("kind", FAMILIES)
def test_random_circuits_equal_plain_hooks(kind: str, tiny: Tiny) -> None:
    directory = tiny(kind)
    wiring = wiring_of(load(str(directory)), "edges")
    every, shared = list(wiring.edges), wiring.n_shared
    for share in (0.5, 0.85):
        rng = Random(f"{kind}{share}")
        kept = set(rng.sample(every, int(share * len(every))))
        curve = engine.faithfulness_curve(circuit(directory, "edges", kept, every), TASK)
        pairs = {
            (node_of(wiring.graph.senders[i]), receiver_of(wiring.graph.receivers[j], shared))
            for name, (i, j) in wiring.edges.items()
            if name in kept
        }
        expected = hooks(directory, lambda u, v, pairs=pairs: (u, v) not in pairs)
        np.testing.assert_allclose(of(curve), expected, atol=2e-4)
        assert np.abs(of(curve) - curve.clean).max() > 1e-2  # it is another run
    clean, corrupted = (hooks(directory, lambda *_, all=all: all) for all in (False, True))
    np.testing.assert_allclose(curve.clean, clean, atol=1e-4)
    np.testing.assert_allclose(curve.corrupted, corrupted, atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gptj", "gemma2"])
def test_a_circuit_of_nodes_is_that_of_all_edges_from_them(kind: str, tiny: Tiny) -> None:
    directory = tiny(kind)
    wiring = wiring_of(load(str(directory)), "edges")
    nodes, rng = list(wiring.index), Random(kind)
    for n in (0, 4, 9, len(nodes)):
        kept = set(rng.sample(nodes, n))
        edges = {name for name in wiring.edges if name.partition("->")[0] in kept}
        by_nodes = circuit(directory, "nodes", kept, nodes)
        by_edges = circuit(directory, "edges", edges, list(wiring.edges))
        one, other = (engine.faithfulness_curve(c, TASK, controls=2) for c in (by_nodes, by_edges))
        np.testing.assert_allclose(of(one), of(other), atol=5e-5)
        assert one.n_edges == other.n_edges
        if n in (0, len(nodes)):
            end = one.clean if n else one.corrupted
            np.testing.assert_allclose(of(one), end, atol=1e-5)


def test_a_circuit_of_nodes_is_what_keep_by_resample_leaves(tiny: Tiny) -> None:
    directory = tiny("gpt2")
    kept = "0.1 1.0 2.3 m0 m2"
    made = engine.Circuit("one", str(directory), "x", kept, 3, 4, method="resample")
    curve = engine.faithfulness_curve(engine.rank_members(made), TASK)
    e = engine.Experiment(str(directory), ablations=made.kept, method="resample")
    scored = engine.score_task(str(directory), TASK, e)
    assert scored.ablated is not None
    np.testing.assert_allclose(of(curve), scored.ablated.logit_diff, atol=1e-5)


@pytest.mark.parametrize("kind", [*LATE, *SCALED, *HYBRIDS, *SINKS, "stablelm", "falcon"])
def test_where_edges_cannot_be_run_it_is_said_and_else_the_ends_hold(kind: str, tiny: Tiny) -> None:
    directory = tiny(kind)
    model = load(str(directory))
    try:
        every = list(wiring_of(model, "edges").edges)
        ranking = engine.Ranked("r", str(directory), "edges", {every[0]: 1.0, every[1]: 0.5})
        curve = engine.faithfulness_curve(ranking, TASK, controls=1)
    except engine.EngineError as wrong:
        assert "Circuits of nodes can be had." in str(wrong) or kind == "deepseek_v3"
        assert kind in (*HYBRIDS, "deepseek_v3"), wrong
    else:
        assert curve.faithfulness[-1] == pytest.approx(1) and kind not in HYBRIDS
    nodes = engine.Ranked("r", str(directory), "nodes", {str(s): 1.5 for s in model.shape.heads})
    assert engine.faithfulness_curve(nodes, TASK, controls=1).faithfulness[-1] == pytest.approx(1)


def test_pruning_changes_no_number(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tiny("llama")
    wiring = wiring_of(load(str(directory)), "edges")
    every = list(wiring.edges)
    kept = set(Random(0).sample(every, len(every) // 3))
    asked = circuit(directory, "edges", kept, every)
    pruned = engine.faithfulness_curve(asked, TASK, controls=0)
    assert 0 < pruned.n_edges[0] < pruned.sizes[0]
    monkeypatch.setattr(type(wiring), "pruned", lambda self, kept: kept & self.is_edge)
    whole = engine.faithfulness_curve(asked, TASK, controls=0)
    assert whole.n_edges == whole.sizes
    np.testing.assert_allclose(of(whole), of(pruned), atol=1e-5)
