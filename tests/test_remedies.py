"""What is refused can be mended: every remedy is an experiment that runs, and that says what it
does."""

from __future__ import annotations

from typing import Any

import pytest

import engine

REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "resample from nothing": (
        {"ablations": "0.1", "method": "resample"},
        ["Make a corrupted prompt that fits", "Use zero"],
    ),
    "a mean of nothing": (
        {"ablations": "0.1", "method": "mean"},
        ["Make a corrupted prompt that fits", "Use zero"],
    ),
    "another length": (
        {"ablations": "0.1", "method": "resample", "corrupted": "1"},
        ["Make a corrupted prompt that fits", "Use mean", "Use zero"],
    ),
    "references of other lengths": (
        {"ablations": "0.1", "method": "mean_by_position", "references": ["1", "1 2"]},
        ["Use mean", "Use zero"],
    ),
    "a position that is not there": (
        {"ablations": "0.1", "positions": "99"},
        ["Act at all positions"],
    ),
    "a site among others": ({"ablations": "0.1 13.4 n0.99999"}, ["Leave out 13.4 n0.99999"]),
    "a site alone": ({"ablations": "13.4"}, []),
    "two wrongs": ({"ablations": "0.1 13.4", "positions": "99"}, []),
    "a mean of a pattern": (
        {"ablations": "0.2", "changes": ["mean 0.1.pattern"], "corrupted": "8 1 6 3"},
        ["Use mean_by_position", "Use zero"],
    ),
    "numbers": ({"ablations": "0.1", "method": "set(1e6)"}, ["Use zero"]),
}


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
@pytest.mark.parametrize("kind", REFUSED)
def test_every_remedy_runs_and_the_last_leaves_the_change_out(kind: str, model: str) -> None:
    asked, does = REFUSED[kind]
    e = engine.Experiment(model, "1 2 3 4", answer=" 5", **asked)
    remedies = engine.remedies(e)
    assert [one.does for one in remedies] == [*does, "Leave the change out"]
    for one in remedies:
        assert one.experiment != e and one.experiment.prompt == e.prompt
        engine.next_token(one.experiment, k=1)
    last = remedies[-1].experiment
    assert [str(one) for one in last.every_change] == (["zero 0.2"] if "changes" in asked else [])


def test_nothing_changed_has_nothing_to_be_mended() -> None:
    assert engine.remedies(engine.Experiment(prompt="1 2 3 4", method="resample")) == ()
    with pytest.raises(engine.EmptyPrompt):
        engine.remedies(engine.Experiment(ablations="13.4"))


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
@pytest.mark.parametrize(
    "prompt", ["1 2 3 4", " 10 20\n", "January February March", "two  four six", "a, b, c?"]
)
def test_a_corrupted_prompt_that_is_made_up_fits_and_is_another(model: str, prompt: str) -> None:
    e = engine.Experiment(model, prompt, ablations="0.1", method="resample")
    made = next(r.experiment for r in engine.remedies(e) if r.experiment.corrupted)
    assert made.corrupted != prompt
    lengths = {len(engine.tokenize(model, text)) for text in (prompt, made.corrupted)}
    assert len(lengths) == 1
    assert made == next(r.experiment for r in engine.remedies(e) if r.experiment.corrupted)


def test_a_prompt_of_one_word_has_no_twin_to_be_made() -> None:
    e = engine.Experiment(prompt="Hello", ablations="0.1", method="resample")
    assert [one.does for one in engine.remedies(e)] == ["Use zero", "Leave the change out"]


def test_a_link_is_read_as_far_as_it_can_be() -> None:
    pairs = [("prompt", "1 2"), ("method", "magic"), ("ablations", "0.1"), ("prompt", "b"),
             ("positions", "nowhere"), ("prepend_bos", "perhaps")]  # fmt: skip
    e, wrong = engine.Experiment.readable(pairs)
    assert e == engine.Experiment(prompt="1 2", ablations="0.1")
    assert [next(n for n, _ in pairs if f"“{n}”" in told) for told in wrong] == [
        "prompt", "method", "positions", "prepend_bos",
    ]  # fmt: skip
    assert engine.Experiment.readable(pairs[:1]) == (engine.Experiment(prompt="1 2"), ())
