"""Features as sites: what they change equals plain hooks on Hugging Face's model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import engine
from tests.support import sae_folders as by_hand
from tests.support.reference import Reference
from tests.support.tiny_models import D_MODEL, Tiny

N, K = 40, 7
PROMPT = "t4 t5 t6 t7"
FAMILIES = ("gpt2", "llama", "gemma2", "gptj")


@pytest.fixture(autouse=True, scope="module")
def kept_apart(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWITCHBOARD_SAES", str(tmp_path_factory.mktemp("kept")))
        yield


@pytest.fixture(scope="module")
def saes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, engine.Sae]:
    folder = tmp_path_factory.mktemp("saes")
    return {
        kind: engine.read_sae(
            by_hand.write(folder / kind, kind, by_hand.weights(kind, D_MODEL, N), k=K)
        )
        for kind in by_hand.KINDS
    }


def logits(ranking: engine.Ranking) -> np.ndarray:
    return ranking.logits[np.argsort(ranking.ids)]


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=12)
@given(
    kind=st.sampled_from(by_hand.KINDS),
    index=st.sets(st.integers(0, N - 1), min_size=1, max_size=12),
    method=st.sampled_from(["zero", "scale(3)", "scale(-1)", "set(2)"]),
    where=st.sampled_from(["all", "2-3", "-1"]),
)
def test_changed_features_are_plain_hooks(
    tiny: Tiny,
    saes: dict[str, engine.Sae],
    family: str,
    kind: str,
    index: set[int],
    method: str,
    where: str,
) -> None:
    directory, t = tiny(family), by_hand.weights(kind, D_MODEL, N)
    named = " ".join(f"f2.{i}" for i in sorted(index))
    change = f"{method} {named}" + ("" if where == "all" else f" @{where}")
    e = engine.Experiment(str(directory), PROMPT, changes=change, saes=saes[kind])
    ids = engine.tokenize(e.model, e.prompt).ids
    at = {"all": range(len(ids)), "2-3": (2, 3), "-1": (len(ids) - 1,)}[where]
    reference = Reference(directory)

    def hook(_m: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = args[0].clone()
        old = by_hand.features(kind, t, x[0], K)
        new = old.clone()
        for i in index:
            new[:, i] = {"zero": 0 * old[:, i], "set(2)": 0 * old[:, i] + 2}.get(
                method, old[:, i] * (3 if method == "scale(3)" else -1)
            )
        moved = x[0] + by_hand.decoded(t, new) - by_hand.decoded(t, old)
        x[0, list(at)] = moved[list(at)]
        return (x, *args[1:])

    handle = reference.layers[2].register_forward_pre_hook(hook)
    meant = reference.logits(ids)[-1]
    handle.remove()
    np.testing.assert_allclose(logits(engine.next_token(e).ablated), meant, atol=1e-4)


def test_an_edit_of_nothing_is_the_clean_run_and_changes_are_made_in_order(
    tiny: Tiny, saes: dict[str, engine.Sae]
) -> None:
    e = engine.Experiment(str(tiny("llama")), PROMPT, saes=saes["standard"])
    nothing = engine.next_token(replace(e, changes="scale(1) f2.0-39"))
    np.testing.assert_allclose(logits(nothing.ablated), logits(nothing.clean), atol=1e-5)
    both = engine.next_token(replace(e, changes="set(1) f2.3\nscale(2) r2"))
    other = engine.next_token(replace(e, changes="scale(2) r2\nset(1) f2.3"))
    assert np.abs(logits(both.ablated) - logits(other.ablated)).max() > 1e-3


def test_generation_and_sites_switched_off_take_features_like_any_other(
    tiny: Tiny, saes: dict[str, engine.Sae]
) -> None:
    directory = tiny("gpt2", eos_token_id=None)
    e = engine.Experiment(str(directory), PROMPT, ablations="f2.0-39", saes=saes["topk"])
    changed = replace(e, ablations="", changes="zero f2.0-39")
    one, other = (logits(engine.next_token(x).ablated) for x in (e, changed))
    np.testing.assert_allclose(one, other, atol=1e-6)
    steps = [step.ablated.token_id for step in engine.generate(e, 4) if step.ablated]
    text, ids = e, []
    for _ in steps:
        ids.append(int(engine.next_token(text).ablated.ids[0]))
        text = replace(text, prompt=f"{text.prompt} t{ids[-1] - 3}")
    assert steps == ids


def test_what_stands_on_changed_features_has_the_numbers_of_the_next_token(
    tiny: Tiny, saes: dict[str, engine.Sae]
) -> None:
    e = engine.Experiment(
        str(tiny("llama")),
        PROMPT,
        "t9 t5 t8 t7",
        "t8",
        "t3",
        ablations="f2.0-19",
        saes=saes["gated"],
    )
    swept = engine.sweep(e)
    for site, at in (("1.3", (1, 3)), ("2.0", (2, 0))):
        both = engine.next_token(replace(e, ablations=f"f2.0-19 {site}")).ablated_logit_diff
        assert swept.heads[at] == pytest.approx(both, abs=1e-4)
    lens = engine.logit_lens(e)
    assert lens.ablated.ids[-1, -1, 0] == engine.next_token(e).ablated.ids[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("zero f1.3", "features of an SAE of layer 1"),
        ("zero f2.40", "no feature f2.40"),
        ("mean f2.3", "choose zero, scale or set"),
        ("zero f9.3", "layers are 0 to 2"),
    ],
)
def test_features_there_are_not_are_refused(
    tiny: Tiny, saes: dict[str, engine.Sae], change: str, said: str
) -> None:
    e = engine.Experiment(str(tiny("gpt2")), PROMPT, changes=change, saes=saes["standard"])
    with pytest.raises(engine.EngineError, match=said):
        engine.next_token(e)
    assert all(
        not x.experiment.every_change or engine.next_token(x.experiment) for x in engine.remedies(e)
    )


def test_an_sae_of_another_width_or_model_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    t = by_hand.weights("standard", 16, N)
    e = engine.Experiment(str(tiny("gpt2")), PROMPT, changes="zero f2.0")
    narrow = engine.read_sae(by_hand.write(tmp_path / "a", "standard", t))
    with pytest.raises(engine.EngineError, match=r"reads 16 numbers, .* stream has 32"):
        engine.next_token(replace(e, saes=narrow))
    meta = {"hook_name": "blocks.1.hook_resid_post", "model_name": "other/gpt2-xl"}
    t = by_hand.weights("standard", D_MODEL, N)
    folder = by_hand.write(tmp_path / "b", "standard", t, metadata=meta)
    with pytest.raises(engine.EngineError, match="made on “other/gpt2-xl”"):
        engine.next_token(replace(e, saes=engine.read_sae(folder)))
    assert engine.next_token(replace(e, saes=engine.read_sae(folder, model=""))).ablated_sites == 1
    gone = engine.Sae("gone", "r2", "0" * 64)
    with pytest.raises(engine.EngineError, match="not read on this machine"):
        engine.next_token(replace(e, saes=gone))
    with pytest.raises(engine.EngineError, match="No SAE “gone” ships"):
        engine.next_token(replace(e, saes="gone@r2"))
