"""What heads read of what others write, beside whole matrices and a pair made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import engine
from tests.support.families import save_member
from tests.support.induction import induction_pair
from tests.support.tiny_models import Tiny


def maps(kind: str, hf: Any, layer: int, head: int) -> dict[str, torch.Tensor]:
    """W_Q W_K^T and W_V W_O [d_model d_model], each behind the gain of the layer's norm."""
    if kind == "gpt2":
        block = hf.transformer.h[layer]
        q, k, v = block.attn.c_attn.weight.split(32, 1)
        own = slice(8 * head, 8 * head + 8)
        gain = torch.diag(block.ln_1.weight)
        read = (torch.eye(32) - 1 / 32) @ gain
        q, k, v, o = q[:, own], k[:, own], v[:, own], block.attn.c_proj.weight[own]
    else:
        block = hf.model.layers[layer]
        shared, at = head // 2, block.self_attn
        read = torch.diag(block.input_layernorm.weight)
        own, group = slice(8 * head, 8 * head + 8), slice(8 * shared, 8 * shared + 8)
        q, k, v = at.q_proj.weight[own].T, at.k_proj.weight[group].T, at.v_proj.weight[group].T
        o = at.o_proj.weight[:, own].T
    q, k, v = read @ q, read @ k, read @ v
    return {"q": q @ k.T, "k": k @ q.T, "v": v @ o}


@pytest.mark.parametrize("into", ["q", "k", "v"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_scores_are_those_of_the_whole_matrices(kind: str, into: str, tiny: Tiny) -> None:
    directory = str(tiny(kind))
    found = engine.composition(directory, into)
    hf = AutoModelForCausalLM.from_pretrained(directory)
    with torch.no_grad():
        for (a, b), (c, d) in [((0, 0), (1, 3)), ((0, 2), (2, 1)), ((1, 1), (2, 2))]:
            ov, reads = maps(kind, hf, a, b)["v"], maps(kind, hf, c, d)[into]
            meant = (ov @ reads).norm() / (ov.norm() * reads.norm())
            assert found.score[a, b, c, d] == pytest.approx(float(meant), abs=1e-5)
    assert np.isnan(found.score[1, :, 1]).all() and np.isnan(found.score[2, :, 0]).all()
    assert np.isfinite(found.score).sum() == 3 * 16
    assert bool(found.notes) == (kind == "llama")  # which turns queries and keys


def test_random_maps_have_what_chance_says(tiny: Tiny) -> None:
    found = engine.composition(str(tiny("gpt2")), "v")
    assert found.chance == pytest.approx(1 / np.sqrt(32), rel=0.2)
    assert abs(np.nanmean(found.score) - found.chance) < 3 * found.spread
    assert found.n == 48 and found.above_chance > found.chance + 3 * found.spread


def test_an_induction_pair_made_by_hand_is_found(tmp_path: Path) -> None:
    directory = induction_pair(tmp_path / "m")
    found = engine.composition(directory, "k")
    best = found.table(1)[0]
    assert (best["sender"], best["reader"]) == ("0.1", "1.2") and float(str(best["spreads"])) > 5
    assert found.of("0.1", "1.2") == best["score"]
    for one, other in (("1.2", engine.Head(0, 1)), ("0.1", engine.Head(1, 2))):
        grid = found.grid(one)
        assert max(grid.sites, key=grid.__getitem__) == other and len(grid.sites) == 4
        assert found.table(None, one)[0] == best and len(found.table(None, one)) == 4
    strongest = found.grid()
    assert strongest[engine.Head(0, 1)] == strongest[engine.Head(1, 2)] == best["score"]
    assert (found.score > found.above_chance).sum() == 1
    queries = engine.composition(directory, "q").of("0.1", "1.2")
    assert queries < found.of("0.1", "1.2") / 3


def test_what_cannot_be_scored_is_refused_in_words(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(engine.EngineError, match="q, k or v"):
        engine.composition("seq-gpt2", "z")
    with pytest.raises(engine.EngineError, match="latent attention"):
        engine.composition(str(tiny("deepseek_v3")), "q")
    with pytest.raises(engine.EngineError, match="its composition is not shown"):
        engine.composition(str(save_member("bert", tmp_path / "bert")))
    found = engine.composition(str(tiny("gpt2")))
    for head in ("m1", "9.1"):
        with pytest.raises(engine.EngineError):
            found.of("0.1", head)
    parts = engine.begin(engine.ScoreComposition(str(tiny("gpt2"))))
    np.testing.assert_array_equal(parts.result().score, found.score)
