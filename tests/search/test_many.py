"""The same search over several tasks: each run is that search, and what is told of all is so."""

# mypy: disable-error-code="arg-type"

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import engine
from tests.circuits.test_circuits import circuit, solved
from tests.circuits.test_circuits import task as words
from tests.support.parts import every_part
from tests.support.some import some
from tests.support.tiny_models import Tiny

TASK = engine.task("numerals", "seq-gpt2", 4, seed=3)
RULE: dict[str, Any] = {"by": "nap-ig", "threshold": 0.4}


def spearman(a: list[float], b: list[float]) -> float:
    """Pearson's correlation of ranks: how many are less, and half of those that are equal."""
    ranks = [[sum(y < x for y in some) + sum(y == x for y in some) / 2 for x in some]
             for some in (a, b)]  # fmt: skip
    return float(np.corrcoef(np.array(ranks[0]), np.array(ranks[1]))[0, 1])


@pytest.fixture(scope="module")
def three() -> engine.DiscoveredMany:
    return engine.discover_many(TASK, runs=3, controls=0, **RULE)


def test_each_run_is_the_search_on_the_task_of_its_seed(three: engine.DiscoveredMany) -> None:
    assert three.done and three.n == 3 and not three.resampled and not three.refused
    for i, run in enumerate(three.runs):
        task = engine.task("numerals", "seq-gpt2", 4, seed=3 + i)
        alone = engine.discover(task, controls=0, fresh=engine.fresh_task(task), **RULE)
        assert run.search.task == task and run.circuit == alone.circuit
        assert run.fresh and three.faithfulness[i] == pytest.approx(
            some(alone.evaluation).faithfulness, abs=1e-5
        )


def test_shares_and_means_are_those_of_the_runs(three: engine.DiscoveredMany) -> None:
    kept = [set(run.circuit.sites) for run in three.runs]
    for site, share in three.share.items():
        assert share == sum(site in one for one in kept) / 3
        assert three.grid()[site] == share
    two = [engine.overlap(a.circuit, b.circuit) for a, b in itertools.combinations(three.runs, 2)]
    assert three.jaccard == pytest.approx(np.mean([one.jaccard for one in two]))
    assert three.chance == pytest.approx(np.mean([one.chance for one in two]))
    assert three.above_chance == pytest.approx((three.jaccard - three.chance) / (1 - three.chance))
    for found, (a, b) in zip(three.spearman, itertools.combinations(three.runs, 2), strict=True):
        ranks = [[run.importance[site] for site in three.share] for run in (a, b)]
        assert found == pytest.approx(spearman(*ranks))
    assert {*three.consensus.sites} == {s for s, share in three.share.items() if share >= 0.5}
    assert three.stable == tuple(s for s, share in three.share.items() if share == 1)
    assert not three.mark and "at least 5 runs" in three.verdict
    assert [row["kept"] for row in three.table()] == sorted(
        (round(3 * share) for share in three.share.values() if share), reverse=True
    )
    assert [row["seed"] for row in three.runs_table()] == [3, 4, 5]
    assert engine.Circuit.from_json(three.consensus.to_json()) == three.consensus


def test_pairs_of_ones_own_are_resampled_and_judged_on_those_left_out(tiny: Tiny) -> None:
    directory = str(tiny("llama"))
    own = solved(directory)
    found = engine.discover_many(own, directory, by="nap-ig", runs=4, controls=0, seed=2)
    assert found.resampled and found.done
    for i, run in enumerate(found.runs):
        pairs = run.search.task.pairs
        assert len(pairs) == len(own.pairs) and {*pairs} <= {*own.pairs}
        assert run.search.task.seed == 2 + i
        left = {*own.pairs} - {*pairs}
        assert run.fresh == bool(left)
        if left and run.evaluation is not None:
            assert {*run.evaluation.pairs} == left
    assert len({run.search.task.pairs for run in found.runs}) > 1


def test_a_task_the_model_cannot_do_is_left_out_and_none_at_all_is_refused(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    own = solved(directory)
    wrong = [replace(p, answer=p.distractor, distractor=p.answer) for p in own.pairs]
    with pytest.raises(engine.EngineError, match="whole model does not do"):
        engine.discover_many(engine.Task("no", tuple(wrong)), directory, runs=3, controls=0)
    diffs = engine.score_task(directory, own).clean.logit_diff
    worst = int(np.argmax(diffs))
    mixed = (wrong[worst], *(p for i, p in enumerate(own.pairs) if i != worst))
    found = engine.discover_many(
        engine.Task("some", mixed), directory, runs=12, controls=0, by="gradient", fresh=False
    )
    assert found.done and 0 < found.n < 12 and found.n + len(found.refused) == 12
    assert all("does not do" in why for _, why in found.refused)
    with pytest.raises(engine.EngineError, match="gets all 4 pairs of “some” wrong"):
        engine.discover_many(engine.Task("some", mixed), directory, runs=3, right=True)


def test_it_is_gone_on_with_from_the_runs_that_are_known(three: engine.DiscoveredMany) -> None:
    question = engine.DiscoverMany(three.search, 3, 0)
    parts = list(every_part(question))
    assert [part.n for part in parts] == [1, 2, 3]
    assert not parts[0].done and parts[0].verdict == "" and parts[0].grid()
    assert some(parts[1].seconds_left) > 0
    again = engine.begin(question, so_far=parts[1]).result()
    assert again.runs[:2] == parts[1].runs and again.n == 3
    assert again.runs[2].circuit == three.runs[2].circuit


def test_each_search_is_kept_in_its_own_file(tmp_path: Any) -> None:
    found = engine.discover_many(TASK, runs=2, controls=0, save=tmp_path, **RULE)
    assert {path.stem for path in tmp_path.iterdir()} == {run.search.digest for run in found.runs}


def told(three: engine.DiscoveredMany, *sites: str) -> engine.DiscoveredMany:
    """Runs whose circuits are these."""
    runs = []
    for text in sites:
        own = circuit(text)
        kept = tuple(engine.Node(site) for site in own.sites)
        runs.append(replace(three.runs[0], circuit=own, nodes=kept))
    return replace(three, runs=tuple(runs), asked=len(runs))


def test_the_mark_is_what_its_words_say(three: engine.DiscoveredMany) -> None:
    same = told(three, *["0.1 1.2"] * 5)
    assert same.mark == "stable" and same.above_chance == 1 and "Stable: 2 nodes" in same.verdict
    apart = told(three, "0.0", "0.1", "0.2", "1.0", "1.1")
    assert apart.mark == "unstable" and apart.jaccard == 0
    half = told(three, *["0.1 0.2 1.1", "0.1 0.3 1.1", "0.1 1.1", "0.1 1.1 2.0", "0.1 2.1"])
    assert half.stable == engine.parse_sites("0.1") and half.mark == "mixed"
    every = " ".join(f"a{i} m{i}" for i in range(3))
    whole = told(three, *[every] * 5)
    assert whole.mark == "" and np.isnan(whole.above_chance) and "cannot differ" in whole.verdict


def test_searches_are_compared_with_each_other() -> None:
    each = [engine.discover(TASK, by=by, controls=0) for by in ("pruning", "nap-ig", "eap-ig")]
    found = engine.agreement_of_searches(each)
    for row, (a, b) in zip(found.table(), itertools.combinations(each, 2), strict=True):
        ranks = [[one.importance[site] for site in a.importance] for one in (a, b)]
        assert row["spearman"] == pytest.approx(spearman(*ranks))
        over = engine.overlap(a.circuit, b.circuit)
        assert (row["jaccard"], row["chance"]) == (over.jaccard, over.chance)
    assert (np.diag(found.spearman) == 1).all() and found.figure().data
    with pytest.raises(engine.EngineError, match="two circuits"):
        engine.agreement_of_searches(each[:1])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda s: engine.DiscoverMany(s, 0), "2 to 50 times, not 0"),
        (lambda s: engine.DiscoverMany(s, 1), "a single one is `discover`"),
        (lambda s: engine.DiscoverMany(s, 51), "2 to 50 times, not 51"),
        (lambda s: engine.discover_many(TASK, runs="many"), "How many runs"),
        (lambda s: engine.DiscoverMany(s, 2, fresh=TASK), "True or False"),
        (lambda s: engine.DiscoverMany(TASK), "A Search is run several times"),
        (lambda s: engine.DiscoverMany(replace(s, task=words(1)), 2), "One pair gives one search"),
        (lambda s: engine.discover_many(words(), runs=2), "Name the model"),
    ],
)
def test_what_cannot_be_run_several_times_is_said(make: Any, says: str) -> None:
    with pytest.raises(engine.EngineError, match=says):
        make(engine.Search("seq-gpt2", TASK))
