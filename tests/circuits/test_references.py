"""Which prompts a circuit's averages are over: a choice of its own, whatever pairs it is asked of.

The truth is the Hugging Face model with plain hooks, means taken from the prompts that are said.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch

import engine
from tests.circuits.test_circuits import HEADS, LAYERS, WORDS, circuit, solved, task
from tests.passes.test_ablation_against_hugging_face import ids_of
from tests.support.reference import Change, Reference, always
from tests.support.some import some
from tests.support.tiny_models import Tiny

KEPT = {("head", 0, 1), ("head", 1, 2), ("head", 2, 3), ("mlp", 0, 0)}
SITES = "0.1 1.2 2.3 m0"
EVERY = [("head", i, h) for i in range(LAYERS) for h in range(HEADS)]
EVERY += [("mlp", i, 0) for i in range(LAYERS)]


def right(model: str, asked: engine.Task) -> engine.Task:
    """The task with the answers that the model prefers."""
    diffs = engine.score_task(model, asked).clean.logit_diff
    pairs = [
        p if d > 0 else replace(p, answer=p.distractor, distractor=p.answer)
        for p, d in zip(asked.pairs, diffs, strict=True)
    ]
    return replace(asked, pairs=tuple(pairs))


def prompts(n: int, length: int, seed: int) -> tuple[str, ...]:
    rng = Random(seed)
    return tuple(" ".join(rng.choices(WORDS, k=length)) for _ in range(n))


def plain_scores(
    directory: str,
    asked: engine.Task,
    references: tuple[str, ...],
    method: str,
    ablated: set[tuple[str, int, int]],
) -> np.ndarray:
    """Logit differences with sites set to their means over these references, from plain hooks."""
    ref = Reference(directory)
    means = {}
    for site in ablated:
        values = [ref.value(*site, ids_of(directory, text)) for text in references]
        if method == "mean_by_position":
            means[site] = torch.stack(values).mean(0)
        else:
            means[site] = torch.cat(values).mean(0)
    diffs = []
    for pair in asked.pairs:
        ids = ids_of(directory, pair.prompt)
        where = tuple(range(len(ids)))
        changes = [Change(*site, where, always(mean)) for site, mean in means.items()]
        logits = ref.logits(ids, changes)[-1].double()
        a, d = (ids_of(directory, text)[-1] for text in (pair.answer, pair.distractor))
        diffs.append(float(logits[a] - logits[d]))
    return np.array(diffs)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("method", ["mean_by_position", "mean"])
def test_on_fresh_pairs_the_means_are_still_those_of_the_circuits_own_prompts(
    kind: str, method: str, tiny: Tiny
) -> None:
    directory = str(tiny(kind))
    own = prompts(5, 5 if method == "mean_by_position" else 3, seed=7)
    one = circuit(SITES, directory, method=method, references=own)
    fresh = right(directory, task(4, seed=9))
    found = engine.evaluate(one, fresh, controls=2)
    assert (found.whose, found.references, found.pairs) == ("circuit", own, fresh.pairs)
    clean = plain_scores(directory, fresh, own, method, set())
    kept = plain_scores(directory, fresh, own, method, set(EVERY) - KEPT)
    removed = plain_scores(directory, fresh, own, method, KEPT)
    empty = plain_scores(directory, fresh, own, method, set(EVERY))
    for run, meant in (("clean", clean), ("kept", kept), ("removed", removed), ("empty", empty)):
        scores = getattr(found, run)
        np.testing.assert_allclose(scores.logit_diff, meant, atol=1e-4)
        assert found.spread(scores) == pytest.approx(meant.std() / clean.mean(), abs=1e-3)
    for i, site in enumerate([("head", 0, 1), ("head", 1, 2), ("head", 2, 3), ("mlp", 0, 0)]):
        without = plain_scores(directory, fresh, own, method, (set(EVERY) - KEPT) | {site})
        assert found.without[i] == pytest.approx(without.mean(), abs=1e-4)
        std = (kept - without).std() / clean.mean()
        assert some(found.adds_std)[i] == pytest.approx(std, abs=1e-3)
    assert f"{len(own)} corrupted prompts of the pairs the circuit was found on" in found.conditions
    controls = some(found.controls)
    drawn = {(type(s).__name__.lower(), s.layer, getattr(s, "head", 0)) for s in controls.sites[0]}
    alike = plain_scores(directory, fresh, own, method, set(EVERY) - drawn)
    assert controls.kept[0] == pytest.approx(alike.mean(), abs=1e-4)
    assert some(controls.kept_std)[0] == pytest.approx(alike.std(), abs=1e-4)


@pytest.mark.parametrize("method", ["mean_by_position", "mean"])
def test_the_means_may_be_taken_from_elsewhere(method: str, tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    fresh = right(directory, task(3, seed=9))
    one = circuit(SITES, directory, method=method, references=prompts(5, 5, seed=7))
    others, other = prompts(4, 5, seed=8), task(6, seed=8)
    for given, texts, whose in (
        (fresh, fresh.references, "pairs"),
        (others, others, "given"),
        (list(others), others, "given"),
        (other, other.references, "given"),
    ):
        found = engine.evaluate(one, fresh, 0, minimality=False, references=given)
        assert (found.whose, found.references) == (whose, texts)
        kept = plain_scores(directory, fresh, texts, method, set(EVERY) - KEPT)
        np.testing.assert_allclose(found.kept.logit_diff, kept, atol=1e-4)
    bare = engine.evaluate(replace(one, references=()), fresh, 0, minimality=False)
    same = engine.evaluate(one, fresh, 0, minimality=False, references=fresh)
    assert bare.whose == "pairs" and bare.references == fresh.references
    np.testing.assert_allclose(bare.kept.logit_diff, same.kept.logit_diff, atol=1e-6)
    assert f"{len(fresh.references)} corrupted prompts of these pairs" in bare.conditions


def test_own_prompts_of_another_length_are_left_and_it_is_said(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    fresh = right(directory, task(3, seed=9))
    one = circuit(SITES, directory, references=prompts(5, 4, seed=7))
    found = engine.evaluate(one, fresh, 0, minimality=False)
    assert found.whose == "pairs" and found.references == fresh.references
    n, m = (len(ids_of(directory, text)) for text in (one.references[0], fresh.pairs[0].prompt))
    assert any(f"have {n} tokens and these pairs {m}" in note for note in found.notes)
    free = engine.evaluate(replace(one, method="mean"), fresh, 0, minimality=False)
    assert free.whose == "circuit" and free.references == one.references
    with pytest.raises(engine.EngineError, match=f"is {n} tokens long and the prompt {m}"):
        engine.evaluate(one, fresh, 0, references=one.references)
    with pytest.raises(engine.EngineError, match="No reference prompts are given"):
        engine.evaluate(one, fresh, 0, references=[])
    with pytest.raises(engine.EngineError, match="not one text"):
        engine.evaluate(one, fresh, 0, references="t1 t2")


@pytest.mark.parametrize("method", ["zero", "resample"])
def test_a_method_that_does_not_average_has_no_references(method: str, tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    fresh = right(directory, task(3, seed=9))
    one = circuit(SITES, directory, method=method, references=prompts(5, 4, seed=7))
    found = engine.evaluate(one, fresh, 0, minimality=False)
    bare = engine.evaluate(replace(one, references=()), fresh, 0, minimality=False)
    assert (found.whose, found.references) == ("", ())
    assert (found.kept.logit_diff == bare.kept.logit_diff).all()
    assert ("each pair's corrupted prompt" in found.conditions) == (method == "resample")


def test_a_circuit_that_was_searched_carries_the_searchs_prompts_and_is_judged_by_them(
    tiny: Tiny,
) -> None:
    directory = str(tiny("gpt2"))
    asked, fresh = solved(directory), right(directory, task(6, seed=9))
    found = engine.discover(asked, directory, threshold=0.5, controls=2, fresh=fresh)
    one, judged = found.circuit, some(found.evaluation)
    assert one.references == found.references == asked.references
    assert (judged.whose, judged.references) == ("circuit", asked.references)
    assert judged.pairs == fresh.pairs and found.fresh
    kept = {
        ("head", s.layer, s.head) if isinstance(s, engine.Head) else ("mlp", s.layer, 0)
        for s in one.sites
    }
    meant = plain_scores(directory, fresh, asked.references, "mean_by_position", set(EVERY) - kept)
    np.testing.assert_allclose(judged.kept.logit_diff, meant, atol=1e-4)
    again = engine.evaluate(one, asked, 0, minimality=False)
    assert again.kept.mean_logit_diff == pytest.approx(found.kept, abs=1e-4)
    for method, has in (("mean", True), ("resample", False), ("zero", False)):
        other = engine.discover(asked, directory, method=method, threshold=0.5, controls=0)
        assert bool(other.circuit.references) is has


def test_pairs_that_share_a_corrupted_prompt_weigh_it_once_in_search_and_score(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    pairs = solved(directory).pairs
    twice = tuple(replace(p, corrupted=pairs[0].corrupted) for p in pairs[:3])
    asked = engine.Task("words", (*twice, *pairs[3:]))
    found = engine.discover(asked, directory, method="mean", threshold=0.5, controls=0)
    assert found.references == asked.references and len(found.references) == len(pairs) - 2
    e = engine.Experiment(directory, ablations=found.circuit.kept, method="mean")
    score = engine.score_task(directory, asked, e)
    assert some(score.ablated).mean_logit_diff == pytest.approx(found.kept, abs=1e-4)


def test_references_are_written_with_a_circuit_and_older_forms_read_as_before() -> None:
    own = ("t1 t2\nt3", "“ t4”")
    one = circuit(SITES, references=own)
    assert engine.Circuit.from_json(one.to_json()) == one
    assert engine.read_circuits(engine.write_circuits([one, one])) == (one, one)
    assert eval(one.to_python(), {"engine": engine}) == one
    assert engine.Circuit.from_csv(one.to_csv(), "mine", "m", "words", LAYERS, HEADS) == replace(
        one, references=()
    )
    older = circuit(SITES)
    assert "references" not in older.to_json() and older.references == ()
    for wrong, told in (
        ('"references": "t1"', "cannot be 't1'"),
        ('"references": [1]', "are texts, not int"),
        ('"references": [""]', "reference prompt is empty"),
    ):
        text = older.to_json().replace('"sites"', f'{wrong}, "sites"')
        with pytest.raises(engine.EngineError, match=told):
            engine.Circuit.from_json(text)


def test_what_two_circuits_share_has_references_only_where_both_have_the_same() -> None:
    a, b = (circuit(sites, references=("t1", "t2")) for sites in ("0.1 1.2", "1.2 m0"))
    assert a.union(b).references == a.intersection(b).references == ("t1", "t2")
    other = replace(b, references=("t3",))
    assert a.union(other).references == a.intersection(other).references == ()


def test_the_tables_name_spread_and_references(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    fresh = right(directory, task(4, seed=9))
    one = circuit(SITES, directory, references=prompts(5, 5, seed=7))
    found = engine.evaluate(one, fresh, 2)
    clean = found.clean.logit_diff.mean()
    for row in found.table():
        assert (row["references"], row["whose"], row["n"]) == (5, "circuit", 4)
        if not str(row["of"]).startswith("circuit without"):
            assert row["share_std"] == pytest.approx(row["std"] / clean)
    adds = dict(zip(map(str, found.members), some(found.adds_std), strict=True))
    for row in found.members_table():
        assert row["adds_std"] == adds[str(row["site"])] and row["n"] == 4
    single = engine.evaluate(one, replace(fresh, pairs=fresh.pairs[:1]), 0)
    assert single.spread(single.kept) is None
