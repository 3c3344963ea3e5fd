"""Edges pruned backward from the logits, checked on matrices small enough for a pencil."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import engine
from engine.paths.receivers import LOGITS, inputs_of
from engine.showing.palette import ON_DARK, light
from tests.support.some import some
from tests.support.tiny_models import Tiny

NAN = float("nan")


def matrix(sites: str, effect: list[list[float]], clean: float = 10.0) -> engine.PathMatrix:
    members = engine.parse_sites(sites)
    inputs = (*(inputs_of(site) for site in members), (LOGITS,))
    return engine.PathMatrix(members, inputs, np.array(effect), clean)


def chain(first: float, second: float, third: float) -> engine.PathMatrix:
    """0.0 → m1 → 2.0 → logits, and next to nothing beside it."""
    return matrix(
        "0.0 m1 2.0",
        [[NAN, first, 0.01, 0.01], [NAN, NAN, second, 0.01], [NAN, NAN, NAN, third]],
    )


def names(found: engine.EdgeCircuit) -> list[str]:
    return [f"{edge.sender}>{edge.receivers[0]}" for edge in found.edges]


def test_a_chain_is_found_from_its_end() -> None:
    found = engine.prune_edges(chain(-1, 2, -3), 0.1)
    assert names(found) == ["2.0>logits", "m1>2.0.q", "0.0>m1"]
    assert [edge.share for edge in found.edges] == pytest.approx([-0.3, 0.2, -0.1])
    assert engine.print_sites(found.members) == "0.0 m1 2.0" and not found.dropped


def test_the_names_on_the_nodes_are_read_on_light_and_dark_pages() -> None:
    found = engine.prune_edges(chain(0.01, 2, -3), 0.1)
    circuit = engine.Circuit("chain", "m", "words", "0.0 m1 2.0", 3, 1)
    nodes = [trace for trace in found.figure(circuit).data if trace.mode == "markers+text"]
    assert [trace.text for trace in nodes] == [("2.0",), ("m1",), ("0.0",), ("logits",)]
    for trace in nodes:
        pair = (trace.marker.color, trace.textfont.color)
        for under, ink in (pair, tuple(ON_DARK.get(colour, colour) for colour in pair)):
            dark, bright = sorted((light(under), light(ink)))
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, (trace.text, under, ink)


def test_what_leads_only_to_what_is_dropped_is_dropped() -> None:
    found = engine.prune_edges(chain(-1, 0.1, -3), 0.1)
    assert names(found) == ["2.0>logits"]
    assert engine.print_sites(found.dropped) == "0.0 m1"
    assert not engine.prune_edges(chain(-1, 2, -3), 0.5).edges


def test_a_threshold_of_nothing_keeps_every_path_there_is() -> None:
    found = engine.prune_edges(chain(-1, 2, -3), 0.0)
    assert len(found.edges) == 6 and not found.dropped


def test_a_head_can_reach_the_mlp_of_its_own_layer() -> None:
    found = engine.prune_edges(matrix("1.0 m1", [[NAN, -2, 0.0], [NAN, NAN, -3]]), 0.1)
    assert names(found) == ["m1>logits", "1.0>m1"]


def test_the_edges_of_a_model_lead_to_the_logits_and_a_circuit_loses_what_is_dropped(
    tiny: Tiny,
) -> None:
    directory = str(tiny("gpt2"))
    e = engine.Experiment(
        directory, "t1 t5 t9 t2 t7", "t4 t8 t3 t11 t6", "t3", "t4", method="resample"
    )
    if some(engine.next_token(e).clean_logit_diff) < 0:
        e = engine.Experiment(**{**vars(e), "answer": "t4", "distractor": "t3"})
    found = engine.path_matrix(e, "0.1 0.2 m0 1.2 m1 2.0 m2", split=True)
    pruned = engine.prune_edges(found, 0.05)
    columns = [" ".join(map(str, each)) for each in found.inputs]
    for edge in pruned.edges:
        i = found.senders.index(edge.sender)
        j = columns.index(" ".join(map(str, edge.receivers)))
        assert edge.effect == found.effect[i, j] and abs(edge.share) >= 0.05
    leads_on = {edge.sender for edge in pruned.edges}
    assert leads_on == set(pruned.members)
    circuit = engine.Circuit("mine", directory, "words", found.senders, 3, 4)
    assert set(pruned.within(circuit).sites) == leads_on
    assert pruned.within(circuit).threshold == 0.05
    with pytest.raises(engine.SiteError, match=r"0\.1 is not in “other”"):
        pruned.within(engine.Circuit("other", directory, "words", (), 3, 4))


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: engine.prune_edges(chain(1, 1, 1), -0.1), "threshold is a share"),
        (lambda: engine.prune_edges(chain(1, 1, 1), NAN), "threshold is a share"),
        (lambda: engine.prune_edges(matrix("0.0", [[NAN, 1]], -2.0)), "is -2.00 with nothing"),
        (
            lambda: engine.prune_edges(matrix("0.0-40", [[NAN] * 42] * 41)),
            "41 members; at most 40",
        ),
    ],
)
def test_what_cannot_be_pruned_is_told(ask: Any, told: str) -> None:
    with pytest.raises(engine.EngineError, match=told):
        ask()
