"""A sweep that was stopped goes on from what is known, to the same end as one never stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import engine
from engine.passes.blockwise import Blocks
from engine.scoring import waves
from tests.support.parts import every_part
from tests.support.tiny_models import Tiny
from tests.sweeps.test_sweep import PAIRS

MORE = (*PAIRS, replace(PAIRS[0], prompt="t1 t2 t3", corrupted="t4 t5 t6", answer="t9 t8"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of every call of a block, in waves of one row."""
    monkeypatch.setattr(waves, "WAVE_BYTES", 1)
    rows, real = [], Blocks.call

    def counted(self: Any, layer: int, hidden: Any, *args: Any, **kwargs: Any) -> Any:
        rows.append(len(hidden))
        return real(self, layer, hidden, *args, **kwargs)

    monkeypatch.setattr(Blocks, "call", counted)
    return rows


def numbers_of(result: engine.SweepResult) -> list[Any]:
    guess = [] if result.estimate is None else [result.estimate.heads, result.estimate.mlps]
    return [result.head_numbers, result.mlp_numbers, result.clean_numbers, result.given_numbers,
            *guess]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "per_position", "estimate"),
    [("", False, True), ("0.1 m1", False, False), ("0.2", True, True)],
)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_it_ends_as_one_never_stopped_and_does_only_the_rest(
    kind: str, given: str, per_position: bool, estimate: bool, tiny: Tiny, calls: list[int]
) -> None:
    e = engine.Experiment(str(tiny(kind)), ablations=given, method="mean")
    pairs = PAIRS if per_position else MORE
    question = engine.Sweep(e, pairs, per_position, estimate)
    parts = list(every_part(question))
    whole, work, ran = parts[-1], sum(calls), list[int]()
    assert whole.done
    for part in (parts[0], parts[len(parts) // 3], parts[-3], parts[-1]):
        calls.clear()
        rest = list(_every_part_after(question, part))
        for ours, theirs in zip(numbers_of(rest[-1]), numbers_of(whole), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert rest[-1].done and rest[-1].n_done == len(whole.sites)
        assert all(one.n_done >= part.n_done for one in rest)
        ran.append(sum(calls))
    assert work >= ran[0] >= ran[1] > ran[2] > ran[3] == 0


def _every_part_after(question: engine.Sweep, so_far: engine.SweepResult) -> Any:
    work = engine.begin(question, so_far=so_far)
    work.answer = replace(work.answer, newest=False)
    return work


def test_what_is_exact_is_what_every_prompt_knows(tiny: Tiny, calls: list[int]) -> None:
    e = engine.Experiment(str(tiny("gpt2")))
    for part in every_part(engine.Sweep(e, MORE, estimate=True)):
        heads, mlps = part.exact
        assert part.n_done == heads.sum() + mlps.sum()
        rows = {row["site"]: row for row in part.table()}
        grid = part.grid()
        for site in part.sites:
            is_exact = bool(
                heads[site.layer, site.head] if isinstance(site, engine.Head) else mlps[site.layer]
            )
            assert (rows[str(site)]["exact"] == 1) == is_exact
            assert is_exact == (site in grid.sites and site not in grid.inexact)
        shown = part.grid().filled(part.grid(show="estimate"))
        assert len(shown.sites) == len(part.sites)
        assert len(part.sites) - len(shown.inexact) == part.n_done
        assert part.grid(show="estimate").inexact == frozenset(part.sites)


def test_what_is_known_of_another_sweep_is_not_gone_on_with(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")))
    known = engine.sweep(e, PAIRS)
    others = (
        engine.Sweep(replace(e, method="mean"), PAIRS),
        engine.Sweep(e, PAIRS[:1]),
        engine.Sweep(e, PAIRS, per_position=True),
        engine.Sweep(e, PAIRS, at="answer"),
    )
    for other in others:
        with pytest.raises(engine.EngineError, match="of another sweep"):
            engine.begin(other, so_far=known).result()
    plain = engine.Sweep(e, PAIRS).to_dict()
    assert "so_far" not in json.dumps(plain)
