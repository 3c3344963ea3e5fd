"""Many prompts at once: equal to one at a time, right where they should be, controls apart."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import engine
from engine import registry
from engine.experiment.sites import Shape
from engine.generation.many_rows import is_right
from engine.passes import forward
from tests.support.some import some
from tests.support.tiny_models import Tiny, save_model

SHAPE = Shape(4, 6, 6, 48, 8, 40, 64, 64)


def prompts_of(rng: random.Random, n: int) -> list[str]:
    return [
        " ".join(f"t{rng.randrange(60)}" for _ in range(rng.choice((1, 2, 5)))) for _ in range(n)
    ]


def same(found: engine.GeneratedMany, expected: engine.GeneratedMany) -> None:
    assert found.totals == expected.totals
    for a, b in zip(found.rows, expected.rows, strict=True):
        for one, other in zip(a.continuations, b.continuations, strict=True):
            assert some(one).ids == some(other).ids
            assert some(one).log_prob == pytest.approx(some(other).log_prob, abs=1e-3)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral", "gemma3_text"])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.2, "seed": 4}])
def test_many_prompts_equal_one_at_a_time(kind: str, options: dict[str, Any], tiny: Tiny) -> None:
    directory = str(tiny(kind))
    e = engine.Experiment(
        directory, "", ablations="a0", method="mean", references=["t1 t2", "t5 t6 t7"]
    )
    prompts = prompts_of(random.Random(kind), 16)
    sets = {"heads": "a0 1.2", "MLP": "m1"}
    many = engine.generate_many(e, prompts, 9, sets=sets, **options)
    found = many.result()
    assert [row.index for row in found.rows] == list(range(16))
    assert [t.run.name for t in found.totals] == ["clean", "heads", "MLP"]
    parted = 0
    for row, prompt in zip(found.rows, prompts, strict=True):
        own = {**options, "seed": row.seed} if options else {}
        for name, at in (("heads", 1), ("MLP", 2)):
            alone = engine.Experiment(**{**vars(e), "prompt": prompt, "ablations": sets[name]})
            steps = list(engine.generate(alone, 9, **own))
            for run, one in (("clean", row.continuations[0]), ("ablated", row.continuations[at])):
                taken = [getattr(s, run) for s in steps if getattr(s, run) is not None]
                assert one is not None and one.ids == tuple(s.token_id for s in taken)
                assert one.log_prob == pytest.approx(sum(s.log_prob for s in taken), abs=1e-3)
                assert one.ended == taken[-1].ends
            first = next((s.index for s in steps if s.parted), None)
            assert some(row.continuations[at]).parts_at == first
            parted += first is not None
    assert parted > 8


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma3_text", "gpt2"])
def test_texts_that_end_early_leave_the_others_as_they_are(
    kind: str, tiny: Tiny, tmp_path: Path
) -> None:
    never = str(tiny(kind, eos_token_id=None))
    prompts = prompts_of(random.Random(1), 24)
    whole = engine.generate_many(engine.Experiment(never, ablations="m1"), prompts, 12).result()
    texts = [set(some(one).ids) for row in whole.rows for one in row.continuations]
    told = {i: sum(i in text for text in texts) for i in set.union(*texts)}
    ends: list[int] = []
    while sum(not text.isdisjoint(ends) for text in texts) <= 16:
        ends.append(max(told.keys() - ends, key=told.__getitem__))
    ending = str(save_model(kind, tmp_path, eos_token_id=ends))
    found = engine.generate_many(engine.Experiment(ending, ablations="m1"), prompts, 12).result()
    ended = 0
    for row, full in zip(found.rows, whole.rows, strict=True):
        for told_early, told_whole in zip(row.continuations, full.continuations, strict=True):
            one, other = some(told_early), some(told_whole)
            stop = next((n for n, i in enumerate(other.ids, 1) if i in ends), len(other.ids))
            assert one.ids == other.ids[:stop] and one.ended == (one.ids[-1] in ends)
            ended += one.ended
    assert 8 < ended < 48


def test_small_batches_give_what_large_ones_do(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    e = engine.Experiment(str(tiny("gpt2")), ablations="1.0 2.2")
    prompts = prompts_of(random.Random(2), 12)
    together = engine.generate_many(e, prompts, 6, controls=2).result()
    monkeypatch.setattr(forward, "CHUNK_BYTES", 1)
    same(engine.generate_many(e, prompts, 6, controls=2).result(), together)


def test_a_batch_that_does_not_fit_is_halved_and_tried_again(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(tiny("gpt2"))
    e = engine.Experiment(directory, ablations="a1")
    prompts = prompts_of(random.Random(3), 12)
    expected = engine.generate_many(e, prompts, 6).result()
    model, tried = type(registry.load(directory)), []
    call = model.go_on

    def small(self: Any, ids: Any, cache: Any) -> Any:
        tried.append(ids.shape[0])
        if ids.shape[0] > 3:
            raise RuntimeError(
                "[enforce fail] can't allocate memory: you tried to allocate 1 bytes"
            )
        return call(self, ids, cache)

    monkeypatch.setattr(model, "go_on", small)
    same(engine.generate_many(e, prompts, 6).result(), expected)
    assert max(tried) > 3

    def none(self: Any, ids: Any, cache: Any) -> Any:
        small(self, ids, cache)
        raise RuntimeError("can't allocate memory")

    monkeypatch.setattr(model, "go_on", none)
    found = engine.generate_many(e, prompts[:1], 6).result()
    assert "do not fit in the memory" in found.rows[0].errors[0]
    with pytest.raises(engine.EngineError, match="do not fit in the memory"):
        list(engine.generate(engine.Experiment(directory, "t1"), 3))


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
def test_a_task_is_answered_and_an_ablation_costs_its_answers(model: str) -> None:
    found = engine.generate_many(
        engine.Experiment(model, ablations="a0 a1"), engine.examples("numerals", 20, seed=1), 6
    ).result()
    clean, ablated = found.totals
    assert clean.judged == ablated.judged == 20
    assert some(clean.share_right) >= 0.95 > 0.5 >= some(ablated.share_right)
    assert clean.share_same == 1 and some(ablated.share_same) < 0.5
    for row in found.rows:
        one = some(row.continuations[0])
        assert one.right == is_right(one.text, row.answer)


def test_sets_are_held_against_layer_matched_controls() -> None:
    e = engine.Experiment("seq-gpt2", ablations="0.1 0.2 2.3")
    many = engine.generate_many(e, engine.examples("months", 4), 3, controls=5, seed=11)
    assert [r.control_of for r in many.runs] == ["", "", *["ablated"] * 5]
    own = set(engine.parse_sites("0.1 0.2 2.3"))
    for run in many.runs[2:]:
        drawn = engine.parse_sites(run.ablations)
        assert [s.layer for s in drawn] == [0, 0, 2] and not own & set(drawn)
    again = engine.generate_many(e, engine.examples("months", 4), 3, controls=5, seed=11)
    assert again.runs == many.runs and "seed 11" in many.notes[-1]
    assert len(many.result().totals) == 7


def test_controls_are_drawn_without_overlap() -> None:
    sites = engine.parse_sites("0.1 0.2 3.5 m1 m2 n1.7")
    drawn = engine.random_controls(sites, SHAPE, 12, seed=3)
    assert len(set(drawn)) == 12
    for one in drawn:
        assert not set(sites) & set(one)
        assert [str(s)[0] for s in one].count("m") == 2
        assert sorted(s.layer for s in one if isinstance(s, engine.Head)) == [0, 0, 3]
        assert [s.layer for s in one if isinstance(s, engine.Neuron)] == [1]
    assert engine.random_controls(sites, SHAPE, 12, seed=3) == drawn
    anywhere = engine.random_controls(sites, SHAPE, 30, layer_matched=False)
    assert len({tuple(s.layer for s in one) for one in anywhere}) > 5
    every = engine.random_controls(engine.parse_sites("0.1 3.0 m1"), SHAPE, 1000)
    assert len(set(every)) == len(every) == 5 * 5 * 3
    with pytest.raises(engine.ExperimentError, match="4 heads of layer 1, and only 2 others"):
        engine.random_controls(engine.parse_sites("1.0-3"), SHAPE, 1)
    with pytest.raises(engine.ExperimentError, match="without sites"):
        engine.random_controls((), SHAPE, 1)


def test_a_prompt_that_cannot_be_run_says_why_in_its_row(tiny: Tiny) -> None:
    e = engine.Experiment(
        str(tiny("gpt2", n_positions=8)), ablations="0.1", method="resample", corrupted="t5 t6"
    )
    prompts = ["t1 t2", "t1 t2 t3", " ".join(["t1"] * 9), "t1 \ud83d"]
    found = engine.generate_many(e, prompts, 20).result()
    right, longer, over, broken = found.rows
    assert all(right.continuations) and right.errors == ("", "")
    assert len(some(right.continuations[0]).ids) <= 6 and "no room for 20" in found.notes[0]
    assert longer.continuations[0] is not None and longer.continuations[1] is None
    assert "3 tokens long and the prompt 4" in longer.errors[1]
    assert over.continuations == (None, None) and "at most 8" in over.errors[0]
    assert "surrogate" in broken.errors[1]
    assert [t.compared for t in found.totals] == [2, 1]


def test_what_was_stopped_goes_on_without_what_is_done(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), ablations="0.1 m1")
    prompts = prompts_of(random.Random(5), 10)
    options: dict[str, Any] = {"controls": 2, "temperature": 1.3, "seed": 3}
    whole = engine.generate_many(e, prompts, 5, **options).result()
    going = engine.generate_many(e, prompts, 5, done=[0, 3, 4, 7, 99, -1], **options)
    rest = list(going)
    assert sorted(row.index for row in rest) == [1, 2, 5, 6, 8, 9] and going.progress == 1
    rows = sorted([*rest, *(whole.rows[i] for i in (0, 3, 4, 7))], key=lambda row: row.index)
    for a, b in zip(rows, whole.rows, strict=True):
        for one, other in zip(a.continuations, b.continuations, strict=True):
            assert some(one).ids == some(other).ids
        assert a.seed == b.seed and a.prompt == b.prompt
    assert list(engine.generate_many(e, prompts, 5, done=range(10), **options)) == []


def test_whoever_waits_for_rows_may_do_other_things_meanwhile(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), ablations="0.1")
    many = engine.generate_many(e, ["t1", "t2 t3"], 20)
    found = list(many.within(0.0001))
    assert [row.index for row in found if row is not None] == [0, 1] and "All 2" in many.ended
    assert list(many.within(0.1)) == []
    many = engine.generate_many(e, ["t1", "t2 t3"], 20)
    many.cancel()
    assert list(many.within(0.1)) == [] and many.stopped


def test_what_cannot_be_asked_is_told(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), ablations="0.1")
    for prompts, options, told in (
        ([], {}, "no prompts"),
        (["t1"], {"max_new_tokens": 0}, "at least 1"),
        (["t1"] * 10_001, {}, "at most 10,000"),
        (
            ["t1"] * 1000,
            {"controls": 200, "sets": {"x": "n0.1 n0.2 n0.3"}},
            "at most 100,000",
        ),
        (["t1"], {"sets": {"x": "9.1"}}, "layer 9"),
        (["t1"], {"temperature": -1.0}, "temperature"),
    ):
        with pytest.raises(engine.EngineError, match=told):
            engine.generate_many(e, prompts, **options)
    with pytest.raises(engine.EngineError, match="no family"):
        engine.examples("nothing", 3)


def test_rows_come_as_they_are_done_and_totals_of_some_can_be_had(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), ablations="0.1")
    many = engine.generate_many(e, [engine.Example("", "t1", " t2"), "t3 t4"], 4)
    first = next(many)
    assert first.index == 0
    assert [t.judged for t in engine.GeneratedMany((first,), many.runs, 0, ()).totals] == [1, 1]
    assert next(many).index == 1
    assert next(many, None) is None and many.progress == 1.0 and "All 2" in many.ended


def test_an_answer_is_right_only_as_a_whole_word_or_number() -> None:
    assert is_right(" 5 6 7", " 5") and is_right(" 5", " 5") and is_right(" May.", " May")
    assert not is_right(" 57", " 5") and not is_right("5", " 5") and not is_right(" Mayor", " May")


def test_pasted_prompts_are_read() -> None:
    found = engine.read_examples("1 2 3\t 4\n\nA B C\n")
    assert [(x.prompt, x.answer) for x in found] == [("1 2 3", " 4"), ("A B C", "")]
    assert len(set(engine.examples("weekdays", 100))) == len(engine.examples("weekdays", 100)) <= 7
