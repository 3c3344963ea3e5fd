"""Features by their effect on the answer: exact are those of plain hooks, estimates of autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

import engine
from tests.support import sae_folders as by_hand
from tests.support.feature_reference import PAIRS, A, D, FeatureReference, K, N, without
from tests.support.reference import Change, Reference
from tests.support.tiny_models import D_MODEL, Tiny

FAMILIES = [("gpt2", "standard"), ("llama", "topk"), ("gemma2", "jumprelu"), ("gptj", "gated")]
Made = Callable[[str, str], FeatureReference]
E = engine.Experiment("seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4")
SAE = engine.bundled_sae("seq-gpt2-r3")


@pytest.fixture(scope="module")
def made(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> object:
    known: dict[tuple[str, str], FeatureReference] = {}
    folder = tmp_path_factory.mktemp("saes")

    def make(family: str, kind: str) -> FeatureReference:
        if (family, kind) not in known:
            known[family, kind] = FeatureReference(tiny(family), kind, folder / f"{family} {kind}")
        return known[family, kind]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWITCHBOARD_SAES", str(folder / "kept"))
        yield make


@pytest.mark.parametrize(("family", "kind"), FAMILIES)
@settings(max_examples=5)
@given(where=st.sampled_from(["all", "2-3", "prompt", "-1"]), given_off=st.booleans())
def test_every_exact_effect_is_that_of_plain_hooks(
    made: Made, family: str, kind: str, where: str, given_off: bool
) -> None:
    one = made(family, kind)
    e = engine.Experiment(one.directory, positions=where, ablations="1.2" if given_off else "")
    ranked = engine.rank_features(e, one.sae, PAIRS, exact=6, controls=3)
    assert ranked.done and ranked.n_exact == 6 and not {*ranked.features} & {*ranked.random}
    for p, pair in enumerate(PAIRS):
        n = len(one.ids(pair.prompt))
        at = {"2-3": [2, 3], "-1": [n - 1]}.get(where, list(range(n)))
        head = Change("head", 1, 2, tuple(at), torch.zeros_like)
        changes = [head] if given_off else []
        base = one.diff(pair.prompt, changes=changes)
        assert ranked.clean[p] == pytest.approx(one.diff(pair.prompt), abs=1e-4)
        assert ranked.given[p] == pytest.approx(base, abs=1e-4)

        def effect(become: object, at: list[int] = at, pair: engine.Pair = pair,
                   changes: list[Change] = changes, base: float = base) -> float:  # fmt: skip
            return one.diff(pair.prompt, become, at, changes) - base  # type: ignore[arg-type]

        for feature, found in zip(ranked.features, ranked.exact[p], strict=True):
            assert found == pytest.approx(effect(without([feature.index])), abs=1e-4)
        assert ranked.error[p] == pytest.approx(effect(lambda f, e: (f, 0 * e)), abs=1e-4)
        assert ranked.emptied[p] - base == pytest.approx(effect(without(range(N))), abs=1e-4)
        last = effect(without([ranked.random[-1].index]))
        assert ranked.measured[p, -1] == pytest.approx(last, abs=1e-4)


@pytest.mark.parametrize(("family", "kind"), FAMILIES)
def test_estimates_are_the_gradients_of_plain_autograd(made: Made, family: str, kind: str) -> None:
    one = made(family, kind)
    e = engine.Experiment(one.directory, positions="1-3")
    ranked = engine.rank_features(e, one.sae, PAIRS, exact=0, controls=0)
    meant, errors, on = [], [], []
    for pair in PAIRS:
        x, slope = one.slopes(pair.prompt)
        f, error = one.read(x)
        each = -f * (slope @ one.weights["W_dec"].T)
        meant.append(each[1:4].sum(0).numpy())
        errors.append(float(-(error * slope)[1:4].sum()))
        on.append((f[1:4] > 0).any(0).numpy())
    np.testing.assert_allclose(ranked.estimate, np.mean(meant, 0), atol=2e-5)
    np.testing.assert_allclose(ranked.spread, np.std(meant, 0), atol=2e-5)
    np.testing.assert_allclose(ranked.error_estimate, errors, atol=1e-4)
    np.testing.assert_allclose(ranked.share, np.mean(on, 0))
    assert ranked.n_active == np.any(on, 0).sum() and len(ranked.by_estimate()) == ranked.n_active


def test_an_effect_is_what_the_change_does_and_what_is_off_already_does_nothing_more() -> None:
    ranked = engine.rank_features(E, SAE, exact=4, controls=2)
    first = ranked.order[0]
    off = engine.next_token(replace(E, changes=f"zero {first}", saes=SAE))
    assert off.ablated_logit_diff is not None and off.clean_logit_diff is not None
    change = off.ablated_logit_diff - off.clean_logit_diff
    assert ranked.effects[ranked.features.index(first)] == pytest.approx(change, abs=1e-4)
    rows = ranked.table()
    sizes = [abs(float(str(row["exact"]))) for row in rows[:5]]
    assert sizes == sorted(sizes, reverse=True) and [r["rank"] for r in rows[:6]] == [
        *range(1, 6),
        "",
    ]
    assert {row["kind"] for row in rows} == {"measured", "error", "random", "estimated"}
    assert len(rows) == ranked.n_active + 1 and ranked.figure().data
    again = engine.rank_features(
        replace(E, ablations=str(first), saes=SAE), SAE, exact=ranked.n_active, controls=0
    )
    assert again.effects[again.features.index(first)] == 0 == again.estimate[first.index]
    assert again.given[0] == pytest.approx(off.ablated_logit_diff, abs=1e-4)


def test_it_goes_on_from_what_is_known() -> None:
    question = engine.RankFeatures(E, SAE, exact=6, controls=3)
    whole = engine.begin(question).result()
    part = whole.measured.copy()
    part[:, 2:] = np.nan
    part[:, :2] += 1000.0  # told from what is measured anew
    known = replace(whole, measured=part, progress=0.5)
    gone_on = engine.begin(question, so_far=known).result()
    np.testing.assert_allclose(gone_on.measured[:, 2:], whole.measured[:, 2:], atol=1e-5)
    assert (gone_on.measured[:, :2] > 900).all()
    with pytest.raises(engine.EngineError, match="another ranking"):
        engine.begin(engine.RankFeatures(E, SAE, exact=5), so_far=known).result()
    (first, *_) = engine.begin(question)
    assert np.isfinite(first.estimate).all() and first.n_exact == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"answer": ""}, "no answer"),
        ({"positions": "generated"}, "no feature is switched off in the prompts"),
        ({"sae": "gone@r3"}, "No SAE “gone” ships"),
        ({"sae": "seq-gpt2-r3@r9"}, "layers are 0 to"),
        ({"model": "seq-llama"}, "seq-gpt2"),
        ({"exact": 2000}, "0 to 1,000 features"),
        ({"exact": "x"}, "whole number"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_what_cannot_be_asked_is_said(more: dict[str, object], said: str) -> None:
    own = {name: more[name] for name in ("sae", "exact", "seed") if name in more}
    rest = {name: value for name, value in more.items() if name not in own}
    with pytest.raises(engine.EngineError, match=said):
        engine.rank_features(replace(E, **rest), **{"sae": SAE, **own})  # type: ignore[arg-type]


def test_an_sae_on_nowhere_has_its_error_alone(tiny: Tiny, tmp_path: Path) -> None:
    weights = by_hand.weights("standard", D_MODEL, N)
    weights["b_enc"] = weights["b_enc"] - 1000
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWITCHBOARD_SAES", str(tmp_path / "kept"))
        dead = engine.read_sae(by_hand.write(tmp_path / "dead", "standard", weights))
        ranked = engine.rank_features(engine.Experiment(str(tiny("gpt2"))), dead, PAIRS)
        assert not ranked.features and ranked.done and ranked.figure().data
        assert [row["node"] for row in ranked.table()] == ["error"]
        np.testing.assert_allclose(ranked.emptied, ranked.given, atol=1e-5)
        with pytest.raises(engine.EngineError, match="No feature of"):
            engine.feature_curve(engine.Experiment(str(tiny("gpt2"))), dead, PAIRS)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_features_of_a_transcoder_are_taken_from_what_its_mlp_writes(
    tiny: Tiny, tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWITCHBOARD_SAES", str(tmp_path / "kept"))
    directory, t = tiny(family), by_hand.weights("topk", D_MODEL, N)
    stored = {"encoder.weight": t["W_enc"].T.contiguous(), "encoder.bias": t["b_enc"]}
    folder = by_hand.write(tmp_path / "layers.1.mlp", "topk", t, k=K, transcode=True)
    (folder / "sae_weights.safetensors").unlink()
    save_file({**stored, "W_dec": t["W_dec"], "b_dec": t["b_dec"]}, folder / "sae.safetensors")
    sae, reference = engine.read_sae(folder), Reference(directory)
    ranked = engine.rank_features(engine.Experiment(str(directory)), sae, PAIRS, exact=4)
    for p, pair in enumerate(PAIRS):
        ids = engine.tokenize(str(directory), pair.prompt).ids

        def diff(gone: int | None, error: bool = False, ids: tuple[int, ...] = ids) -> float:
            def hook(_m: object, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
                f = by_hand.features("topk", t, args[0][0], K, centres=False)
                made = by_hand.decoded(t, f)[None] if error else y
                return made if gone is None else made - (f[:, [gone]] * t["W_dec"][gone])[None]

            mlp = reference.layers[1].get_submodule("mlp")
            handle = mlp.register_forward_hook(hook)
            last = reference.logits(ids)[-1]
            handle.remove()
            return float(last[A] - last[D])

        for feature, found in zip(ranked.features, ranked.exact[p], strict=True):
            assert found == pytest.approx(diff(feature.index) - diff(None), abs=1e-4)
        assert ranked.spliced[p] == pytest.approx(diff(None, error=True), abs=1e-4)
