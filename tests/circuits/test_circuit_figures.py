"""What is drawn of circuits is what was found: every number is the result's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import engine
from engine.paths.receivers import LOGITS, inputs_of, parse_receivers

LAYERS, HEADS = 3, 4
SHAPE = engine.Shape(LAYERS, HEADS, HEADS, 32, 8, 48, 64, 64)
NAN = float("nan")


def circuit(sites: str = "0.1 1.2 m0", name: str = "mine", **others: Any) -> engine.Circuit:
    return engine.Circuit(name, "m", "words", sites, LAYERS, HEADS, **others)


def filled(figure: Any, value: float) -> str:
    """The cells of a grid that have a value, as sites."""
    z = np.asarray(figure.data[0].z)
    sites = [
        engine.MLP(layer) if column == HEADS + 1 else engine.Head(layer, column)
        for layer, column in np.argwhere(z == value)
    ]
    heads = sorted(s for s in sites if isinstance(s, engine.Head))
    return engine.print_sites([*heads, *(s for s in sites if isinstance(s, engine.MLP))])


def scores(mean: float, n: int = 2) -> engine.PairScores:
    return engine.PairScores(np.full(n, mean), np.zeros(n), np.ones(n, np.int64))


def evaluation(controls: bool = True) -> engine.Evaluation:
    one = circuit()
    drawn = ((engine.Head(0, 0),), (engine.Head(0, 2),), (engine.Head(0, 3),))
    own = engine.Controls(
        drawn, np.array([1.0, 0.5, 3.5]), np.array([3.0, 3.5, 0.5]), 7, True, True
    )
    without = np.array([1.0, 3.5, 2.0])
    return engine.Evaluation(
        one, "words", "m", scores(4.0), scores(3.0), scores(1.0), scores(-1.0), one.sites, without,
        own if controls else None,
    )  # fmt: skip


def test_a_circuit_is_its_filled_cells() -> None:
    figure = circuit().figure()
    assert filled(figure, 1) == "0.1 1.2" and filled(figure, 2) == "m0"
    assert np.isnan(np.asarray(figure.data[0].z)[:, HEADS]).all()
    assert filled(circuit("0.1", all_mlps=True).figure(), 2) == "m0 m1 m2"
    assert "2 heads kept" in [trace.name for trace in figure.data]


def test_an_overlap_has_a_colour_for_each_part() -> None:
    found = engine.overlap(circuit("0.1 1.2 m0"), circuit("0.1 2.3 m0 m1", "other"))
    figure = found.figure()
    parts = [engine.print_sites(some) for some in (found.only_a, found.only_b, found.shared)]
    assert [filled(figure, i) for i in (1, 2, 3)] == parts == ["1.2", "2.3 m1", "0.1 m0"]
    assert [t.name for t in figure.data[1:]] == ["only “mine”: 1", "only “other”: 2", "both: 2"]
    heads = engine.overlap(circuit(), circuit("0.1", all_mlps=True)).figure()
    assert np.isnan(np.asarray(heads.data[0].z)[:, -1]).all()


def test_many_circuits_are_counted() -> None:
    some = [circuit("0.1 m0"), circuit("0.1 0.2"), circuit("0.1 m0 m2")]
    figure = engine.overlaps(some).sites_figure()
    assert (filled(figure, 3), filled(figure, 2), filled(figure, 1)) == ("0.1", "m0", "0.2 m2")
    with pytest.raises(engine.EngineError, match="two circuits"):
        engine.overlaps([])


def test_the_matrix_has_every_two_circuits_once_with_their_chance() -> None:
    circuits = [circuit("0.1 0.2 m0", "a"), circuit("0.1 m0", "b"), circuit("2.1 m0", "c")]
    found = engine.overlaps(circuits)
    drawn = found.figure().data[0]
    z = np.asarray(drawn.z)
    by_name = {(one.a.name, one.b.name): one for one in found}
    for (row, column), pair in {(0, 0): "ab", (1, 0): "ac", (1, 1): "bc"}.items():
        one = by_name[pair[0], pair[1]]
        assert z[row, column] == one.jaccard
        assert f"chance {one.chance:.2f}" in drawn.text[row][column]
    assert np.isnan(z[0, 1])
    rows = found.table()
    assert [(row["a"], row["b"]) for row in rows] == list(by_name)
    assert [row["jaccard"] for row in rows] == [one.jaccard for one in found]
    with pytest.raises(engine.EngineError, match="choose another"):
        engine.overlaps(circuits[:1])


def test_an_evaluation_shows_the_circuit_over_each_of_its_controls() -> None:
    e = evaluation()
    figure = e.figure()
    assert e.controls is not None
    kept, removed, own, clean, empty = figure.data
    assert list(kept.x) == e.controls.kept.tolist()
    assert list(removed.x) == e.controls.removed.tolist()
    assert list(own.x) == [3.0, 1.0] and list(own.y) == [1, 0]
    assert set(clean.x) == {4.0} and set(empty.x) == {-1.0}
    assert all(abs(y - 1) < 0.25 for y in kept.y) and all(abs(y) < 0.25 for y in removed.y)
    assert "75.0% of clean" in own.customdata[0] and "seed 7" in kept.name
    assert len(evaluation(controls=False).figure().data) == 3


def test_members_are_bars_the_greatest_first() -> None:
    e = evaluation()
    bars = e.members_figure()
    assert list(bars.data[0].y) == [0.5, 0.25, -0.125]
    assert list(bars.layout.xaxis.ticktext) == ["0.1", "m0", "1.2"]
    assert [row["adds"] for row in e.members_table()] == [0.5, 0.25, -0.125]
    with pytest.raises(engine.EngineError, match="minimality"):
        replace(e, members=(), without=np.array([])).members_figure()


def test_the_rows_of_an_evaluation_are_its_runs() -> None:
    rows = evaluation().table()
    assert [row["of"] for row in rows[:4]] == ["model", "circuit", "circuit", "model"]
    assert [row["logit_diff"] for row in rows] == [4, 3, 1, -1, 1, 3.5, 2, 1, 0.5, 3.5, 3, 3.5, 0.5]
    assert rows[4] | {"of": 0} == rows[4] | {"of": 0, "sites": "1.2 m0", "share": 0.25}
    assert {row["seed"] for row in rows if row["of"] == "control"} == {7}
    assert {row["n"] for row in rows} == {2}


def edges(threshold: float = 0.1) -> engine.EdgeCircuit:
    members = engine.parse_sites("0.1 m1 2.0")
    inputs = (*(inputs_of(site) for site in members), (LOGITS,))
    effect = [[NAN, -1, 0.1, 0.1], [NAN, NAN, 2, 0.1], [NAN, NAN, NAN, -3]]
    return engine.prune_edges(engine.PathMatrix(members, inputs, np.array(effect), 10.0), threshold)


def test_edges_are_as_wide_as_their_effect_and_coloured_by_its_sign() -> None:
    found = edges()
    figure = found.figure(circuit("0.1 m1 2.0"))
    lines = [t for t in figure.data if t.mode == "lines" and t.customdata]
    drawn = {t.customdata[0].split("<br>")[0]: t.line for t in lines}
    assert len(drawn) == len(found.edges) == 3
    widths = {name: line.width for name, line in drawn.items()}
    assert widths["<b>2.0 → logits</b>"] > widths["<b>m1 → 2.0</b>"] > widths["<b>0.1 → m1</b>"]
    assert drawn["<b>2.0 → logits</b>"].color == drawn["<b>0.1 → m1</b>"].color
    assert drawn["<b>2.0 → logits</b>"].color != drawn["<b>m1 → 2.0</b>"].color
    assert any("-3.000, -30.0%" in t.customdata[0] for t in lines)
    rows = found.table()
    assert [(r["sender"], r["receiver"], r["effect"]) for r in rows] == [
        ("2.0", "logits", -3), ("m1", "2.0", 2), ("0.1", "m1", -1)
    ]  # fmt: skip


def test_nodes_rise_by_layer_to_the_logits_and_the_dropped_are_hollow() -> None:
    figure = edges(0.25).figure(circuit("0.1 m1 2.0"))
    dashes = {t.line.dash for t in figure.data if t.name and "when patched" in t.name}
    assert dashes == {"solid", "dash"}  # what falls and what rises, not by colour alone
    nodes = {
        name: (y, t.marker.color)
        for t in figure.data
        if t.mode == "markers+text"
        for name, y in zip(t.text, t.y, strict=True)
    }
    assert nodes["0.1"][0] < nodes["m1"][0] < nodes["2.0"][0] < nodes["logits"][0]
    assert nodes["0.1"][1] == nodes["m1"][1] == "#ffffff" != nodes["2.0"][1]
    with pytest.raises(engine.SiteError, match=r"is not in “mine”"):
        edges().figure(circuit("0.1"))
    assert edges(9.0).figure(circuit("0.1 m1 2.0")).data


def test_a_path_patch_is_on_the_grid_where_it_was_asked() -> None:
    senders = engine.parse_sites("0.1 m1 2.3")
    diffs = np.array([[1.0, 2.0, NAN], [2.0, 4.0, NAN]])
    found = engine.PathPatch(senders, parse_receivers("2.0.q", SHAPE), diffs, np.array([3.0, 3.0]))
    z = np.asarray(found.figure(SHAPE).data[0].z)
    assert z[0, 1] == found.effect[0] == -1.5 and z[1, HEADS + 1] == found.effect[1] == 0
    assert np.isfinite(z).sum() == 2
    rows = found.table()
    assert [(r["sender"], r["effect"], r["std"]) for r in rows] == [
        ("0.1", -1.5, 0.5),
        ("m1", 0, 1),
    ]
    assert {r["receivers"] for r in rows} == {"2.0.q"}


@pytest.mark.parametrize(
    "text", ["logits", "1.2", "1.2.q 1.2.v m1", "1.2 2.0.k logits", "1.0-1 m0-2"]
)
def test_receivers_are_read_back_as_written(text: str) -> None:
    found = parse_receivers(text, SHAPE)
    assert parse_receivers(engine.print_receivers(found), SHAPE) == found
    assert engine.print_receivers(parse_receivers("1.2.q 1.2.k 1.2.v", SHAPE)) == "1.2"


def test_circuits_are_read_back_a_line_each() -> None:
    some = (circuit(), circuit("0.1", "two\nlines", all_mlps=True), circuit("", "é“”", note="n"))
    text = engine.write_circuits(some)
    assert len(text.split("\n")) == 3 and engine.read_circuits(text) == some
    assert engine.read_circuits(some[0].to_json()) == some[:1]
    assert engine.read_circuits("") == ()
    with pytest.raises(engine.EngineError, match=r"^Line 2: This is not JSON"):
        engine.read_circuits(text.split("\n")[0] + "\n{")


@pytest.mark.parametrize(
    ("asked", "sites", "all_mlps"),
    [
        ("keep 0.1 m2", "0.1", True),
        ("keep+mlps a0 m2", "0.0 0.1 0.2 0.3 m2", False),
        ("a0-1 m0 2.0-2", "2.3 m1 m2", False),
    ],
)
def test_what_is_left_on_is_a_circuit(asked: str, sites: str, all_mlps: bool) -> None:
    left = engine.circuit_left(engine.ablations(asked), SHAPE, "left", "m", method="zero")
    assert (engine.print_sites(left.sites), left.all_mlps) == (sites, all_mlps)
    assert str(left.method) == "zero"
    for wrong in ("n0.1", "9.0"):
        with pytest.raises(engine.SiteError):
            engine.circuit_left(engine.ablations(wrong), SHAPE, "left", "m")
