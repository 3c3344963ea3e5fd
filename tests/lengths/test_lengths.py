"""Scores by length are those of each prompt asked by itself, and of plain hooks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

import engine
from engine.model.checkpoints import BUNDLED
from tests.passes.test_ablation_against_hugging_face import directory_of
from tests.support.reference import Change, Reference, always
from tests.support.tiny_models import Tiny

MODELS = ("seq-gpt2", "seq-llama")
METHODS = ("zero", "mean", "mean_by_position", "resample", "scale(0.3)")
E = engine.Experiment(
    "seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4", ablations="1.3 m2", changes="scale(0.5) a4 @-1"
)


def asked(result: engine.LengthScores, pair: int, k: int, references: Any) -> engine.NextToken:
    """The same asked of one prompt at one length by itself."""
    one = result.shown[pair][k]
    e = replace(
        result.experiment,
        prompt=one.prompt,
        corrupted=one.corrupted,
        answer=one.answer,
        distractor=one.distractor,
        references=references,
    )
    return engine.next_token(e)


def same(result: engine.LengthScores, pair: int, k: int, ranked: engine.NextToken) -> None:
    assert ranked.answer is not None
    for name, run in result.runs.items():
        score = getattr(ranked.answer, name)
        diff = getattr(ranked, f"{name}_logit_diff")
        wanted = [score.prob, score.log_prob, score.rank, np.nan if diff is None else diff]
        numbers = [result.values(name, metric)[pair, k] for metric in engine.LENGTH_METRICS]
        np.testing.assert_allclose(numbers, wanted, atol=1e-4)
        assert run.prob.shape == (len(result.pairs), len(result.lengths))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", MODELS)
def test_each_length_of_a_prompt_is_what_next_token_gives_of_it(model: str, method: str) -> None:
    e = replace(E, model=model, method=method)
    result = engine.score_lengths(e)
    assert result.lengths == range(1, 5) and result.shown[0][-1].prompt == e.prompt
    for k in range(4):
        cut = " ".join(e.corrupted.split()[: k + 1])
        references = {"mean": ("8 1 6 3",), "mean_by_position": (cut,)}.get(method, ())
        same(result, 0, k, asked(result, 0, k, references))


@pytest.mark.parametrize("method", ["mean", "resample", "mean_by_position"])
@pytest.mark.parametrize(
    ("model", "family"),
    [("seq-gpt2", "numerals"), ("seq-llama", "numerals"), ("seq-llama", "months"),
     ("seq-gpt2", "done in (number words)")],
)  # fmt: skip
def test_each_pair_of_a_family_is_what_next_token_gives_of_it(
    model: str, family: str, method: str
) -> None:
    task = engine.task(family, model, 4, seed=3)
    e = engine.Experiment(model, ablations="a1 m3", method=method)
    result = engine.score_lengths(e, task.pairs)
    assert result.pairs == task.pairs
    counted = {one: len(engine.tokenize(model, one)) for each in result.shown
               for pair in each for one in (pair.prompt, pair.corrupted)}  # fmt: skip
    for i, each in enumerate(result.shown):
        for k, one in enumerate(each):
            references = task.references
            if method == "mean_by_position":
                cut = [other[k].corrupted for other in result.shown]
                references = tuple(t for t in dict.fromkeys(cut)
                                   if counted[t] == counted[one.prompt])  # fmt: skip
            same(result, i, k, asked(result, i, k, references))
    score = engine.score_task(model, task, e)
    assert score.ablated is not None and result.ablated is not None
    np.testing.assert_allclose(
        result.ablated.logit_diff[:, -1], score.ablated.logit_diff, atol=1e-4
    )
    means = [np.mean(result.values("ablated", m), axis=0) for m in engine.LENGTH_METRICS]
    spreads = [np.std(result.values("ablated", m), axis=0) for m in engine.LENGTH_METRICS]
    for metric, mean, spread in zip(engine.LENGTH_METRICS, means, spreads, strict=True):
        np.testing.assert_allclose(result.mean("ablated", metric), mean)
        np.testing.assert_allclose(result.spread("ablated", metric), spread)
        assert result.n("clean", metric).tolist() == [4] * len(result.lengths)
        assert len(result.figure(metric).data) == 2


@pytest.mark.parametrize("name", [*MODELS, "gpt2", "llama", "phi"])
def test_a_head_zeroed_by_plain_hooks_gives_the_same_at_every_length(name: str, tiny: Tiny) -> None:
    words = "March April May June July" if name in MODELS else "t1 t2 t3 t4 t5"
    terms = words.split()
    directory = directory_of(name, tiny)
    where = BUNDLED / name if name in MODELS else directory
    reference, tokenizer = Reference(where), AutoTokenizer.from_pretrained(where)
    e = engine.Experiment(
        directory, " ".join(terms[:4]), answer=f" {terms[4]}", distractor=f" {terms[3]}",
        ablations="1.2",
    )  # fmt: skip
    result = engine.score_lengths(e)
    for k in range(4):
        texts = [" ".join([*terms[: k + 1], last]) for last in (terms[k + 1], terms[k])]
        (*ids, answer), (*other, distractor) = (tokenizer(text)["input_ids"] for text in texts)
        assert ids == other == tokenizer(" ".join(terms[: k + 1]))["input_ids"]
        off = Change("head", 1, 2, tuple(range(len(ids))), always(torch.zeros(())))
        for run, changes in (("clean", []), ("ablated", [off])):
            logits = reference.logits(ids, changes)[-1].double()
            log_p = logits.log_softmax(-1)[answer]
            wanted = [log_p.exp(), log_p, 1 + (logits > logits[answer]).sum(),
                      logits[answer] - logits[distractor]]  # fmt: skip
            numbers = [result.values(run, metric)[0, k] for metric in engine.LENGTH_METRICS]
            np.testing.assert_allclose(numbers, [float(w) for w in wanted], atol=1e-4)


def test_what_answer_and_distractor_share_is_at_the_end_of_every_length_as_it_is_of_the_whole() -> (
    None
):
    pair = engine.Pair("107 108 109 110 11", "119 113 102 116 11", "1", "0")
    result = engine.score_lengths(engine.Experiment("seq-llama"), [pair])
    assert [(p.prompt, p.corrupted, p.answer, p.distractor) for p in result.shown[0]] == [
        ("107 10", "119 10", "8", "7"),
        ("107 108 10", "119 113 10", "9", "8"),
        ("107 108 109 1", "119 113 102 1", "10", "09"),
        (pair.prompt, pair.corrupted, pair.answer, pair.distractor),
    ]
    assert result.ablated is None and list(result.runs) == ["clean"]
    assert any("both begin with" in note for note in result.notes)


def test_prompts_of_other_lengths_share_a_table_with_nan_where_one_has_no_such_length() -> None:
    pairs = [("1 2 3 4", "", " 5", " 4"), ("one two", "", " three", " two"), ("Hello", "", " x")]
    result = engine.score_lengths(engine.Experiment("seq-gpt2"), pairs)  # type: ignore[arg-type]
    assert result.n("clean", "prob").tolist() == [2, 2, 1, 1]
    assert np.isnan(result.clean.prob[1, 2:]).all() and len(result.pairs) == 2
    assert result.notes[0].startswith("1 of the 3 prompts have no sequence")
    alone = engine.score_lengths(engine.Experiment("seq-gpt2", "one two", "", " three", " two"))
    np.testing.assert_allclose(result.clean.logit_diff[1, :2], alone.clean.logit_diff[0], atol=1e-4)
    assert len(result.table()) == 4 * 4 and len(result.prompts_table()) == 6


def test_what_cannot_be_at_one_length_is_nan_there_and_told() -> None:
    result = engine.score_lengths(replace(E, positions="2", changes=()))
    assert np.isnan(result.values("ablated", "prob")[0]).tolist() == [True, True, False, False]
    assert not np.isnan(result.values("clean", "prob")).any()
    assert any(
        note.startswith("With 1 and 2 terms shown, there is no ablated run: Position 2 is not")
        for note in result.notes
    )
    same_terms = engine.score_lengths(
        replace(E.clean, prompt="1 1 2", answer=" 3", distractor=" 2")
    )
    assert np.isnan(same_terms.clean.logit_diff[0]).tolist() == [True, False, False]
    assert any("With 1 term shown, there is no logit difference" in n for n in same_terms.notes)
    bare = engine.score_lengths(replace(E.clean, distractor=""))
    assert np.isnan(bare.clean.logit_diff).all() and not np.isnan(bare.clean.rank).any()
    assert "There is no distractor, so there is no logit difference." in bare.notes
    own = engine.score_lengths(replace(E.clean, distractor=" 9"))
    assert own.shown[0][1].distractor == " 2" and any("prompt's own" in n for n in own.notes)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"answer": ""}, "has no answer"),
        ({"prompt": ""}, "empty"),
        ({"prompt": "Hello"}, "no sequence"),
        ({"prompt": "1 " * 4000}, "at most 128"),
        ({"positions": "9"}, "Position 9"),
        ({"method": "resample", "corrupted": ""}, "corrupted prompt"),
        ({"method": "resample", "corrupted": "1"}, "1 tokens long"),
        ({"method": "set(1e6)", "ablations": "a0-5", "changes": ["scale(1e6) a0"] * 9}, "overflow"),
        ({"ablations": "13.1"}, "layers are 0 to 5"),
    ],
)  # fmt: skip
def test_what_the_whole_prompt_does_not_allow_is_refused_in_words(
    changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(engine.EngineError, match=says):
        engine.score_lengths(engine.Experiment.from_dict(E.to_dict() | changed))


def test_of_several_pairs_the_one_refused_is_named_and_none_is_none() -> None:
    pairs = (engine.Pair("1 2 3", "", " 4", " 3"), engine.Pair("4 5 6", "", "", " 6"))
    with pytest.raises(engine.ExperimentError, match=r"Pair 2, “4 5 6”: .* has no answer"):
        engine.score_lengths(E.clean, pairs)
    pairs = (engine.Pair("Hello", "", " x"), engine.Pair("1 2 3", "", " 4", " 3"))
    with pytest.raises(engine.ExperimentError, match=r"Pair 2, “1 2 3”: Position 9"):
        engine.score_lengths(replace(E, positions="9"), pairs)
    with pytest.raises(engine.EngineError, match="at least one pair"):
        engine.ScoreLengths(E, ())
    result = engine.score_lengths(E)
    with pytest.raises(engine.ExperimentError, match="There is no “kl”"):
        result.mean("clean", "kl")


def test_references_given_are_cut_where_a_method_goes_by_position_and_whole_for_a_mean() -> None:
    references = ("8 1 6 3", "7 9 2 5")
    for method in ("mean", "mean_by_position"):
        e = replace(E, method=method, references=references, corrupted="")
        result = engine.score_lengths(e)
        for k in range(4):
            cut = tuple(" ".join(text.split()[: k + 1]) for text in references)
            same(result, 0, k, asked(result, 0, k, references if method == "mean" else cut))


def test_the_work_tells_how_far_it_is_and_is_called_off(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = engine.task("numerals", "seq-gpt2", 40).pairs
    monkeypatch.setattr("engine.lengths.lengths._TOKENS_A_STEP", 8)
    question = engine.ScoreLengths(replace(E, changes=()), pairs)
    whole = engine.begin(question)
    assert whole.result(60).n("clean", "prob").tolist() == [40] * 4 and whole.progress == 1
    stopped = engine.begin(question)
    stopped.cancel()
    with pytest.raises(engine.Cancelled):
        stopped.result(60)
