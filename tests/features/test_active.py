"""The features in a prompt, in tokens and in texts equal what plain hooks and modules say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

import engine
from tests.support import sae_folders as by_hand
from tests.support.reference import Reference
from tests.support.tiny_models import D_MODEL, Tiny

N, K = 40, 7


def seen(reference: Reference, ids: tuple[int, ...]) -> Tensor:
    """What enters layer 2, [pos d_model]."""
    found: list[Tensor] = []
    handle = reference.layers[2].register_forward_pre_hook(
        lambda _m, args: found.append(args[0][0])
    )
    reference.logits(ids)
    handle.remove()
    return found[0]


@pytest.mark.parametrize(("family", "kind"), [("gpt2", "topk"), ("llama", "jumprelu")])
def test_features_in_prompts_and_texts_are_those_of_plain_hooks(
    tiny: Tiny, tmp_path: Path, family: str, kind: str
) -> None:
    directory, t = tiny(family), by_hand.weights(kind, D_MODEL, N)
    sae = engine.read_sae(by_hand.write(tmp_path / "one", kind, t, k=K))
    reference = Reference(directory)
    e = engine.Experiment(str(directory), "t4 t5 t6 t7", ablations="1.2", saes=sae)
    ids = engine.tokenize(e.model, e.prompt).ids
    result = engine.active_features(e, sae, k=9)
    x = seen(reference, ids)
    f = by_hand.features(kind, t, x, K)
    order = [one.index for one in result.features]
    firsts = {int(i) for row in f[1:] for i in row.topk(1).indices}
    assert firsts <= set(order) and len(order) == 9
    assert [int(f[1:, i].argmax()) for i in order] == sorted(int(f[1:, i].argmax()) for i in order)
    np.testing.assert_allclose(result.clean, f[:, order].T, atol=1e-4)
    np.testing.assert_array_equal(result.n_on, (f > 0).sum(1))
    left = (x - by_hand.decoded(t, f)).pow(2).sum(1) / (x - x[1:].mean(0)).pow(2).sum(1)
    np.testing.assert_allclose(result.explained, 1 - left, atol=1e-3)
    assert np.abs(result.ablated - result.clean).max() > 1e-3
    same = engine.active_features(e.clean, sae, k=9)
    np.testing.assert_array_equal(same.ablated, same.clean)
    best = result.strongest(2, 1)[0]
    assert f[2, best.index] == f[2, order].max()
    assert result.figure("difference").data
    assert result.table()[0]["feature"] == f"f2.{order[0]}"

    texts = ("t1 t2 t3 t4 t5 t6 t7 t8", "t9 t8 t7")
    there = engine.feature_contexts(e.model, sae, order[0], texts, window=4, k=9)
    values: list[float] = []
    for text in texts:
        own = engine.tokenize(e.model, text).ids
        for start in range(1, len(own), 3):
            part = (own[0], *own[start : start + 3])
            on = by_hand.features(kind, t, seen(reference, part), K)
            values += on[1:, order[0]].tolist()
    np.testing.assert_allclose(there.activations, sorted(values), atol=1e-4)
    assert str(there.forced(1.0).sites) == f"f2.{order[0]}" and there.n_windows == 4
    forced = replace(e.clean, changes=[there.forced(1.0)], saes=sae)
    assert engine.next_token(forced).ablated_sites == 1


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_what_a_feature_promotes_is_its_direction_behind_the_final_norm(
    tiny: Tiny, tmp_path: Path, family: str
) -> None:
    directory, t = tiny(family), by_hand.weights("gated", D_MODEL, N)
    sae = engine.read_sae(by_hand.write(tmp_path / "one", "gated", t))
    hf = Reference(directory).hf
    (numbers,) = engine.feature_tokens(str(directory), sae, ["f2.5"], k=64).values()
    decoder, own = hf.get_decoder(), t["W_dec"][5]
    norm = decoder.ln_f if family == "gpt2" else decoder.norm
    centred = own - own.mean() if family == "gpt2" else own
    logits = (hf.lm_head.weight @ (centred * norm.weight)).detach()
    meant = logits - logits.mean()
    says = dict(zip(numbers.top_ids, numbers.top, strict=True))
    np.testing.assert_allclose([says[i] for i in range(64)], meant, atol=1e-4)


@pytest.mark.parametrize("given", ["f1.3", "n2.3", "f2.1-2", "x", "f2.40", 40, -1])
def test_features_there_are_not_are_said(tiny: Tiny, tmp_path: Path, given: str | int) -> None:
    sae = engine.read_sae(
        by_hand.write(tmp_path / "one", "standard", by_hand.weights("standard", D_MODEL, N))
    )
    model = str(tiny("gpt2"))
    for asked in (
        lambda: engine.feature_tokens(model, sae, [given]),
        lambda: engine.feature_contexts(model, sae, given, "t1 t2"),
    ):
        with pytest.raises(engine.EngineError, match=r"feature|not a site"):
            asked()
