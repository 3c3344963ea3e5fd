"""Families in styles: what is written, drawn, read back, and how many of it a model gets right."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

import engine
from engine.experiment.question import Question
from engine.lengths.cutting import sequence_of
from engine.model.worker import Steps
from engine.tasks import style_scores
from engine.tasks.drafts import draft_of
from engine.tasks.families import LADDERS
from engine.tokenizers.vocabularies import find_tokenizer
from tests.support.some import some
from tests.tasks.test_pairs import TOKENIZERS, named
from tests.test_architecture import ROOT

WRITTEN = {
    "spaces": ("1 2 3 4", " 5"),
    "commas": ("1, 2, 3, 4,", " 5"),
    "lines": ("1\n2\n3\n4\n", "5"),
    "then": ("1 then 2 then 3 then 4 then", " 5"),
}
SENTENCES = tuple(f for f in engine.pair_families() if f not in LADDERS)
styles = st.sampled_from(tuple(WRITTEN))


def test_each_style_is_written_as_it_is_told() -> None:
    assert tuple(engine.STYLES) == tuple(WRITTEN)
    for name, (prompt, answer) in WRITTEN.items():
        style = engine.STYLES[name]
        assert (style.prompt("1234"), style.following("5")) == (prompt, answer)


@given(styles, st.lists(st.text("abc1", min_size=1, max_size=3), min_size=1, max_size=6))
def test_a_prompt_with_its_answer_begins_the_prompt_that_is_one_longer(
    name: str, terms: list[str]
) -> None:
    style = engine.STYLES[name]
    longer = style.prompt([*terms, "z"])
    assert longer == style.prompt(terms) + style.following("z") + style.behind
    assert longer.removesuffix(style.behind).split(style.between) == [*terms, "z"]


def test_ladders_come_in_styles_and_sentences_have_a_form_of_their_own() -> None:
    for family in {*engine.pair_families(), *engine.task_families()}:
        assert engine.styles_of(family) == (tuple(WRITTEN) if family in LADDERS else ())
    assert engine.styles_of("seasons") == ()


@pytest.mark.parametrize("family", LADDERS)
def test_examples_of_a_seed_are_the_same_terms_in_every_style(family: str) -> None:
    plain = engine.examples(family, 6, seed=2)
    assert plain == engine.examples(family, 6, 2, "spaces")
    for name, style in engine.STYLES.items():
        drawn = engine.examples(family, 6, 2, name)
        for one, other in zip(drawn, plain, strict=True):
            assert one.prompt == style.prompt(other.prompt.split())
            assert one.answer == style.following(other.answer.strip())
            assert one.distractor == style.following(other.distractor.strip())


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("name", WRITTEN)
def test_every_family_is_drawn_in_every_style_with_equal_tokens_and_answers_in_place(
    name: str, tokenizer: str
) -> None:
    model, style = named(tokenizer), engine.STYLES[name]
    read = find_tokenizer(model)
    for family in LADDERS:
        task = engine.task(family, model, 4, 3, name)
        assert (task.family, task.style, len(set(task.pairs))) == (family, name, 4)
        known = set(LADDERS[family].run(0, 60)) if not LADDERS[family].counted else None
        for pair in task.pairs:
            whole, clean, corrupted = _terms(pair, style)
            assert len(clean) == len(corrupted) == LADDERS[family].shown
            assert all(a != b for a, b in zip(clean, corrupted, strict=True))
            run = [*clean, whole.removeprefix(style.prompt(clean) + style.lead)]
            assert _follows(LADDERS[family], run)
            if known is not None and not run[0].isdigit():
                assert known.issuperset(corrupted)
            prompt = read.encode(pair.prompt)
            assert len(prompt) == len(read.encode(pair.corrupted)) == task.n_tokens
            ids = [read.in_place(prompt, text) for text in (pair.answer, pair.distractor)]
            assert not any(moved for _, moved in ids)
            assert ids[0][0][0] != ids[1][0][0]  # they part at the very next token
            assert read.encode(whole).ids == prompt.ids + ids[0][0]


def _terms(pair: engine.Pair, style: Any) -> tuple[str, list[str], list[str]]:
    """The prompt with its answer, and the terms that clean and corrupted prompt show: what answer
    and distractor begin with may stand at the ends of both."""
    whole = pair.prompt + pair.answer
    *clean, _ = whole.split(style.between)
    shared = pair.prompt.removeprefix(style.prompt(clean))
    assert style.prompt(clean) + shared == pair.prompt
    assert pair.corrupted.endswith(style.behind + shared)
    corrupted = pair.corrupted.removesuffix(style.behind + shared).split(style.between)
    assert style.prompt(corrupted) + shared == pair.corrupted
    return whole, clean, corrupted


def _follows(ladder: Any, run: list[str]) -> bool:
    return any(ladder.run(start, len(run)) == run for start in ladder.starts)


def test_without_a_style_all_is_as_it_was() -> None:
    plain, named_so = (engine.task("months", "seq-gpt2", 6, 1, *s) for s in ((), ("spaces",)))
    assert plain == named_so and plain.name == "months"
    assert all(" ".join(pair.prompt.split()) == pair.prompt for pair in plain.pairs)
    question = engine.DrawTask("months", "seq-gpt2", style="spaces")
    assert question.to_dict() == {"asks": "task", "family": "months", "model": "seq-gpt2"}
    assert "style" not in engine.ScoreTask("seq-gpt2", plain).to_json()
    assert "style" not in question.to_python()


@given(styles, st.sampled_from(tuple(LADDERS)), st.integers(1, 20), st.integers(0, 9))
def test_a_style_is_kept_in_json_link_and_python(name: str, family: str, n: int, seed: int) -> None:
    question = engine.DrawTask(family, "m", n, seed, name)
    assert Question.from_json(question.to_json()) == question
    assert Question.from_url(question.to_url()) == question
    written = question.to_python().replace("engine.task", "engine.DrawTask")
    assert eval(written, {"engine": engine}) == question
    assert ("style" in question.to_dict()) == (name != "spaces")
    task = engine.Task(question.name, [engine.Pair("1")], family, "m", style=name)
    asked = engine.ScoreTask("m", task)
    assert Question.from_json(asked.to_json()) == asked


def test_json_of_before_there_were_styles_reads() -> None:
    task = {"name": "months", "family": "months", "pairs": [{"prompt": "May June"}]}
    old = {"asks": "score_task", "model": "m", "task": task}
    read = Question.from_json(json.dumps(old))
    assert isinstance(read, engine.ScoreTask) and read.task.style == "spaces"
    assert read.to_dict() == old


def test_fresh_pairs_are_of_the_same_style() -> None:
    drawn = engine.task("numerals", "seq-llama", 4, style="commas")
    fresh = some(engine.fresh_task(drawn))
    assert (fresh.style, fresh.name) == ("commas", "numerals, commas, fresh pairs")
    assert not {p.prompt for p in fresh.pairs} & {p.prompt for p in drawn.pairs}
    assert all(pair.prompt.count(",") == 4 for pair in fresh.pairs)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_prompt_in_a_style_is_shown_term_by_term(name: str) -> None:
    style = engine.STYLES[name]
    for family, seed in itertools.product(LADDERS, range(2)):
        draft = draft_of(family, name, Random(seed))
        pair = engine.Pair(draft.write(draft.terms), "", draft.answer, draft.distractor)
        terms, sequence = [*draft.terms, draft.answer.removeprefix(style.lead)], sequence_of(pair)
        assert len(sequence) == len(draft.terms)
        for n in range(1, len(sequence)):
            shown = sequence.showing(n)
            assert shown.prompt == style.prompt(terms[:n])
            assert shown.answer == style.following(terms[n])
            assert shown.distractor == style.following(terms[n - 1])


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (lambda: engine.task("months", "seq-gpt2", style="tabs"), "no style “tabs”; there are spa"),
        (lambda: engine.task("dates", "seq-gpt2", style="lines"), "“dates” is a sentence"),
        (lambda: engine.examples("ages", 3, style="then"), "“ages” is a sentence"),
        (lambda: engine.Task("mine", "1 2", style="tabs"), "no style “tabs”"),
        (lambda: engine.score_styles("seq-gpt2", "seasons"), "no family “seasons”"),
        (lambda: engine.score_styles("seq-gpt2", ("ages", "ages")), "name each once"),
        (lambda: engine.score_styles("seq-gpt2", n=0), "not 0"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_told(asked: Any, told: str) -> None:
    with pytest.raises(engine.EngineError, match=told):
        asked()


COUNTED = ("numerals", "months", "ages")


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
def test_what_a_model_does_is_what_hugging_faces_own_puts_first(model: str) -> None:
    result = engine.score_styles(model, COUNTED, n=5, seed=1)
    directory = ROOT / "assets" / "models" / model
    hf = AutoModelForCausalLM.from_pretrained(directory).eval()
    read = AutoTokenizer.from_pretrained(directory)
    assert result.done and not result.reasons
    rights = []
    for row in result.table():
        family, style = str(row["family"]), str(row["style"])
        told = {} if style == "sentence" else {"style": style}
        pairs = engine.task(family, model, 5, 1, **told).pairs
        right, diffs = 0, []
        for pair in pairs:
            answer, distractor = (
                read(pair.prompt + text)["input_ids"] for text in (pair.answer, pair.distractor)
            )
            at = next(i for i, (a, d) in enumerate(zip(answer, distractor, strict=False)) if a != d)
            with torch.no_grad():
                logits = hf(torch.tensor([answer[:at]])).logits[0, -1]
            right += int(logits.argmax()) == answer[at]
            diffs.append(float(logits[answer[at]] - logits[distractor[at]]))
        assert row["right"] == right and row["n"] == 5
        assert row["logit_diff"] == pytest.approx(np.mean(diffs), abs=1e-3)
        assert row["spread"] == pytest.approx(np.std(diffs), abs=1e-3)
        assert row["prompts"] == len({pair.prompt for pair in pairs})
        rights.append(right)
    assert max(rights) == 5 > min(rights)  # of some it is right, of some not


def test_a_table_is_known_style_by_style_and_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    question = engine.ScoreStyles("seq-gpt2", ("weekdays", "greater than"), n=3)
    parts: list[engine.StyleScores] = []
    model = engine.load("seq-gpt2")
    whole = model.worker.submit(question.answered(model).steps(parts.append)).result()
    assert [part.progress for part in parts] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert [int(np.isfinite(part.right).sum()) for part in parts] == [1, 2, 3, 4, 4]
    assert parts[1].told("weekdays", "lines") == "" == parts[1].told("greater than")
    assert whole.told("greater than") == "cannot be asked" and whole.of("greater than") is None
    assert "equal numbers of tokens" in whole.reasons["greater than", "sentence"]
    scored: list[str] = []

    def again(_model: Any, _asked: Any, _family: str, style: str) -> Steps[Any]:
        scored.append(style)
        return (0.0, 0.0, 0.0, 0.0)
        yield 0.0

    monkeypatch.setattr(style_scores, "_scored", again)
    left = question.answered_after(model, parts[2]).steps(lambda _: None)
    after = model.worker.submit(left).result()
    assert scored == ["then", "sentence"]
    np.testing.assert_array_equal(after.right[0, :3], whole.right[0, :3])
    with pytest.raises(engine.EngineError, match="of other prompts"):
        replace(question, seed=4).answered_after(model, whole)


def _scores(right: list[float], diff: list[float]) -> engine.StyleScores:
    numbers = np.full((4, 2, 5), np.nan)
    numbers[:, 0, :4] = right, diff, [0.0] * 4, [3.0] * 4
    why = {("dates", "sentence"): "No pair can be drawn."}
    rights, diffs, spreads, prompts = numbers
    return engine.StyleScores(
        "m", ("months", "dates"), 3, 0, rights, diffs, spreads, prompts, why, progress=1.0
    )


def test_the_best_style_has_most_right_and_of_equal_ones_the_greatest_difference() -> None:
    assert _scores([1, 2, 3, 0], [9, 9, 1, 0]).best("months") == "lines"
    assert _scores([3, 3, 3, 0], [1, 2, 2, 0]).best("months") == "commas"
    assert _scores([0, 0, 0, 0], [1, 2, 2, 0]).best("months") is None
    assert _scores([1, 2, 3, 0], [0, 0, 0, 0]).best("dates") is None
    assert _scores([np.nan, 0, 1, np.nan], [np.nan, 0, 1, np.nan]).best("months") == "lines"
    with pytest.raises(engine.EngineError, match="Nothing was asked of “months” as “sentence”"):
        _scores([0] * 4, [0] * 4).of("months")


def test_the_figure_says_each_number_and_why_there_is_none() -> None:
    drawn = _scores([1, 3, np.nan, 0], [0, 2.5, np.nan, 0]).figure().data[0]
    assert [list(row) for row in drawn.text] == [
        ["1 of 3", "<b>3 of 3</b>", "", "0 of 3", ""], ["", "", "", "", "–"],
    ]  # fmt: skip
    assert "+2.50 ± 0.00, 3 different prompts" in drawn.customdata[0][1]
    assert "not known" in drawn.customdata[0][2]
    assert drawn.customdata[1][4].endswith("No pair can be drawn.")
    assert np.isnan(drawn.z[1]).all() and (drawn.zmin, drawn.zmax) == (0, 3)


def test_examples_asked_for_again_are_not_drawn_again() -> None:
    assert engine.examples("months", 200) is engine.examples("months", 200)
    assert engine.examples("months", 200) is not engine.examples("months", 200, seed=1)
