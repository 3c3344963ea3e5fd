"""Steered texts equal an uncached loop of plain hooks, and repetition is what its formula says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import engine
from engine.steering.text_results import repetition
from tests.steering.test_steer import DRAWS, SEED, VECTOR, directions, steered
from tests.support.family_reference import FamilyReference
from tests.support.some import some
from tests.support.tiny_models import Tiny

PROMPTS = ("t1 t2 t3", "t9 t8")
NEW = 6


@pytest.mark.parametrize(
    ("kind", "positions"), [("gpt2", "all"), ("llama", "generated"), ("gemma2", "prompt")]
)
def test_steered_texts_equal_an_uncached_loop_of_plain_hooks(
    kind: str, positions: str, tiny: Tiny
) -> None:
    path = tiny(kind, eos_token_id=None)
    directory, ref = str(path), FamilyReference(kind, path)
    e = engine.Experiment(directory, vectors=[VECTOR], positions=positions)
    result = engine.steered_texts(e, "v", 1, 2.0, PROMPTS, NEW, DRAWS, SEED)
    assert result.runs == ("clean", "v", "random 1", "random 2") and result.progress == 1
    own, *drawn = directions(directory, ref)
    for p, prompt in enumerate(PROMPTS):
        begins = engine.tokenize(directory, prompt).ids
        for run, vector in enumerate([0 * own, own, *drawn]):
            ids = list(begins)
            for token in result.ids[p][run]:
                at = e.positions.at(len(begins), len(ids))
                logits = steered(ref, tuple(ids), 1, 2.0 * vector, at)[-1]
                assert logits[token] >= logits.max() - 1e-3
                ids.append(token)
            assert len(ids) == len(begins) + NEW
            assert result.texts[p][run] == engine.load(directory).tokenizer.decode(ids[-NEW:])
    assert len({own[:2] for own in result.ids}) > 1


def test_they_are_those_that_generation_gives_with_the_same_change() -> None:
    up = engine.Direction("up", "r3", engine.FromUnembedding(" 9"))
    e = engine.Experiment("seq-gpt2", "1 2 3 4", vectors=[up])
    result = engine.steered_texts(e, "up", 3, 4.0, "1 2 3 4", 8, controls=1)
    made = engine.generate(replace(e, changes="add(up, 4) r3"), 8).result()
    for run, name in enumerate(("clean", "ablated")):
        steps = [some(getattr(step, name) or step.clean) for step in made.steps]
        assert result.ids[0][run] == tuple(one.token_id for one in steps)
    assert result.figure() and len(result.table()) == 3
    shipped = engine.steered_texts(e, "up", 3, 0.0, new_tokens=4, controls=1)
    assert len(shipped.prompts) == 4
    assert all(own[0] == own[1] == own[2] for own in shipped.ids)


def test_repetition_is_the_share_of_n_grams_that_have_come_before() -> None:
    assert repetition((1, 2, 3, 4, 5)) == 0
    assert repetition((7, 7, 7, 7, 7, 7)) == pytest.approx(3 / 4)
    assert repetition((1, 2, 3, 1, 2, 3)) == pytest.approx(1 / 4)
    assert np.isnan(repetition((1, 2))) and repetition((1, 2, 1, 2), 2) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": 9}, "There is no layer 9"),
        ({"coefficient": float("nan")}, "finite"),
        ({"new_tokens": 0}, "3 to 200 tokens"),
        ({"prompts": ("1 2",) * 101}, "At most 100 prompts"),
        ({"prompts": ("1 " * 400,)}, "reads at most 128"),
        ({"name": "w"}, "no direction"),
    ],
)
def test_what_cannot_be_asked_is_said(options: dict[str, Any], said: str) -> None:
    up = engine.Direction("up", "r3", engine.FromUnembedding(" 9"))
    e = engine.Experiment("seq-gpt2", vectors=[up])
    with pytest.raises(engine.EngineError, match=said):
        engine.steered_texts(e, **{"name": "up", "layer": 3, "coefficient": 1.0, **options})
