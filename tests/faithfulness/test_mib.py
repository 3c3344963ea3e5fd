"""MIB's formulae and files: areas written out plainly, rankings out and in, what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import engine
from engine.experiment.question import Question
from tests.support.tiny_models import Tiny

PAIRS = (
    engine.Pair("t1 t5 t9 t2 t7", "t4 t8 t3 t11 t6", "t3", "t4"),
    engine.Pair("t2 t6 t9 t1 t3", "t4 t7 t3 t12 t6", "t3", "t4"),
)
TASK = engine.Task("random", PAIRS)
NODE_NAMES = ["input", *(f"a{i}.h{h}" for i in range(3) for h in range(4)), "m0", "m1", "m2"]


def mib_file(parallel: bool = False) -> dict[str, Any]:
    """What EAP-IG's Graph.to_json writes for three layers of four heads, scores drawn."""
    rng = np.random.default_rng(0)
    order = ["input", *(n for i in range(3) for n in (*(f"a{i}.h{h}" for h in range(4)), f"m{i}"))]
    edges: dict[str, dict[str, Any]] = {}
    before = ["input"]
    for i in range(3):
        heads = [f"a{i}.h{h}" for h in range(4)]
        into = [f"{head}<{part}>" for head in heads for part in "qkv"]
        names = [f"{u}->{v}" for u in before for v in into]
        if parallel:
            names += [f"{u}->m{i}" for u in before]
            before = [*before, *heads, f"m{i}"]
        else:
            before = [*before, *heads]
            names += [f"{u}->m{i}" for u in before]
            before.append(f"m{i}")
        edges |= {name: {"score": float(rng.normal()), "in_graph": False} for name in names}
    edges |= {f"{u}->logits": {"score": float(rng.normal()), "in_graph": False} for u in before}
    nodes: dict[str, dict[str, Any]] = {n: {"in_graph": False} for n in [*order, "logits"]}
    cfg = {"n_layers": 3, "n_heads": 4, "parallel_attn_mlp": parallel, "d_model": 32}
    return {"cfg": cfg, "nodes": nodes, "edges": edges}


def mib_areas(f: list[float], log: bool = False) -> tuple[float, float]:
    """MIB's CPR and CMD, written out."""
    percentages = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
    under = from_one = 0.0
    for i in range(len(f) - 1):
        a, b = percentages[i], percentages[i + 1]
        width = math.log(b) - math.log(a) if log else b - a
        under += width * (f[i] + f[i + 1]) / 2
        from_one += width * (abs(1 - f[i]) + abs(1 - f[i + 1])) / 2
    return under, from_one


@pytest.mark.parametrize("by", ["magnitude", "signed"])
def test_cpr_and_cmd_are_mibs_formulae_on_its_own_file(by: str, tiny: Tiny) -> None:
    model, plain = str(tiny("gpt2")), mib_file()
    ranking = engine.read_mib(json.dumps(plain), model)
    curve = engine.faithfulness_curve(ranking, TASK, by, controls=2)
    scores = {name: one["score"] for name, one in plain["edges"].items()}
    n, f = len(scores), []
    for share in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1):
        best = sorted(scores, key=lambda u: -(abs(scores[u]) if by == "magnitude" else scores[u]))
        kept = json.loads(json.dumps(plain))
        for name in best[: int(share * n)]:
            kept["edges"][name]["in_graph"] = True
        for one in kept["edges"].values():
            one["score"] = 0.0
        if int(share * n) in (0, n):  # all or nothing: one of the two runs
            f.append(float(share == 1))
            continue
        circuit = engine.read_mib(json.dumps(kept), model, "edges")
        assert circuit.is_circuit
        point = engine.faithfulness_curve(circuit, TASK, controls=0)
        metric = point.circuits.mean()
        own, none = point.clean.mean(), point.corrupted.mean()
        f.append((metric - none) / (own - none))
    np.testing.assert_allclose(curve.faithfulness, f, atol=1e-6)
    for log in (False, True):
        cpr, cmd = mib_areas(f, log)
        assert curve.cpr(log) == pytest.approx(cpr, abs=1e-6)
        assert curve.cmd(log) == pytest.approx(cmd, abs=1e-6)
    assert len(curve.control_areas("cmd")) == 2
    assert curve.sizes == tuple(int(share * n) for share in curve.shares)


@pytest.mark.parametrize("kind", ["gpt2", "gptj", "llama"])
def test_a_ranking_written_and_read_back_is_the_same(kind: str, tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny(kind)))
    edges = engine.rank_members(engine.edge_attribution(e, PAIRS))
    nodes = engine.rank_members(engine.node_attribution(e, PAIRS))
    written = [json.loads(engine.write_mib(one)) for one in (edges, nodes)]
    assert written[0]["edges"].keys() == mib_file(kind == "gptj")["edges"].keys()
    assert [*written[1]["nodes"]][:7] == ["input", *(f"a0.h{h}" for h in range(4)), "m0", "a1.h0"]
    assert written[0]["cfg"] == mib_file(kind == "gptj")["cfg"]
    for ranking, plain in zip((edges, nodes), written, strict=True):
        again = engine.read_mib(json.dumps(plain), e.model, name=ranking.name)
        assert again.level == ranking.level
        found, meant = dict(again.scores), dict(ranking.scores)
        assert found == pytest.approx(meant, abs=1e-12)
    if kind == "llama":  # two heads share: an edge each, with half of the score
        one, other = (written[0]["edges"][f"input->a1.h{h}<k>"]["score"] for h in (2, 3))
        assert one == other == dict(edges.scores)["r0->1.2.k"] / 2


def test_scores_are_positive_where_they_help_as_in_eap_ig(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), method="resample")
    nodes, swept = engine.node_attribution(e, PAIRS), engine.sweep(e, PAIRS)
    assert dict(engine.rank_members(nodes).scores)["1.2"] == pytest.approx(
        -nodes.heads.mean(0)[1, 2]
    )
    assert dict(engine.rank_members(swept).scores)["m1"] == pytest.approx(-swept.change("mlps")[1])
    helps = max(engine.rank_members(swept).scores, key=lambda one: one[1])[0]
    assert engine.rank_members(swept).order("signed")[0] == helps


def test_a_search_ranks_what_went_first_last(tiny: Tiny) -> None:
    found = engine.discover(engine.Task("x", PAIRS[:1]), str(tiny("gpt2")), controls=0, by="greedy")
    order = engine.rank_members(found).order()
    gone = [str(trial.node) for trial in found.trials if trial.removed]
    assert list(order[len(order) - len(gone) :]) == gone[::-1] and gone
    assert set(order[: len(order) - len(gone)]) == {str(site) for site in found.circuit.sites}


def test_what_is_left_unscored_is_in_every_circuit(tiny: Tiny) -> None:
    model = str(tiny("gpt2"))
    heads = engine.Ranked("heads", model, "nodes", {"0.0": 1.0, "1.1": 0.5})
    curve = engine.faithfulness_curve(heads, TASK, controls=0)
    assert curve.n_members == 2 and curve.sizes[0] == 0 and curve.faithfulness[0] != 0
    plain = mib_file()
    for name in NODE_NAMES:
        plain["nodes"][name]["score"] = 1.0 if name == "a0.h0" else float("nan")
    plain["nodes"]["m1"]["score"] = 0.5
    read = engine.read_mib(json.dumps(plain), model, "nodes")
    assert dict(read.scores) == {"0.0": 1.0, "m1": 0.5}


def test_auroc_is_the_chance_that_a_member_ranks_first() -> None:
    scores = {"0.0": 3.0, "0.1": -2.0, "0.2": 1.0, "m0": 1.0, "m1": 0.0}
    ranking = engine.Ranked("r", "seq-gpt2", "nodes", scores)
    for known in (["0.0", "0.1"], ["0.1", "0.2"], ["m1"]):
        for by, weigh in (("magnitude", abs), ("signed", float)):
            others = [n for n in scores if n not in known]
            wins = [
                (weigh(scores[a]) > weigh(scores[b])) + 0.5 * (weigh(scores[a]) == weigh(scores[b]))
                for a in known
                for b in others
            ]
            assert engine.auroc(ranking, known, by) == pytest.approx(np.mean(wins))
    assert engine.auroc(ranking, "0.0 0.1") == 1


def refused(text: str, model: str, said: str, **others: Any) -> None:
    with pytest.raises(engine.EngineError, match=said):
        engine.read_mib(text, model, **others)


def test_files_that_are_none_are_refused_in_words(tiny: Tiny) -> None:
    model = str(tiny("gpt2"))
    refused("{", model, "This is not JSON")
    refused("[]", model, "an object with “cfg”")
    refused(json.dumps(mib_file() | {"edges": {"input->m0": 3}}), model, "no object with a score")
    refused(json.dumps(mib_file()), "seq-gpt2", "3 layers of 4 heads and width 32")
    refused(json.dumps(mib_file(parallel=True)), model, "read the same")
    bad = mib_file()
    bad["edges"]["input->m0"]["score"] = float("nan")
    refused(json.dumps(bad), model, "NaN")
    bad["edges"]["input->m0"]["score"] = "high"
    refused(json.dumps(bad), model, "no number")
    bad["edges"] = {"m2->m0": {"score": 1.0}}
    refused(json.dumps(bad), model, "no such place")
    bad["edges"] = {"m2=m0": {"score": 1.0}}
    refused(json.dumps(bad), model, "no edge of a MIB file")
    refused(json.dumps(mib_file()), model, "No node in the file has a score", level="nodes")
    refused(json.dumps(mib_file()), model, "nodes and edges", level="neurons")


def test_what_cannot_be_asked_is_refused_in_words(tiny: Tiny) -> None:
    model = str(tiny("gpt2"))
    ranking = engine.Ranked("r", model, "nodes", {"0.0": 2.0, "m0": 1.0})
    for pairs, said in (
        ((engine.Pair("t1 t2", "", "t3", "t4"),), "no corrupted prompt"),
        ((engine.Pair("t1 t2", "t1 t2 t3", "t3", "t4"),), "token"),
        ((engine.Pair("t1 t2", "t5 t2", "", "t4"),), "no answer"),
        ((engine.Pair("t1 t2", "t1 t2", "t3", "t4"),), "nothing to compare"),
    ):
        with pytest.raises(engine.EngineError, match=said):
            engine.faithfulness_curve(ranking, engine.Task("x", pairs))
    for wrong in (
        lambda: engine.faithfulness_curve(ranking, ()),
        lambda: engine.faithfulness_curve(ranking, TASK, "size"),
        lambda: engine.faithfulness_curve(ranking, TASK, controls=1000),
        lambda: engine.Ranked("r", model, "nodes", {"0.0": float("nan")}),
        lambda: engine.Ranked("r", model, "neurons", {"0.0": 1.0}),
        lambda: engine.Ranked("r", model, "nodes", {}),
        lambda: engine.Ranked("r", model, "nodes", [("0.0", 1), ("0.0", 2)]),
        lambda: engine.auroc(ranking, ["0.3"]),
        lambda: engine.auroc(ranking, ["0.0", "m0"]),
        lambda: engine.auroc(ranking, ranking),
        lambda: engine.faithfulness_figure([]),
    ):
        with pytest.raises(engine.EngineError):
            wrong()
    elsewhere = engine.Ranked("r", model, "nodes", {"9.9": 1.0, "0.0": 2.0})
    with pytest.raises(engine.EngineError, match="another shape"):
        engine.faithfulness_curve(elsewhere, TASK)


def test_pairs_scored_alike_in_both_runs_have_no_share(tiny: Tiny) -> None:
    model = str(tiny("gpt2"))
    ranking = engine.Ranked("r", model, "nodes", {"0.0": 2.0})
    one = PAIRS[0]
    turned = engine.Pair(one.corrupted, one.prompt, one.answer, one.distractor)
    with pytest.raises(engine.EngineError, match="nothing for a circuit to keep"):
        engine.faithfulness_curve(ranking, (one, turned))


def test_a_curve_is_shown_as_it_grows_goes_on_and_draws_itself(tiny: Tiny) -> None:
    model = str(tiny("gpt2"))
    ranking = engine.rank_members(engine.edge_attribution(engine.Experiment(model), PAIRS))
    asked = engine.FaithfulnessCurves(ranking, TASK, controls=3, seed=4)
    assert Question.from_json(asked.to_json()) == asked
    parts = list(engine.begin(asked))
    known = [int(np.isfinite(part.faithfulness).sum()) for part in parts]
    assert known == sorted(known) and known[-1] == 10 and parts[-1].done
    whole = parts[-1]
    again = engine.begin(asked, so_far=parts[0]).result()
    np.testing.assert_allclose(again.circuits, whole.circuits, atol=1e-6)
    figure = engine.faithfulness_figure([whole, whole])
    assert len(figure.data) == 5 and len(figure.layout.shapes) == 2
    assert parts[0].figure().data  # with what is known by then
    rows = whole.table()
    assert len(rows) == 10 and rows[-1]["faithfulness"] == pytest.approx(1)
    assert {"random", "n", "edges", "spread", "seed"} <= rows[0].keys()
    circuit = engine.Circuit("one", model, "x", "0.0 m1", 3, 4)
    point = engine.faithfulness_curve(engine.rank_members(circuit), TASK)
    assert point.is_point and point.sizes == (2,) and math.isnan(point.cpr())
    assert len(point.figure().data) == 2
    with pytest.raises(engine.EngineError, match="Draw them apart"):
        engine.faithfulness_figure([whole, point])
    with pytest.raises(engine.EngineError, match="another curve"):
        engine.begin(asked, so_far=point).result()


def test_what_is_not_known_yet_is_a_gap(tiny: Tiny) -> None:
    ranking = engine.rank_members(
        engine.edge_attribution(engine.Experiment(str(tiny("gpt2"))), PAIRS)
    )
    begun = next(iter(engine.begin(engine.FaithfulnessCurves(ranking, TASK, controls=2))))
    known = np.isfinite(begun.faithfulness)
    assert known[-1] and not known.all()  # the whole model is known first
    (drawn,) = (trace for trace in begun.figure().data if trace.name == "EAP-IG")
    assert not drawn.connectgaps and (np.isfinite(drawn.y) == known).all()
    band = next(t for t in begun.figure().data if t.name == "2 random rankings")
    assert 1.0 not in band.x
