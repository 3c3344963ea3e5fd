"""Steering against plain hooks on the Hugging Face model, its identities, and its manners."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import engine
from engine.scoring.metrics import STORED
from tests.support.family_reference import Change, FamilyReference
from tests.support.parts import every_part
from tests.support.tiny_models import Tiny

KINDS = ("gpt2", "llama", "gemma2", "gpt_neox", "granite")
PLUS, MINUS = "t1 t2 t9", "t4 t5 t9"
VECTOR = engine.Direction("v", "r1", engine.FromPrompts([PLUS], [MINUS]))
PAIRS = (
    engine.Pair("t3 t5 t9 t2", "", "t11", "t20"),
    engine.Pair("t8 t7 t6 t2", "", "t12 t13", "t20"),
    engine.Pair("t8 t7 t1", "", "t4"),
)
SPARED = (engine.Pair("t1 t2 t3", "", "t4", "t5"), engine.Pair("t9 t2", "", "t1", "t5"))
NEUTRAL = ("t1 t2 t3 t4 t5", "t9 t8 t7", "t2 t4 t6 t8 t10")
COEFFICIENTS, LAYERS, DRAWS, SEED = (-3.0, 0.0, 0.5, 2.0), (0, 2), 2, 7


@pytest.fixture(scope="module")
def pair(tiny: Tiny) -> Any:
    """`pair("gpt2")`: a tiny model, and its reference."""

    @functools.cache
    def give(kind: str) -> tuple[str, FamilyReference]:
        directory = tiny(kind)
        return str(directory), FamilyReference(kind, directory)

    return give


def directions(directory: str, ref: FamilyReference) -> list[Tensor]:
    """The direction, and the random ones, worked out by themselves."""
    at = ("resid_pre", 1)
    plus, minus = (
        ref.values(engine.tokenize(directory, text).ids, [at])[at][-1].double()
        for text in (PLUS, MINUS)
    )
    own = plus - minus
    drawn = np.random.default_rng(SEED).standard_normal((DRAWS, len(own)))
    drawn *= float(own.norm()) / np.linalg.norm(drawn, axis=1, keepdims=True)
    return [own, *map(torch.from_numpy, drawn)]


def steered(
    ref: FamilyReference, ids: tuple[int, ...], layer: int, added: Tensor, at: tuple[int, ...]
) -> Tensor:
    """Logits [pos vocab], double, of a text to whose stream something is added."""
    change = Change("resid_pre", layer, None, at, lambda old: (old.double() + added).to(old.dtype))
    return ref.logits(ids, [change]).double()


def asked(directory: str, positions: str = "all") -> engine.SteeringMap:
    e = engine.Experiment(directory, vectors=[VECTOR], positions=positions)
    return engine.SteeringMap(e, "v", PAIRS, LAYERS, COEFFICIENTS, DRAWS, SEED, NEUTRAL, SPARED)


def found(question: engine.SteeringMap) -> engine.SteeringResult:
    return engine.begin(question).result()


@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_equals_plain_hooks_in_effect_and_damage(kind: str, pair: Any) -> None:
    directory, ref = pair(kind)
    positions = "-1" if kind == "llama" else "all"
    result = found(asked(directory, positions))
    vectors, every = directions(directory, ref), [*PAIRS, *SPARED]
    moved = []
    for draw, i, j in np.ndindex(len(vectors), len(LAYERS), len(COEFFICIENTS)):
        added = COEFFICIENTS[j] * vectors[draw]
        for p, one in enumerate(every):
            prompt = engine.tokenize(directory, one.prompt).ids
            answer = tuple(engine.tokenize(directory, one.answer, prepend_bos=False).ids)
            ids, n = (*prompt, *answer[:-1]), len(prompt)
            own = positions if p < len(PAIRS) else "all"
            where = (n - 1,) if own == "-1" else tuple(range(len(ids)))
            logits = steered(ref, ids, LAYERS[i], added, where)[n - 1 :]
            clean = ref.logits(ids).double()[n - 1]
            logs = logits.log_softmax(-1)
            numbers = dict(zip(STORED, result.numbers[:, draw, p, i, j], strict=True))
            joint = sum(float(logs[k, token]) for k, token in enumerate(answer))
            assert numbers["log_prob"] == pytest.approx(joint, abs=2e-4, rel=1e-4)
            if one.distractor:
                (other,) = engine.tokenize(directory, one.distractor, prepend_bos=False).ids
                diff = float(logits[0, answer[0]] - logits[0, other])
                assert numbers["logit_diff"] == pytest.approx(diff, abs=2e-4, rel=1e-4)
            else:
                assert np.isnan(numbers["logit_diff"])
            kl = (clean.log_softmax(-1).exp() * (clean.log_softmax(-1) - logs[0])).sum()
            assert numbers["kl"] == pytest.approx(float(kl), abs=2e-4, rel=1e-4)
            if answer[1:] == ():
                above = int((logits[0] > logits[0, answer[0]] + 1e-4).sum())
                below = int((logits[0] >= logits[0, answer[0]] - 1e-4).sum())
                assert above + 1 <= numbers["rank"] <= max(below, 1)
            moved.append(abs(float(logits[0, answer[0]] - clean[answer[0]])))
        for t, text in enumerate(NEUTRAL):
            ids = engine.tokenize(directory, text).ids
            logs = steered(ref, ids, LAYERS[i], added, tuple(range(len(ids)))).log_softmax(-1)
            clean = ref.logits(ids).double().log_softmax(-1)
            kl = (clean.exp() * (clean - logs))[:-1].sum()
            loss = -logs[range(len(ids) - 1), list(ids[1:])].sum()
            assert result.neutral[0, draw, t, i, j] == pytest.approx(float(kl), abs=3e-4, rel=1e-4)
            assert result.neutral[1, draw, t, i, j] == pytest.approx(
                float(loss), abs=3e-4, rel=1e-4
            )
    assert sorted(moved)[len(moved) // 2] > 0.01, "what is added moves too little to judge"
    assert result.done and result.n_tokens == tuple(
        len(engine.tokenize(directory, text)) - 1 for text in NEUTRAL
    )


@pytest.mark.parametrize("kind", KINDS)
def test_coefficient_0_is_the_clean_run_and_every_cell_is_what_the_change_does(
    kind: str, pair: Any
) -> None:
    directory, ref = pair(kind)
    question = replace(asked(directory), coefficients=(1.5,))
    result = found(question)
    zero = result.coefficients.index(0.0)
    for p, one in enumerate(PAIRS):
        ids = engine.tokenize(directory, one.prompt).ids
        (first, *_) = engine.tokenize(directory, one.answer, prepend_bos=False).ids
        logs = ref.logits(ids)[-1].double().log_softmax(-1)
        if " " not in one.answer:
            own = result.numbers[STORED.index("prob"), :, p, :, zero]
            np.testing.assert_allclose(own, float(logs[first].exp()), atol=1e-5)
    assert (result.of("change")[..., zero] == 0).all() and (result.of("kl")[..., zero] < 1e-9).all()
    for at, layer in enumerate(LAYERS):
        norms = torch.cat([_norms(directory, ref, one.prompt, layer) for one in PAIRS])
        assert result.stream_norms[at] == pytest.approx(float(norms.median()), rel=1e-4)
        change = result.change_of(layer, 1.5)
        e = replace(question.e, prompt=PAIRS[0].prompt, answer="t11", distractor="t20")
        ranked = engine.next_token(replace(e, changes=[change]))
        where = (0, 0, 0, at, result.coefficients.index(1.5))
        assert ranked.ablated_logit_diff == pytest.approx(result.numbers[where], abs=1e-4)


def _norms(directory: str, ref: Any, prompt: str, layer: int) -> torch.Tensor:
    """Those of what enters a layer at a prompt's own tokens."""
    tokens, at = engine.tokenize(directory, prompt), ("resid_pre", layer)
    norms: torch.Tensor = ref.values(tokens.ids, [at])[at][int(tokens.bos) :].norm(dim=-1)
    return norms


def test_numbers_over_prompts_and_texts_are_what_their_formulae_say(pair: Any) -> None:
    directory, _ = pair("gpt2")
    result = found(asked(directory))
    diffs, zero = result.numbers[0], COEFFICIENTS.index(0.0)
    changes = (diffs - diffs[..., zero : zero + 1])[0, :2]  # the third pair has no distractor
    np.testing.assert_allclose(result.shown("change"), changes.mean(0))
    np.testing.assert_allclose(result.spread, changes.std(0))
    n = np.array(result.n_tokens)
    np.testing.assert_allclose(result.of("kl"), result.neutral[0].sum(1) / n.sum())
    losses = result.neutral[1].sum(1) / n.sum()
    np.testing.assert_allclose(result.of("perplexity"), np.exp(losses))
    rank = result.numbers[STORED.index("rank")]
    np.testing.assert_allclose(result.of("first"), (rank[:, :3] == 1).mean(1))
    np.testing.assert_allclose(result.of("moved"), (diffs[:, :2] > 0).mean(1))
    np.testing.assert_allclose(result.of("spared"), (rank[:, 3:] == 1).mean(1))
    beats = (result.of("change")[0] > result.of("change")[1:]).mean(0)
    np.testing.assert_allclose(result.beats, beats)
    row = result.table()[3]
    assert (row["layer"], row["coefficient"], row["draws"]) == (0, 2.0, DRAWS)
    assert row["random_change_greatest"] == pytest.approx(result.of("change")[1:, 0, 3].max())
    assert row["stream_share"] == pytest.approx(2 * result.norm / result.stream_norms[0])
    e = engine.Experiment(directory, PAIRS[0].prompt, vectors=[replace(VECTOR, site="r2")])
    made = replace(e.vectors[0], made=engine.FromUnembedding("t4"))
    told = engine.direction(replace(e, vectors=[made]), "v")
    alone = found(replace(asked(directory), pairs=PAIRS[:1]))
    assert alone.stream_norms[1] == pytest.approx(told.stream_norm, rel=1e-4)
    best = result.best(np.inf)
    assert best is not None and result.shown("change").max() == pytest.approx(
        result.shown("change")[LAYERS.index(best[0]), COEFFICIENTS.index(best[1])]
    )
    assert result.best(-1.0) is None
    assert (result.shown("kl")[0, 3] > 0.01) and result.figure(0.1) and result.layer_figure(2)


def test_a_map_grows_cell_by_cell_and_goes_on_from_what_is_known(pair: Any) -> None:
    directory, _ = pair("gpt2")
    question = asked(directory)
    work = every_part(question)
    parts = list(work)
    known = [int(np.isfinite(one.numbers[3]).sum()) for one in parts]
    assert known == sorted(known) and len({*known}) > 3 and parts[-1].done
    half = parts[len(parts) // 2]
    assert 0 < known[len(parts) // 2] < known[-1]
    again = engine.begin(question, so_far=half).result()
    np.testing.assert_allclose(again.numbers, parts[-1].numbers, atol=1e-5)
    np.testing.assert_allclose(again.neutral, parts[-1].neutral, atol=1e-4)
    with pytest.raises(engine.EngineError, match="another steering"):
        engine.begin(replace(question, seed=1), so_far=half).result()
    with pytest.raises(engine.EngineError, match="other prompts"):
        engine.begin(replace(question, pairs=PAIRS[:1]), so_far=half).result()
    half.figure(), half.table()  # which are drawn while it goes on
    work = engine.begin(question)
    work.cancel()
    with pytest.raises(engine.Cancelled):
        work.result()


def test_what_ships_is_taken_where_nothing_is_said() -> None:
    e = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" fifth", distractor=" 5", vectors=[
        engine.Direction("up", "r3", engine.FromUnembedding(" fifth", " 5"))])  # fmt: skip
    result = engine.steer(e, "up", coefficients=(2,), controls=1)
    assert result.layers == tuple(range(6)) and result.coefficients == (0.0, 2.0)
    assert len(result.n_tokens) == len(engine.neutral_texts("seq-gpt2")) == 12
    assert len(result.spared) == 8 and result.clean("spared") > 0.5
    assert result.pairs == (engine.Pair("1 2 3 4", "", " fifth", " 5"),)
    assert result.clean("perplexity") < 5  # of what it knows


def test_neutral_text_of_a_model_that_is_not_bundled_is_english(pair: Any) -> None:
    directory, _ = pair("gpt2")
    assert engine.neutral_texts(directory)[0].startswith("The house")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "w"}, "no direction “w”"),
        ({"pairs": []}, "at least one pair"),
        ({"pairs": [("t1 t2", "", "")]}, "has no answer"),
        ({"layers": [3]}, "There is no layer 3"),
        ({"layers": [1.5]}, "whole number"),
        ({"layers": "0"}, "whole numbers"),
        ({"coefficients": [float("nan")]}, "finite"),
        ({"coefficients": [1e7]}, "from −1,000,000"),
        ({"coefficients": "1"}, "Coefficients are numbers"),
        ({"coefficients": range(200)}, "At most 101"),
        ({"controls": 0}, "1 to 100 random"),
        ({"seed": -1}, "seed is from 0"),
        ({"neutral": [3]}, "Neutral texts are texts"),
        ({"neutral": ["t1"]}, "fewer than 3 tokens"),
        ({"neutral": ["t1 t2 t3 " * 800]}, "reads at most"),
    ],
)
def test_what_cannot_be_asked_is_said(options: dict[str, Any], said: str, pair: Any) -> None:
    directory, _ = pair("gpt2")
    e = engine.Experiment(directory, vectors=[VECTOR])
    given = {"name": "v", "pairs": PAIRS[:1], "neutral": NEUTRAL, "spared": (), **options}
    with pytest.raises(engine.EngineError, match=said):
        engine.steer(e, **given)


def test_experiments_that_change_something_or_steer_nothing_are_refused(pair: Any) -> None:
    directory, _ = pair("gpt2")
    e = engine.Experiment(directory, vectors=[VECTOR])
    with pytest.raises(engine.EngineError, match=r"take its `\.clean`"):
        engine.steer(replace(e, ablations="1.1"), "v", PAIRS)
    with pytest.raises(engine.EngineError, match="generated"):
        engine.steer(replace(e, positions="generated"), "v", PAIRS)
    nothing = replace(VECTOR, made=engine.FromPrompts([PLUS], [PLUS]))
    with pytest.raises(engine.EngineError, match="is 0 on this model"):
        engine.steer(replace(e, vectors=[nothing]), "v", PAIRS, neutral=NEUTRAL, spared=())


def test_numbers_that_overflow_and_directions_of_another_model_are_told_in_words(
    pair: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("SWITCHBOARD_VECTORS", str(tmp_path))
    directory, _ = pair("gpt2")
    width = engine.load(directory).shape.d_model
    values = np.full(width, 1e38, np.float32)
    values[0] = -1e38
    huge = engine.read_direction(_file(values, directory), "v", "r1")
    e = engine.Experiment(directory, vectors=[huge])
    with pytest.raises(engine.EngineError, match="numbers overflow"):
        engine.steer(e, "v", PAIRS, coefficients=(1e6,), neutral=NEUTRAL, spared=())
    wide = engine.read_direction(_file(np.ones(width + 1, np.float32), directory), "v", "r1")
    with pytest.raises(engine.EngineError, match="another model"):
        engine.steer(replace(e, vectors=[wide]), "v", PAIRS, neutral=NEUTRAL, spared=())
    other = engine.read_direction(_file(values, "gpt2-large"), "v", "r1")
    with pytest.raises(engine.EngineError, match="made on “gpt2-large”"):
        engine.steer(replace(e, vectors=[other]), "v", PAIRS, neutral=NEUTRAL, spared=())


def _file(values: np.ndarray, model: str) -> bytes:
    own = engine.Direction("v", "r1", engine.FromUnembedding("x"))
    nothing = np.zeros(0)
    return engine.write_directions(
        engine.DirectionValues(model, own, values, 1.0, (), nothing, nothing)
    )
