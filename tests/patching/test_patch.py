"""Patching against plain hooks on the Hugging Face model, its identities, and its manners."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import engine
from engine.scoring import waves
from engine.scoring.metrics import STORED
from tests.support.family_reference import Change, FamilyReference
from tests.support.reference import always
from tests.support.some import some
from tests.support.tiny_models import CONFIGS, HEADS, LAYERS, WORDS, Tiny

FAMILIES = (*CONFIGS, "granite", "bloom", "deepseek_v3", "jamba")
N = 4
"""Tokens of every prompt drawn here, without BOS."""
LOGIT_DIFF = STORED.index("logit_diff")


@pytest.fixture(scope="module")
def pair(tiny: Tiny) -> Any:
    """`pair("gpt2")`: a tiny model, and its reference."""

    @functools.cache
    def give(kind: str) -> tuple[str, FamilyReference]:
        directory = tiny(kind)
        return str(directory), FamilyReference(kind, directory)

    return give


def ids_of(directory: str, text: str) -> tuple[int, ...]:
    return engine.tokenize(directory, text).ids


def index_of(place: str, head: int, ref: FamilyReference) -> tuple[int, ...] | None:
    if place in ("k", "v"):
        return (head * ref.n_groups // HEADS,)
    return (head,) if place in ("z", "q", "pattern") else None


def diffs(ref: FamilyReference, rows: list[Any], answer: int, distractor: int) -> np.ndarray:
    """The logit difference of texts with changes, by plain hooks."""
    logits = ref.each_logits(rows)[:, -1].double()
    return (logits[:, answer] - logits[:, distractor]).numpy()


def by_hand(ref: FamilyReference, e: engine.Experiment, result: engine.PatchResult) -> np.ndarray:
    """Every patched logit difference, [pos layer head_index], each of a row with one plain hook;
    NaN where a layer lacks the place."""
    texts = (e.corrupted, e.prompt) if result.direction == "denoise" else (e.prompt, e.corrupted)
    into, of = (ids_of(e.model, text) for text in texts)
    answer, distractor = (ids_of(e.model, text)[-1] for text in (e.answer, e.distractor))
    place = result.place
    expected = np.full(result.unlike.shape, np.nan)
    there = [cell for cell in np.ndindex(*expected.shape) if ref.has(place, cell[1])]
    donors = ref.values(of, sorted({(place, layer) for _, layer, _ in there}))
    changes = []
    for k, layer, head in there:
        where = tuple(e.positions.at(len(into), len(into)))
        if result.positions is not None:
            where = (result.positions[k],)
        donor, index = donors[place, layer], index_of(place, head, ref)
        if index is not None:
            n = some(ref.size(place, layer))
            donor = donor.reshape(len(donor), n, *donor.shape[2:])[:, index]
        changes.append(Change(place, layer, index, where, always(donor[list(where)])))
    found = diffs(ref, [(into, [change]) for change in changes], answer, distractor)
    for cell, one in zip(there, found, strict=True):
        expected[cell] = one
    return expected


@st.composite
def experiments(draw: st.DrawFn, directory: str) -> engine.Experiment:
    one, other = (draw(st.lists(st.sampled_from(WORDS), min_size=N, max_size=N)) for _ in range(2))
    same = draw(st.integers(0, N - 1))  # how many tokens both begin with
    other[:same] = one[:same]
    if one == other:
        other[-1] = WORDS[(WORDS.index(one[-1]) + 1) % len(WORDS)]
    answer, distractor = draw(st.lists(st.sampled_from(WORDS), min_size=2, max_size=2, unique=True))
    where = draw(st.sampled_from(["all", "prompt", "-1", "1,3"]))
    return engine.Experiment(
        directory, " ".join(one), " ".join(other), answer, distractor, positions=where
    )


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_patch_equals_a_plain_hook(kind: str, pair: Any) -> None:
    directory, ref = pair(kind)
    there = [
        place for place in engine.PATCH_PLACES if any(ref.has(place, i) for i in range(LAYERS))
    ]
    moved: list[float] = []

    @settings(max_examples=12)
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        e = data.draw(experiments(directory))
        place, direction = (data.draw(st.sampled_from(x)) for x in (there, ["denoise", "noise"]))
        try:
            result = engine.patch(
                e, place=place, direction=direction, per_position=data.draw(st.booleans())
            )
        except engine.EngineError as wrong:
            assert "other tokens" not in str(wrong) and kind not in ("gpt2", "llama"), wrong
            return
        assert result.done and result.n_done == result.n_places
        expected = by_hand(ref, e, result)
        found = result.numbers[LOGIT_DIFF, 0]
        np.testing.assert_allclose(found, expected, atol=2e-4, rtol=1e-4)
        base = result.base_numbers[LOGIT_DIFF, 0]
        moved.append(float(np.nanmax(np.abs(expected - base))))
        assert not np.isclose(expected, base, atol=1e-7)[result.unlike].all() or not (
            result.unlike.any()
        )
        same = ~result.unlike & np.isfinite(expected)
        np.testing.assert_allclose(expected[same], base, atol=1e-4)

    compare()
    assert max(moved) > 0.01, "the patches drawn move too little to judge"


E1: dict[str, Any] = {"corrupted": "9 7 1 5", "answer": " 5", "distractor": " 4"}
TASK = engine.Pair("1 2 3 4", "9 7 1 5", " 5", " 4"), engine.Pair("3 4 5 6", "2 9 4 1", " 7", " 6")


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_all_of_what_enters_layer_0_turns_one_run_into_the_other(
    model: str, direction: str
) -> None:
    e = engine.Experiment(model, "1 2 3 4", **E1)
    result = engine.patch(e, direction=direction)
    into = e if direction == "noise" else replace(e, prompt=e.corrupted, corrupted=e.prompt)
    whole = engine.next_token(replace(into, changes="resample r0"))
    assert whole.ablated_logit_diff == pytest.approx(result.run("donor"), abs=1e-4)
    near = replace(e, prompt="9 7 1 4", corrupted="9 7 1 5")  # but for one token the same
    only = engine.patch(near, direction=direction)
    assert [only.differs.count(True), only.differs[-1]] == [1, True]
    share = only.shown("share")[:, :, 0]
    last = slice(None) if model == "seq-gpt2" else slice(1)  # else its answer begins with a space
    np.testing.assert_allclose(share[-1][last], 1.0, atol=1e-4)
    assert (share[:-1] == 0).all() and not only.unlike[:-1].any()


@pytest.mark.parametrize("place", ["resid_mid", "attn_out", "mlp_out", "z", "q", "k", "v"])
def test_where_one_place_alone_differs_both_directions_agree(place: str) -> None:
    e = replace(engine.Experiment("seq-gpt2", "9 7 1 4", **E1), corrupted="9 7 1 5")
    there, back = (engine.patch(e, place="resid_pre", direction=d) for d in ("denoise", "noise"))
    np.testing.assert_allclose(there.shown("share"), back.shown("share"), atol=1e-4)
    one, other = (engine.patch(e, place=place, direction=d) for d in ("denoise", "noise"))
    assert one.run("base") == other.run("donor") and one.run("donor") == other.run("base")
    assert (one.unlike == other.unlike).all()


@pytest.mark.parametrize("place", engine.PATCH_PLACES)
def test_a_patch_is_a_change_of_the_experiment(place: str) -> None:
    """What a click makes of a cell gives the run that the cell tells of."""
    e = engine.Experiment("seq-llama", "1 2 3 4", **E1)
    for direction in engine.PATCH_DIRECTIONS:
        result = engine.patch(e, place=place, direction=direction)
        into = e if direction == "noise" else replace(e, prompt=e.corrupted, corrupted=e.prompt)
        rng = np.random.default_rng(3)
        cells = result.cells()
        for i in rng.choice(len(cells), 4, replace=False):
            k, site, (_, layer, head) = cells[i]
            position = None if result.positions is None else result.positions[k]
            change = result.change_of(layer, position, head)
            assert change.sites.sites == (site,)
            told = engine.next_token(replace(into, changes=[change])).ablated_logit_diff
            assert result.numbers[LOGIT_DIFF, 0, k, layer, head] == pytest.approx(told, abs=1e-4)


def test_shares_of_a_task_are_of_means_and_the_spread_over_prompts() -> None:
    result = engine.patch(engine.Experiment("seq-gpt2"), TASK, place="z", direction="noise")
    each = [engine.patch(engine.Experiment("seq-gpt2"), [one], place="z", direction="noise")
            for one in TASK]  # fmt: skip
    changes = np.stack([one.shown("change") for one in each])
    way = np.mean([one.run("donor") - one.run("base") for one in each])
    np.testing.assert_allclose(result.shown("change"), changes.mean(0), atol=1e-4)
    np.testing.assert_allclose(result.shown("share"), changes.mean(0) / way, atol=1e-4)
    np.testing.assert_allclose(result.shown("spread"), changes.std(0) / abs(way), atol=1e-4)
    rows = result.table(by="share", most=3)
    assert [row["n"] for row in rows] == [2, 2, 2] and rows[0]["exact"] == 1
    shares = [abs(float(str(row["share"]))) for row in rows]
    assert shares == sorted(shares, reverse=True)
    grid = result.grid()
    assert grid.less_is_better and grid.signed and not grid.inexact
    assert grid.heads.max() == pytest.approx(result.shown("share").max())


@pytest.mark.parametrize("place", engine.PATCH_PLACES)
@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "gptj"])
def test_the_estimate_is_the_slope_of_the_patch(kind: str, place: str, pair: Any) -> None:
    """For a donor that hardly differs, first order is nearly exact: the stream is what it is."""
    directory, ref = pair(kind)
    if not all(ref.has(place, i) for i in range(LAYERS)):
        pytest.skip("the family has no such place")
    if (kind, place) == ("gemma2", "attn_out"):
        pytest.skip("heads go through a norm: a line of what they bring together is none behind it")
    e = engine.Experiment(directory, "t1 t5 t9 t2", "t1 t5 t7 t2", "t3", "t4")
    result = engine.patch(e, place=place, direction="noise", estimate=True)
    answer, distractor = (ids_of(directory, text)[-1] for text in (e.answer, e.distractor))
    into, of = (ids_of(directory, text) for text in (e.prompt, e.corrupted))
    ref.hf.double()
    try:
        for k, _, (_, layer, head) in result.cells()[::3]:
            at = (place, layer)
            old, new = (ref.values(ids, [at])[at].double() for ids in (into, of))
            index = index_of(place, head, ref)
            n = (len(old), ref.size(*at), *old.shape[2:])
            if index is not None:
                old, new = (x.reshape(n)[:, index] for x in (old, new))
            where = tuple(range(len(into))) if result.positions is None else (result.positions[k],)
            step = 1e-2 * (new - old)[list(where)]

            def hook(
                sign: int,
                where: Any = where,
                old: Any = old,
                step: Any = step,
                index: Any = index,
                layer: int = layer,
            ) -> Change:
                value = old[list(where)] + sign * step
                return Change(place, layer, index, where, lambda now: value.to(now.dtype))

            up, down = diffs(ref, [(into, [hook(1)]), (into, [hook(-1)])], answer, distractor)
            assert result.estimate is not None
            slope = (up - down) / 2e-2
            np.testing.assert_allclose(
                result.estimate[0, k, layer, head], slope, atol=1e-3, rtol=1e-2
            )
    finally:
        ref.hf.float()


def test_it_is_stopped_and_gone_on_with_to_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waves, "WAVE_BYTES", 1)
    question = engine.Patch(engine.Experiment("seq-gpt2"), TASK, "attn_out", estimate=True)
    work = engine.begin(question)
    part = next(one for one in work if 0 < one.n_done - (~one.unlike).sum() < one.n_places / 2)
    work.cancel()
    assert not part.done and part.estimate is not None
    assert not np.isfinite(part.numbers[LOGIT_DIFF]).all()
    whole = engine.begin(question, so_far=part).result()
    np.testing.assert_array_equal(whole.numbers, engine.begin(question).result().numbers)
    known = np.isfinite(part.numbers)
    np.testing.assert_array_equal(whole.numbers[known], part.numbers[known])
    with pytest.raises(engine.EngineError, match="another patching"):
        engine.begin(replace(question, direction="noise"), so_far=part).result()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"corrupted": ""}, "has no corrupted prompt"),
        ({"corrupted": "1 2 3 4"}, "both runs are the same"),
        ({"corrupted": "9 7 1"}, "“9 7 1” is 3 tokens long and the prompt 4"),
        ({"answer": ""}, "has no answer"),
        ({"ablations": "0.1"}, r"take its `\.clean`"),
        ({"changes": "zero m1"}, r"take its `\.clean`"),
        ({"positions": "generated"}, "prompt's own"),
        ({"positions": "9"}, "9"),
    ],
)
@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_what_cannot_be_patched_is_told(fields: Any, says: str, direction: str) -> None:
    e = replace(engine.Experiment("seq-gpt2", "1 2 3 4", **E1), **fields)
    with pytest.raises(engine.EngineError, match=says):
        engine.patch(e, direction=direction)


def test_a_place_that_is_not_there_is_told(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gptj")), "t1 t5", "t1 t6", "t3", "t4")
    with pytest.raises(engine.EngineError, match="resid_mid"):
        engine.patch(e, place="resid_mid")
    with pytest.raises(engine.EngineError, match="not “here”"):
        engine.patch(e, place="here")
    with pytest.raises(engine.EngineError, match="not “up”"):
        engine.patch(e, direction="up")


def test_without_a_distractor_shares_are_of_the_answers_log_probability() -> None:
    e = replace(engine.Experiment("seq-gpt2", "1 2 3 4", **E1), distractor="")
    result = engine.patch(e, place="mlp_out", estimate=True)
    assert result.metric == "log_prob"
    assert result.run("clean") == pytest.approx(
        some(engine.next_token(e).answer).clean.log_prob, abs=1e-4
    )
    assert np.isfinite(result.shown("share")).all() and np.isfinite(result.agreement)


def test_figures_say_which_token_became_which() -> None:
    e = engine.Experiment("seq-gpt2", "1 2 3 4", **E1)
    figure = engine.patch(e).figure()
    assert next(iter(figure.layout.xaxis.ticktext)) == "0 1 → 9"
    assert np.asarray(figure.data[0].z).shape == (6, 4) and len(figure.data) == 1
    part = next(iter(engine.begin(engine.Patch(e, place="mlp_out", estimate=True))))
    drawn = part.figure("estimate")
    assert len(drawn.data) == 2 and "hatched" in drawn.layout.xaxis.title.text
    heads = engine.patch(e, place="q", per_position=True)
    assert np.asarray(heads.figure(position=3).data[0].z).shape == (6, 10)
    with pytest.raises(engine.EngineError, match="not of a head"):
        engine.patch(e).grid()
