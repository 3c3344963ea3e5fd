"""A planted direction is found by each way of making one; its numbers; what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from tests.support import sae_folders as by_hand
from tests.support.axis_model import AXIS, WIDTH, turning_model
from tests.support.tiny_models import Tiny

UP, DOWN = "t5 t1 t9", "t5 t2 t9"
MADE: dict[str, Any] = {
    "one of each": engine.FromPrompts([UP], [DOWN]),
    "means": engine.FromPrompts([UP, "t6 t1 t9"], [DOWN, "t6 t2 t9", "t4 t2 t9"]),
    "pca": engine.FromPrompts([UP, "t6 t1 t9", "t1 t3"], [DOWN, "t6 t2 t9", "t2 t3"], "pca"),
    "over tokens": engine.FromPrompts(["t1 t9 t9 t9"], ["t2 t9 t9 t9"], "pca", "mean"),
    "a head": engine.FromHead("1.2", "t1"),
    "an unembedding": engine.FromUnembedding("t7", "t8"),
    "one token's": engine.FromUnembedding("t7"),
}


OF_A_FEATURE: dict[str, Any] = dict.fromkeys(["a feature", "a feature, unit", "a transcoder's"])
"""Of an SAE, or a transcoder, of which one feature writes along the axis, three times as long."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("turning")
    t = by_hand.weights("standard", WIDTH, 5)
    t["W_dec"][3] = 3 * AXIS
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWITCHBOARD_SAES", str(folder / "kept"))
        sae = engine.read_sae(by_hand.write(folder / "sae", "standard", t), site="r2")
        of_mlp = by_hand.write_transcoder(folder / "of an MLP", "standard", t)
        OF_A_FEATURE["a feature"] = engine.FromFeature(sae, 3)
        OF_A_FEATURE["a feature, unit"] = engine.FromFeature(sae, "f2.3", "unit")
        OF_A_FEATURE["a transcoder's"] = engine.FromFeature(engine.read_sae(of_mlp, "mlp"), 3)
        yield turning_model(folder)


@pytest.mark.parametrize("way", [*MADE, *OF_A_FEATURE])
def test_a_planted_direction_is_found_and_turns_the_answer(way: str, planted: str) -> None:
    made, site = (MADE | OF_A_FEATURE)[way], "" if way in OF_A_FEATURE else "r2"
    vectors = [engine.Direction("v", site, made)]
    e = engine.Experiment(planted, "t9 t5 t9", answer="t7", distractor="t8", vectors=vectors)
    found = engine.direction(e, "v")
    cosine = found.values @ AXIS.numpy() / np.linalg.norm(found.values)
    # read over tokens, the tokens themselves are in it; at the last one they are the same
    assert cosine > (0.3 if way == "over tokens" else 0.99)
    assert abs(found.norm - np.linalg.norm(found.values)) < 1e-6
    if way in OF_A_FEATURE:
        assert found.norm == pytest.approx(1 if "unit" in way else 3)
        assert str(found.direction.site) == ("m1" if "transcoder" in way else "r2")
    for sign in (1, -1):
        steered = engine.next_token(replace(e, changes=f"add(v, {sign * 5 / found.norm}) r2"))
        assert steered.ablated.texts[0].strip() == ("t7" if sign > 0 else "t8")
        assert abs(steered.clean_logit_diff or 0) < 0.1
    turned = replace(e, prompt=UP, changes="project(v) r2")
    ranked = engine.next_token(turned)
    assert (ranked.clean_logit_diff or 0) > 1
    if way != "over tokens":
        assert abs(ranked.ablated_logit_diff or 0) < 0.2


@pytest.mark.parametrize("form", ["safetensors", "gguf", "pt"])
def test_a_planted_direction_from_a_file_turns_the_answer(form: str, planted: str) -> None:
    found = engine.direction(planted, engine.Direction("v", "r2", MADE["means"]))
    read = engine.read_direction(engine.write_directions(found, form), name="v")
    assert str(read.site) == "r2" and isinstance(read.made, engine.FromFile)
    change = f"add(v, {5 / found.norm}) r2"
    e = engine.Experiment(planted, "t9 t5 t9", answer="t7", distractor="t8", vectors=[read])
    assert engine.direction(e, "v").values @ AXIS.numpy() > 0.99 * found.norm
    assert engine.next_token(replace(e, changes=change)).ablated.texts[0].strip() == "t7"


def test_pca_keeps_what_pairs_share_and_leaves_out_what_only_one_has(planted: str) -> None:
    noisy = engine.FromPrompts(
        ["t1 t9", "t1 t8", "t1 t7", "t1 t6"], ["t2 t9", "t2 t8", "t2 t7", "t2 t5"], "pca"
    )
    mean = replace(noisy, by="mean")
    found = engine.direction(
        planted, engine.Direction("p", "r2", noisy), [engine.Direction("m", "r2", mean)]
    )
    assert found.values @ AXIS.numpy() > 0 and found.norm <= found.other_norms[0] + 1e-6
    assert found.cosines[0] > 0.5


def test_norms_cosines_table_and_figure(planted: str) -> None:
    vectors = [engine.Direction(f"d{i}", "r2", made) for i, made in enumerate(MADE.values())]
    same = engine.FromPrompts([UP], [UP])
    e = engine.Experiment(planted, UP, vectors=[*vectors, engine.Direction("none", "r2", same)])
    found = engine.direction(e, "d0")
    assert [one.name for one in found.others] == [one.name for one in e.vectors[1:]]
    every = {one.name: engine.direction(e, one).values for one in e.vectors}
    for one, cosine, norm in zip(found.others, found.cosines, found.other_norms, strict=True):
        other = every[one.name]
        assert abs(norm - np.linalg.norm(other)) < 1e-5
        if one.name == "none":
            assert np.isnan(cosine) and norm == 0
        else:
            expected = found.values @ other / np.linalg.norm(found.values) / norm
            assert abs(cosine - expected) < 1e-5
    rows = found.table()
    assert [row["direction"] for row in rows] == [one.name for one in e.vectors]
    assert rows[0]["cosine"] == 1.0 and rows[0]["norm"] == found.norm
    assert 0 < found.share == found.norm / found.stream_norm
    stream = engine.activations(e, [("resid_post", 1)]).clean["resid_post", 1]
    tokens = engine.tokenize(planted, UP)
    norms = np.sort(np.linalg.norm(stream[int(tokens.bos) :], axis=-1))
    expected = norms[(len(norms) - 1) // 2]
    assert abs(engine.direction(e, "d5").stream_norm - expected) < 1e-5
    assert np.isnan(engine.direction(replace(e, prompt=""), "d5").stream_norm)
    (bars,) = found.figure().data
    assert list(bars.y) == [one.name for one in found.others] and bars.x[-1] is None


def test_a_direction_is_made_once_and_follows_the_bos(tiny: Tiny) -> None:
    directory = str(tiny("llama"))
    one = engine.Direction("v", "r1", engine.FromPrompts(["t1"], [""]))
    with_bos = engine.direction(directory, one).values
    model = engine.load(directory)
    n = len(model.means)
    np.testing.assert_array_equal(engine.direction(directory, one).values, with_bos)
    assert len(model.means) == n
    without = engine.direction(
        engine.Experiment(directory, prepend_bos=False),
        replace(one, made=engine.FromPrompts(["t1"], ["t2"])),
    )
    both = engine.direction(directory, replace(one, made=engine.FromPrompts(["t1"], ["t2"])))
    assert np.abs(without.values - both.values).max() > 1e-3


V = engine.Direction("v", "r1", engine.FromPrompts(["1 2"], ["2 1"]))
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no such name": ({"changes": "add(w, 1) r1"}, "no direction “w”: it has v"),
    "no name at all": ({"changes": "add(w, 1) r1", "vectors": ()}, "it has none"),
    "a head": ({"changes": "add(v, 1) 0.1"}, "lies in the residual stream"),
    "heads": ({"changes": "project(v) a1"}, "z is neither"),
    "a head's value": ({"changes": "add(v, 1) 0.1.v"}, "v is neither"),
    "a pattern": ({"changes": "project(v) 0.1.pattern"}, "pattern is neither"),
    "a neuron": ({"changes": "add(v, 1) n1.2"}, "post is neither"),
    "all but some": ({"changes": "add(v, 1) keep 0.1"}, "z is neither"),
    "past the last": ({"changes": "add(v, 1) r9"}, "r9 is in layer 9"),
    "a position": ({"changes": "add(v, 1) r1 @7"}, "Position 7 is not in the prompt"),
    "a site it has not": ({"vectors": replace(V, site="r7")}, "r7 is in layer 7"),
    "an empty prompt": (
        {"vectors": replace(V, made=engine.FromPrompts(["1"], [""]))}, "has no tokens",
    ),
    "a long prompt": (
        {"vectors": replace(V, made=engine.FromPrompts(["1 " * 200], ["1"]))}, "reads at most",
    ),
    "a head it has not": ({"vectors": replace(V, made=engine.FromHead("1.99", " 1"))}, "no head"),
    "two tokens": ({"vectors": replace(V, made=engine.FromHead("1.1", " 1 2"))}, "2 tokens here"),
    "words": ({"vectors": replace(V, made=engine.FromUnembedding("1 2"))}, "tokens here"),
    "a feature there is not": (
        {"vectors": engine.Direction("v", "", engine.FromFeature("seq-gpt2-r3@r3", 9_999))},
        "has features 0 to 639",
    ),
    "a feature of no SAE here": (
        {"vectors": engine.Direction("v", "", engine.FromFeature(f"gone@r3:{'0' * 64}", 1))},
        "was not read on this machine",
    ),
    "numbers that overflow": (
        {"changes": "\n".join(["add(v, 1e6) r1", *["scale(1e6) r1"] * 6])}, "overflow",
    ),
    "a file that is not here": (
        {"vectors": replace(V, made=engine.FromFile("0" * 64))}, "not opened on this machine",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_made_is_refused_in_words_and_can_be_mended(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWITCHBOARD_VECTORS", str(tmp_path))
    fields, part = REFUSED[what]
    e = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", changes="add(v, 1) r1", vectors=V)
    e = replace(e, **fields)
    with pytest.raises(engine.EngineError) as told:
        engine.next_token(e)
    assert part in str(told.value) and str(told.value).endswith("."), str(told.value)
    with pytest.raises(engine.EngineError):
        next(iter(engine.generate(e, 2)))
    remedies = engine.remedies(e)
    assert remedies
    for remedy in remedies:
        engine.next_token(remedy.experiment)


def test_what_is_no_direction_is_refused() -> None:
    e = engine.Experiment("seq-gpt2", "1 2")
    with pytest.raises(engine.ExperimentError, match="A direction is asked about"):
        engine.direction(e, 3)  # type: ignore[arg-type]
    with pytest.raises(engine.ExperimentError, match="An Experiment is asked about"):
        engine.direction(3, "v")  # type: ignore[arg-type]
    with pytest.raises(engine.ExperimentError, match="no direction “v”"):
        engine.direction("seq-gpt2", "v")
