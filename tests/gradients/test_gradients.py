"""Truths that scores by gradients keep, how well they predict, and their manners."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from engine.gradients import edges as edges_module
from engine.gradients import runs as runs_module
from engine.passes.pace import Pace
from engine.registry import model_of
from tests.support.families import save_member
from tests.support.tiny_models import CONFIGS, HYBRIDS, LATE, SCALED, SINKS, Tiny

E = engine.Experiment("seq-gpt2", "1 2 3 4", "9 7 1 5", " 5", " 4")
LLAMA = replace(E, model="seq-llama", corrupted="9 7 1 4")
PAIRS = (
    engine.Pair("1 2 3 4", "9 7 1 5", " 5", " 4"),
    engine.Pair("3 4 5 6", "2 9 4 1", " 7", " 6"),
    engine.Pair("2 3 4 5 6", "8 1 9 2 3", " 7", " 6"),
)
TINY: dict[str, Any] = {"corrupted": "t4 t8 t3 t11 t6", "answer": "t3", "distractor": "t4"}
FAMILIES = (*CONFIGS, *LATE, *SCALED, *HYBRIDS, *SINKS)
REFUSED = {
    "deepseek_v3": "no edges lead into its heads",
    "qwen3_next": "the stream is read otherwise",
}


def asked(directory: Any, **others: Any) -> engine.Experiment:
    return engine.Experiment(str(directory), "t1 t5 t9 t2 t7", **{**TINY, **others})


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_edges_from_a_node_add_up_to_its_score(kind: str, tiny: Tiny) -> None:
    e = asked(tiny(kind))
    nodes = engine.node_attribution(e, steps=3)
    try:
        edges = engine.edge_attribution(e, steps=3)
    except engine.EngineError as wrong:
        assert REFUSED[kind] in str(wrong) and len(str(wrong).split()) > 8
        return
    assert kind not in REFUSED
    if kind in HYBRIDS:
        assert "do not add up to its score" in edges.notes[-1]
        return
    grid, out = nodes.grid(), np.nansum(edges.score, axis=1)
    most = max(np.abs(grid.heads).max(initial=0, where=np.isfinite(grid.heads)), 1e-3)
    assert out[0] == pytest.approx(nodes.embedding[0], rel=1e-3, abs=1e-3 * most)
    assert set(edges.senders[1:]) == set(grid.sites)
    behind = ("gemma2", "gemma3_text", "olmo2")  # where a head writes through a norm: no slope
    for i, sender in enumerate(edges.senders[1:], 1):
        if kind not in behind or isinstance(sender, engine.MLP):
            assert out[i] == pytest.approx(grid[sender], rel=2e-3, abs=2e-3 * most), str(sender)


@pytest.mark.parametrize("e", [E, LLAMA], ids=["seq-gpt2", "seq-llama"])
def test_one_step_is_attribution_patching_at_the_clean_run(e: engine.Experiment) -> None:
    swept = engine.sweep(replace(e, method="resample"), estimate=True)
    nodes = engine.node_attribution(e, steps=1)
    assert swept.estimate is not None
    np.testing.assert_allclose(nodes.heads, swept.estimate.heads, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(nodes.mlps, swept.estimate.mlps, rtol=1e-3, atol=1e-4)
    patched = engine.patch(e, place="z", direction="noise", estimate=True)
    assert patched.estimate is not None
    np.testing.assert_allclose(nodes.heads, patched.estimate[:, 0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gpt_neox"])
def test_with_many_steps_what_enters_layer_0_accounts_for_the_whole_change(
    kind: str, tiny: Tiny
) -> None:
    e = asked(tiny(kind))
    many, edges = engine.node_attribution(e, steps=400), engine.edge_attribution(e, steps=400)
    assert many.corrupted[0] != many.clean[0]
    assert many.completeness == pytest.approx(1.0, abs=0.02)
    assert edges.completeness == pytest.approx(many.completeness, abs=1e-3)
    few = engine.node_attribution(e, steps=1).completeness
    assert abs(few - 1) > abs(many.completeness - 1)


@pytest.mark.parametrize("e", [E, LLAMA], ids=["seq-gpt2", "seq-llama"])
def test_it_does_of_the_bundled_models(e: engine.Experiment) -> None:
    assert engine.node_attribution(e, steps=300).completeness == pytest.approx(1.0, abs=0.03)


def test_prompts_of_several_lengths_are_each_as_by_themselves() -> None:
    nodes = engine.node_attribution(E, PAIRS, steps=2)
    edges = engine.edge_attribution(E, PAIRS, steps=2)
    alone = [engine.node_attribution(E, [pair], steps=2) for pair in PAIRS]
    np.testing.assert_allclose(nodes.heads, [one.heads[0] for one in alone], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(nodes.clean, [one.clean[0] for one in alone], rtol=1e-4)
    scores = np.array([engine.edge_attribution(E, [pair], steps=2).score for pair in PAIRS])
    np.testing.assert_allclose(edges.score, scores.mean(0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(edges.spread, scores.std(0), rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(nodes.grid("spread").heads, nodes.heads.std(0), rtol=1e-6)
    assert nodes.n == edges.n == 3


def test_cut_into_small_parts_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = engine.edge_attribution(E, PAIRS, steps=4), engine.node_attribution(E, PAIRS, steps=4)
    monkeypatch.setattr(runs_module, "TOKENS", 9)
    monkeypatch.setattr(edges_module, "_AT_A_TIME", 20_000)
    parts = engine.edge_attribution(E, PAIRS, steps=4), engine.node_attribution(E, PAIRS, steps=4)
    np.testing.assert_allclose(parts[0].score, whole[0].score, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(parts[1].heads, whole[1].heads, rtol=1e-3, atol=1e-5)


def test_where_steps_take_long_less_is_done_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, rows = PAIRS[:1] * 4, []
    between = runs_module.Runs.between

    def noted(self: Any, some: Any) -> Any:
        rows.append(len(some) * len(self.targets))
        return between(self, some)

    monkeypatch.setattr(runs_module.Runs, "between", noted)
    monkeypatch.setattr(runs_module, "FEWEST", 4)
    whole = engine.edge_attribution(E, pairs, steps=4)
    assert rows == [16]  # 4 pairs in 4 runs
    monkeypatch.setattr(Pace, "fitting", lambda _pace, _cost: 8)
    rows.clear()
    slow = engine.edge_attribution(E, pairs, steps=4)
    assert rows == [2] * 8  # of 4 tokens each
    np.testing.assert_allclose(slow.score, whole.score, rtol=1e-3, atol=1e-5)


def test_edges_into_mlps_are_the_same_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = engine.edge_attribution(E, PAIRS, steps=2)
    into = edges_module._Scores._into_mlp

    def by_itself(self: Any, layer: int, piece: Any, gradients: Any) -> Any:
        self._adding.clear()
        return into(self, layer, piece, gradients)

    monkeypatch.setattr(edges_module._Scores, "_into_mlp", by_itself)
    own = engine.edge_attribution(E, PAIRS, steps=2)
    np.testing.assert_allclose(quick.score, own.score, rtol=1e-3, atol=1e-5)


def test_nodes_change_at_the_positions_asked_for() -> None:
    each = [engine.node_attribution(replace(E, positions=p), steps=2).heads for p in range(4)]
    whole = engine.node_attribution(E, steps=2)
    np.testing.assert_allclose(sum(each), whole.heads, rtol=1e-3, atol=1e-5)


def test_what_both_runs_have_alike_has_no_score() -> None:
    late = replace(E, corrupted="1 2 3 7")
    edges = engine.edge_attribution(replace(late, positions="0-2"), steps=2)
    assert np.nanmax(np.abs(edges.score)) < 1e-4  # the same tokens up to there
    assert np.nanmax(np.abs(engine.edge_attribution(late, steps=2).score)) > 0.1


def test_nodes_predict_a_sweep_and_a_patching() -> None:
    task = engine.task("numerals", "seq-gpt2", n=6)
    e = engine.Experiment("seq-gpt2")
    nodes = engine.node_attribution(e, task.pairs, steps=8)
    swept = engine.sweep(replace(e, method="resample"), task.pairs)
    agreed, plain = (
        engine.node_attribution(e, task.pairs, steps=k).agreement(swept) for k in (8, 1)
    )
    assert agreed.n == 54 and agreed.pearson > 0.8 and agreed.spearman > 0.6, agreed
    assert agreed.pearson > plain.pearson
    patched = engine.patch(e, task.pairs, place="z", direction="noise")
    agreed = nodes.agreement(patched)
    assert agreed.n == 48 and agreed.pearson > 0.8, agreed
    for other in (
        engine.sweep(e, task.pairs[:2]),
        replace(swept, experiment=e),
        engine.patch(e, task.pairs, place="z"),
        replace(patched, pairs=task.pairs[:1]),
    ):
        with pytest.raises(engine.ExperimentError) as told:
            nodes.agreement(other)
        assert len(str(told.value).split()) > 6


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
def test_edges_predict_path_patching(model: str) -> None:
    task = engine.task("numerals", model, n=4)
    e = engine.Experiment(model)
    edges = engine.edge_attribution(e, task.pairs, steps=8)
    by_path = engine.Experiment(model, method="resample")
    for receivers in ("logits", "m5", "3.1.q 3.1.k m4"):
        exact = engine.path_patch(by_path, None, receivers, task=task)
        agreed = edges.agreement(exact)
        assert agreed.n > 20 and agreed.pearson > 0.5, (receivers, agreed)
    matrix = engine.path_matrix(by_path, "a0 m0 m1 4.0-3 m4", split=True, task=task)
    assert edges.agreement(matrix).pearson > 0.5
    assert edges.of("r0") == edges.into()[0]
    assert edges.of("0.1", "1.0.k 1.0.v") == pytest.approx(
        edges.of("0.1", "1.0.k") + edges.of("0.1", "1.0.v")
    )


def test_results_draw_and_tabulate_themselves_as_estimates() -> None:
    nodes, edges = engine.node_attribution(E, steps=2), engine.edge_attribution(E, steps=2)
    for grid in (nodes.grid(), nodes.grid("spread"), edges.grid(), edges.grid("3.1.q m4")):
        assert grid.inexact == frozenset(grid.sites) and "estimated" in grid.name
    for figure in (nodes.figure(), nodes.figure("spread"), edges.figure(), edges.figure("m3")):
        assert "hatched: an estimate" in figure.layout.xaxis.title.text
    assert {row["site"] for row in nodes.table()} == {str(s) for s in nodes.grid().sites}
    rows = edges.table(None)
    assert len(rows) == edges.n_edges == np.isfinite(edges.score).sum()
    sizes = np.abs(np.array([row["score"] for row in rows], dtype=float))
    assert (np.diff(sizes) <= 0).all() and len(edges.table(7)) == 7
    assert edges.grid("1.0.q").sites == [*(engine.Head(0, h) for h in range(8)), engine.MLP(0)]
    with pytest.raises(engine.SiteError):
        edges.into("9.9")
    with pytest.raises(engine.SiteError):
        edges.of("n1.3")
    with pytest.raises(engine.ExperimentError, match="spread"):
        nodes.grid("mean")


def test_scores_are_drawn_beside_what_they_predict() -> None:
    nodes, edges = engine.node_attribution(E, steps=2), engine.edge_attribution(E, steps=2)
    resampled = replace(E, method="resample")
    swept, paths = engine.sweep(resampled), engine.path_patch(resampled, receivers="m4")
    for figure, scores, exact in (
        (nodes.beside_figure(swept), nodes.grid(), swept.grid("logit_diff")),
        (edges.beside_figure(paths), edges.grid("m4"), paths.grid(edges.shape)),
    ):
        line, heads, mlps = figure.data
        assert list(line.x) == list(line.y) and line.name == "as estimated"
        both = [site for site in scores.sites if site in set(exact.sites)]
        assert len(heads.x) + len(mlps.x) == len(both)
        for points, kind in ((heads, engine.Head), (mlps, engine.MLP)):
            mine = [site for site in both if isinstance(site, kind)]
            assert list(points.x) == [scores[site] for site in mine]
            assert list(points.y) == [exact[site] for site in mine]
        assert figure.layout.xaxis.title.text.startswith("estimated change")
        assert figure.layout.yaxis.title.text.startswith("exact change")
    with pytest.raises(engine.ExperimentError, match="resample"):
        nodes.beside_figure(engine.sweep(E))


@pytest.mark.parametrize("ask", [engine.node_attribution, engine.edge_attribution])
def test_what_cannot_be_asked_is_refused_in_words(ask: Any) -> None:
    for e, said in (
        (replace(E, corrupted=""), "has no corrupted prompt"),
        (replace(E, corrupted="9 7 1"), "tokens long"),
        (replace(E, corrupted=E.prompt), "both runs are the same"),
        (replace(E, answer=""), "has no answer"),
        (replace(E, ablations="0.1"), "take its `.clean`"),
        (replace(E, positions="generated"), "choose all, prompt"),
        (replace(E, positions="9"), "not in the prompt"),
    ):
        with pytest.raises(engine.EngineError, match=said):
            ask(e)
    for steps in (0, 2.5, "3", True, 10**6, None):
        with pytest.raises(engine.EngineError, match="steps"):
            ask(E, steps=steps)
    for odd in ("1 2", None, {"prompt": "1"}):
        with pytest.raises(engine.EngineError):
            ask(odd)


def test_a_text_whose_senders_cannot_be_held_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges_module, "MOST_BYTES", 1000)
    with pytest.raises(engine.EngineError, match=r"55 senders write at 4 tokens takes 0\.0 GiB"):
        engine.edge_attribution(E)


def test_a_family_whose_parts_do_not_add_is_refused_edges(tmp_path: Path) -> None:
    e = asked(save_member("opt, norms behind", tmp_path))
    assert engine.node_attribution(e, steps=2).n == 1
    with pytest.raises(engine.EngineError, match="is not added to the residual stream as it is"):
        engine.edge_attribution(e)


def test_layers_given_more_than_the_stream_have_no_runs_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_of(E), "by_text", True)
    for ask in (engine.node_attribution, engine.edge_attribution):
        with pytest.raises(engine.EngineError, match="no runs between two texts"):
            ask(E)


def hooks(model: Any) -> int:
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + ("forward" in vars(m))
        for m in model.hf.modules()
    )


@pytest.mark.parametrize("question", [engine.AttributeNodes, engine.AttributeEdges])
def test_it_goes_on_beside_clicks_and_leaves_nothing_behind(question: Any) -> None:
    model = model_of(E)
    before, known = hooks(model), engine.next_token(E).clean.logits
    work = engine.begin(question(E, PAIRS * 4, steps=60))
    for one in work:
        assert 0 < one.progress <= 1 and one.n >= 1
        np.testing.assert_array_equal(engine.next_token(E).clean.logits, known)
        break
    work.cancel()
    with pytest.raises(engine.Cancelled):
        work.result(60)
    np.testing.assert_array_equal(engine.next_token(E).clean.logits, known)
    assert hooks(model) == before
    assert not any(p.requires_grad or p.grad is not None for p in model.hf.parameters())
    *_, last = engine.begin(question(E, PAIRS, steps=2))
    assert last.done and last.seconds_left == 0.0
