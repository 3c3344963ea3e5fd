"""How much of many prompts' texts is said to be done."""

from __future__ import annotations

import time

import pytest

import engine
from engine.generation.rest import Rest


def test_the_share_is_of_the_seconds_at_the_pace_of_each_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    rest = Rest(prompts=200, singles=90)
    assert rest.share == 0.0
    clock[0] += 5  # a reference is read before the first prompt
    rest.wait()
    clock[0] += 10
    rest.read(100, one_by_one=False)  # 0.1 s a token, and a single one is taken to last 0.2
    assert rest.share == pytest.approx(15 / (15 + 10 + 18))
    clock[0] += 20
    rest.read(10, one_by_one=True)  # 2 s a token
    assert rest.share == pytest.approx(35 / (35 + 10 + 160))
    rest.left = (0, 0)  # the texts ended
    assert rest.share == 1.0


def test_the_share_grows_to_the_end_over_lengths_runs_and_prompts_that_cannot_be_run() -> None:
    prompts = ("1 2 3", "1 2 3 4 5", "1 2", "", "5 6 7")
    question = engine.GenerateMany(
        engine.Experiment("seq-gpt2", ablations="0.0"),
        tuple(map(engine.Example, prompts)),
        6,
        controls=2,
        done=(4,),
    )
    work = engine.begin(question)
    shares = [work.progress for _ in work]
    assert work.progress == 1.0
    assert all(0 <= share <= 1 for share in shares)
    assert {row.index for row in work.result().rows} == {0, 1, 2, 3}
