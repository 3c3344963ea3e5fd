"""Tasks of pairs: drawn for a model, read from files, scored as each pair is by itself."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine.tasks.families import LADDERS
from engine.tokenizers.vocabularies import find_tokenizer
from tests.conftest import real
from tests.support.some import some

FAMILIES = engine.pair_families()
TOKENIZERS = ("seq-gpt2", "seq-llama", "gpt2-tokenizer", "llama2-tokenizer")
UNREACHABLE = {("seq-gpt2", "greater than")}
"""seq-gpt2 cuts years at random places, so that no two centuries and years stand apart."""


def named(name: str) -> str:
    return str(real(name)) if name.endswith("-tokenizer") else name


@pytest.fixture(params=TOKENIZERS)
def model(request: pytest.FixtureRequest) -> str:
    return named(request.param)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_prompt_has_as_many_tokens_and_a_token_decides(family: str, model: str) -> None:
    if (model, family) in UNREACHABLE:
        with pytest.raises(
            engine.EngineError, match=r"12 pairs of “greater than”.* at most 1 were"
        ):
            engine.task(family, model)
        return
    task = engine.task(family, model, 12, seed=3)
    assert len(task.pairs) == len(set(task.pairs)) == 12
    tokenizer = find_tokenizer(model)
    for pair in task.pairs:
        prompt = tokenizer.encode(pair.prompt)
        assert len(prompt) == len(tokenizer.encode(pair.corrupted)) == task.n_tokens
        assert pair.prompt != pair.corrupted
        (answer, moved), (distractor, moves) = (
            tokenizer.in_place(prompt, text) for text in (pair.answer, pair.distractor)
        )
        assert not moved and not moves
        assert answer[0] != distractor[0]
        whole = tokenizer.encode(pair.prompt + pair.answer).ids
        assert whole == prompt.ids + answer


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_gives_the_same_pairs_again_and_another_gives_others(family: str) -> None:
    model = "seq-llama"
    assert engine.task(family, model, 6, seed=5) == engine.task(family, model, 6, seed=5)
    assert (
        engine.task(family, model, 6, seed=5).pairs != engine.task(family, model, 6, seed=6).pairs
    )


@pytest.mark.parametrize("family", [f for f in FAMILIES if f in LADDERS])
def test_a_corrupted_ladder_leaves_nothing_to_continue(family: str) -> None:
    pairs = engine.task(family, "seq-gpt2", 12).pairs
    for pair in pairs:
        clean, corrupted = pair.prompt.split(), pair.corrupted.split()
        assert all(a != b for a, b in zip(clean, corrupted, strict=True))
        assert pair.answer.strip() not in corrupted
        if not clean[0].isdigit():
            order = list(dict.fromkeys(LADDERS[family].run(0, 60)))
            steps = [order.index(b) - order.index(a) for a, b in itertools.pairwise(corrupted)]
            assert not {abs(step) % (len(order) - 1) for step in steps} & {0, 1}
        else:
            steps = [int(b) - int(a) for a, b in itertools.pairwise(corrupted)]
            assert len(set(steps)) > 1 and not {abs(step) for step in steps} & {0, 1}


def test_words_keep_their_places_where_their_tokens_can() -> None:
    for family in ("done in (numerals)", "dates", "indirect object"):
        task = engine.task(family, "seq-llama", 12)
        for pair in task.pairs:
            offsets = [
                [len(text[:end].split()) for _, end in engine.tokenize("seq-llama", text).offsets]
                for text in (pair.prompt, pair.corrupted)
            ]
            assert offsets[0] == offsets[1]


def test_greater_than_starts_at_01_and_the_third_name_changes() -> None:
    for pair in engine.task("greater than", named("gpt2-tokenizer"), 12).pairs:
        start, century = pair.prompt.split()[6], pair.prompt[-2:]
        assert pair.corrupted == pair.prompt.replace(start, f"{century}01")
        assert int(pair.distractor) < int(start[2:]) < int(pair.answer)
    for pair in engine.task("indirect object", named("gpt2-tokenizer"), 12).pairs:
        changed = [
            (a, b)
            for a, b in zip(pair.prompt.split(), pair.corrupted.split(), strict=True)
            if a != b
        ]
        assert len(changed) == 1 and changed[0][0] == pair.distractor.strip()
        assert changed[0][1] not in pair.prompt
        assert pair.prompt.count(pair.answer.strip()) == 1
        assert pair.prompt.count(pair.distractor.strip()) == 2


def test_a_family_with_few_prompts_repeats_them_evenly_and_says_so() -> None:
    task = engine.task("weekdays", "seq-gpt2", 12)
    times = [sum(p.prompt == pair.prompt for p in task.pairs) for pair in task.pairs]
    assert set(times) == {1, 2} and len(set(task.pairs)) == 12
    assert any("7 different prompts" in note for note in task.notes)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("seasons", "seq-gpt2", 4), "no family “seasons”"),
        (("months", "seq-gpt2", 0), "1 to 1,000 pairs can be drawn, not 0"),
        (("months", "seq-gpt2", 2_000), "not 2,000"),
        (("months", "no such/model/at all", 4), "no such/model/at all"),
    ],
)
def test_what_cannot_be_drawn_is_told(asked: tuple[Any, ...], told: str) -> None:
    with pytest.raises(engine.EngineError, match=told):
        engine.task(*asked)


texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)
pairs = st.builds(engine.Pair, texts.filter(bool), texts, texts, texts)


@given(st.lists(pairs, min_size=1, max_size=5), st.sampled_from(["csv", "jsonl"]))
def test_a_written_task_reads_back(some: Any, form: Any) -> None:
    task = engine.Task("mine", tuple(some))
    assert engine.read_task(engine.write_task(task, form), "mine") == task


def test_columns_may_be_left_out_and_spaces_belong_to_the_texts() -> None:
    (pair,) = engine.read_task("answer, Prompt\n 5,1 2 3 4\n", "mine").pairs
    assert pair == engine.Pair("1 2 3 4", answer=" 5")
    (pair,) = engine.read_task('{"prompt": "A B", "answer": " C"}\n', "mine").pairs
    assert pair == engine.Pair("A B", answer=" C")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no pairs"),
        ("prompt\n", "no pairs"),
        ("1 2 3 4\n", "Line 1 names the columns"),
        ("prompt,colour\na,b", "Line 1 names the columns “prompt, colour”"),
        ("prompt,answer\na,b\n\n,c\n", "Line 4: there is no prompt"),
        ("prompt,answer\na,b,c\n", "Line 2: there are 3 values for 2 columns"),
        ('prompt\n"a', "Line 2: this is not CSV"),
        ('{"prompt": "a"}\n{"prompt"', "Line 2: this is not JSON"),
        ('{"prompt": "a"}\n[]', "Line 2: a pair is an object"),
        ('{"prompt": 3}', "Line 1: a pair is an object whose values are texts"),
        ('{"prompt": "a", "answr": "b"}', "Line 1: a pair has no “answr”"),
        ('{"answer": "b"}', "Line 1: there is no prompt"),
        ("prompt\n" + "a\n" * 10_001, "Line 10002: a task has at most 10,000"),
    ],
)
def test_a_file_that_cannot_be_read_names_the_line(text: str, told: str) -> None:
    with pytest.raises(engine.EngineError, match=told):
        engine.read_task(text, "mine")


def test_a_task_needs_prompts() -> None:
    with pytest.raises(engine.EngineError, match="0 pairs"):
        engine.Task("none", ())
    with pytest.raises(engine.EngineError, match="Pair 2 of the task “half” has no prompt"):
        engine.Task("half", (engine.Pair("a"), engine.Pair("")))
    with pytest.raises(engine.EngineError, match="written as csv or jsonl, not as “xml”"):
        engine.write_task(engine.Task("one", (engine.Pair("a"),)), "xml")


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
@pytest.mark.parametrize("method", ["zero", "mean", "mean_by_position", "resample"])
def test_scoring_a_task_equals_asking_each_pair(model: str, method: str) -> None:
    task = engine.task("numerals", model, 5, seed=1)
    e = engine.Experiment(model, ablations="0.1 1.2 m2", method=method)
    found = engine.score_task(model, task, e)
    assert found.ablated is not None
    for i, pair in enumerate(task.pairs):
        references = task.references if method.startswith("mean") else ()
        alone = engine.next_token(
            dataclasses.replace(
                e,
                prompt=pair.prompt,
                corrupted=pair.corrupted,
                answer=pair.answer,
                distractor=pair.distractor,
                references=references,
            )
        )
        assert alone.answer is not None
        for run, diff, score in (
            (found.clean, alone.clean_logit_diff, alone.answer.clean),
            (found.ablated, alone.ablated_logit_diff, alone.answer.ablated),
        ):
            assert run.logit_diff[i] == pytest.approx(diff, abs=1e-4)
            assert run.prob[i] == pytest.approx(score.prob, abs=1e-4)
            assert run.rank[i] == score.rank
            assert run.right[i] == (score.rank == 1)


def test_scores_are_of_the_clean_model_alone_where_nothing_is_ablated() -> None:
    task = engine.task("months", "seq-gpt2", 12)
    found = engine.score_task("seq-gpt2", task)
    assert found.ablated is None
    assert found.clean.accuracy == 1 and some(found.clean.mean_logit_diff) > 0
    assert found.clean.mean_logit_diff == pytest.approx(np.mean(found.clean.logit_diff))


def test_pairs_the_model_gets_wrong_can_be_left_out() -> None:
    right = engine.Pair("1 2 3 4", "7 2 9 4", " 5", " 4")
    wrong = engine.Pair("1 2 3 4", "7 2 9 4", " 9", " 4")
    task = engine.Task("mine", (wrong, right, wrong))
    found = engine.score_task("seq-gpt2", task)
    assert found.clean.right.tolist() == [False, True, False]
    assert any("gets 2 of the 3 pairs wrong" in note for note in found.notes)
    assert task.without_wrong(found).pairs == (right,)
    with pytest.raises(engine.EngineError, match="score is of 3 pairs, and “one” has 1"):
        engine.Task("one", (right,)).without_wrong(found)
    none = engine.Task("none", (wrong,))
    with pytest.raises(engine.EngineError, match="gets all 1 pairs of “none” wrong"):
        none.without_wrong(engine.score_task("seq-gpt2", none))


def test_a_pair_that_cannot_be_scored_is_named() -> None:
    good = engine.Pair("1 2 3", answer=" 4")
    with pytest.raises(engine.EngineError, match="Pair 2 of “mine”, “5 6 7”: it has no answer"):
        engine.score_task("seq-gpt2", engine.Task("mine", (good, engine.Pair("5 6 7"))))
    e = engine.Experiment("seq-gpt2", ablations="0.1", method="resample")
    with pytest.raises(engine.EngineError, match=r"Pair 1 of “mine”.*corrupted prompt, and there"):
        engine.score_task("seq-gpt2", engine.Task("mine", (good,)), e)
    found = engine.score_task("seq-gpt2", engine.Task("mine", (good,)))
    assert np.isnan(found.clean.logit_diff).all() and found.clean.mean_logit_diff is None
    assert any("1 of the 1 pairs have no logit difference" in note for note in found.notes)


def test_scoring_can_be_called_off() -> None:
    task = engine.task("numerals", "seq-gpt2", 12)
    job = engine.begin(engine.ScoreTask("seq-gpt2", task, engine.Experiment(ablations="0.1")))
    job.cancel()
    with pytest.raises(engine.Cancelled):
        job.result(30)


@pytest.mark.parametrize("method", ["resample", "mean"])
def test_pairs_decided_behind_the_prompts_end_are_told_where_nothing_is_changed_there(
    method: str,
) -> None:
    pair = engine.Pair("1 2 3 4", "7 2 9 6", " 5", " 4")  # both begin with a bare space
    task = engine.Task("mine", (pair,))
    e = engine.Experiment("seq-llama", ablations="a0", method=method)
    late = [
        any("nothing is changed" in note for note in found.notes)
        for found in (
            engine.score_task("seq-llama", task, e),
            engine.path_patch(e, "m1", task=task),
            engine.path_matrix(e, "m1", task=task),
        )
    ]
    assert late == [method == "resample"] * 3
    drawn = engine.task("numerals", "seq-llama", 3)
    found = engine.score_task("seq-llama", drawn, e)
    assert not any("nothing is changed" in note for note in found.notes)
