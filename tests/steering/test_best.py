"""The best coefficient on a model whose answer turns on one axis, against plain hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

import engine
from tests.support.axis_model import AXIS, WIDTH, turning_model
from tests.support.parts import every_part

UP = "t5 t1 t9"
PAIRS = (engine.Pair(UP, "", "t7", "t8"), engine.Pair("t6 t1 t9", "", "t7", "t8"))
NEUTRAL = ("t3 t4 t9", "t9 t3 t6 t4")
BESIDE = torch.zeros(WIDTH)
"""An axis that nothing reads, of length 1: what is added along it only takes from the others in
the norm."""
BESIDE[-2], BESIDE[-1] = 0.5**0.5, -(0.5**0.5)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    directory = turning_model(tmp_path_factory.mktemp("turning"))
    return directory, GPT2LMHeadModel.from_pretrained(directory).eval()


def experiment(directory: str, values: Tensor) -> engine.Experiment:
    own = engine.Direction("v", "r1", engine.FromUnembedding("t7"))
    nothing = np.zeros(0)
    told = engine.DirectionValues(directory, own, values.numpy(), 1.0, (), nothing, nothing)
    vector = engine.read_direction(engine.write_directions(told), "v", "r1")
    return engine.Experiment(directory, vectors=[vector])


def by_hand(planted: tuple[str, Any], values: Tensor, c: float) -> tuple[float, float]:
    """Effect and damage of c × values added to what enters layer 1, by one plain hook."""
    directory, hf = planted

    def logits(text: str, scale: float) -> Tensor:
        handle = hf.transformer.h[1].register_forward_pre_hook(
            lambda _m, args: (args[0] + scale * values, *args[1:])
        )
        with torch.no_grad():
            ids = torch.tensor([engine.tokenize(directory, text).ids])
            found: Tensor = hf(input_ids=ids).logits[0].double()
        handle.remove()
        return found

    t7, t8 = (engine.tokenize(directory, word).ids[-1] for word in ("t7", "t8"))
    ends = [logits(one.prompt, c)[-1] for one in PAIRS]
    effect = float(np.mean([float(end[t7] - end[t8]) for end in ends]))
    total, n = 0.0, 0
    for text in NEUTRAL:
        p, q = (logits(text, scale)[:-1].log_softmax(-1) for scale in (0.0, c))
        total, n = total + float((p.exp() * (p - q)).sum()), n + len(p)
    return effect, total / n


def searched(directory: str, values: Tensor, most_kl: float, **more: Any) -> engine.BestSteering:
    e = experiment(directory, values)
    return engine.best_coefficient(
        e, "v", PAIRS, 1, most_kl, neutral=NEUTRAL, spared=(), controls=2, **more
    )


@pytest.fixture(autouse=True)
def _kept_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWITCHBOARD_VECTORS", str(tmp_path))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("most_kl", [0.02, 0.1])
def test_where_more_is_better_the_best_is_what_the_damage_allows(
    sign: float, most_kl: float, planted: tuple[str, Any]
) -> None:
    low, high = 0.0, 20.0
    for _ in range(30):
        middle = (low + high) / 2
        within = by_hand(planted, sign * AXIS, sign * middle)[1] <= most_kl
        low, high = (middle, high) if within else (low, middle)
    result = searched(planted[0], sign * AXIS, most_kl)
    assert result.done and result.coefficient == pytest.approx(sign * low, rel=0.02)
    row = result.row()
    effect, kl = by_hand(planted, sign * AXIS, result.coefficient)
    assert row["steered"] == pytest.approx(effect, abs=1e-4)
    assert row["kl"] == pytest.approx(kl, abs=1e-5) and kl <= most_kl + 1e-6
    assert row["beats"] == 1 and row["draws"] == 2
    change = engine.changes(str(result.change))[0]
    assert (change.becomes.number, str(change.sites)) == (result.coefficient, "r1")


def test_where_too_much_is_worse_the_best_lies_between(planted: tuple[str, Any]) -> None:
    values = AXIS + 1.5 * BESIDE
    grid = np.linspace(-4, 4, 401)
    meant = grid[int(np.argmax([by_hand(planted, values, c)[0] for c in grid]))]
    assert 0.1 < meant < 3.9
    result = searched(planted[0], values, 50.0, most=4)
    assert result.coefficient == pytest.approx(meant, rel=0.05)
    assert result.figure() and len(result.table()) == len(result.tried.coefficients)


def test_what_only_harms_is_best_left_alone_and_a_search_tells_how_far_it_is(
    planted: tuple[str, Any],
) -> None:
    e = experiment(planted[0], AXIS)
    question = engine.BestCoefficient(
        e, "v", PAIRS, 1, 1e-9, controls=1, neutral=NEUTRAL, spared=()
    )
    parts = list(every_part(question))
    assert parts[-1].coefficient == 0 and str(parts[-1].change) == "add(v, 0.0) r1"
    shares = [one.progress for one in parts]
    assert shares == sorted(shares) and shares[-1] == 1 and len({*shares}) > 4
    parts[0].figure(), parts[len(parts) // 2].table()
    work = engine.begin(question)
    work.cancel()
    with pytest.raises(engine.Cancelled):
        work.result()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": 2}, "There is no layer 2"),
        ({"most_kl": 0}, "above 0"),
        ({"most_kl": float("nan")}, "above 0"),
        ({"most": -1}, "above 0"),
        ({"most": float("inf")}, "finite"),
        ({"pairs": ()}, "at least one pair"),
        ({"layer": "first"}, "whole number"),
    ],
)
def test_what_cannot_be_asked_is_said(
    options: dict[str, Any], said: str, planted: tuple[str, Any]
) -> None:
    given = {"pairs": PAIRS, "layer": 1, "neutral": NEUTRAL, "spared": (), **options}
    with pytest.raises(engine.EngineError, match=said):
        engine.best_coefficient(experiment(planted[0], AXIS), "v", **given)
