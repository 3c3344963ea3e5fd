"""What a head writes on a prompt, and where it looks, are what plain hooks on Hugging Face's model
and its formula say, clean and with features switched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import engine
from tests.support import sae_folders as by_hand
from tests.support.axis_model import WIDTH, turning_model
from tests.support.reference import Reference
from tests.support.tiny_models import D_MODEL, VOCAB, Tiny

PROMPT, N = "t4 t5 t6 t7 t5", 24
HEADS = ("0.2", "1.3", "2.1")


def held(norm: Any, whole: Tensor, x: Tensor) -> Tensor:
    """A norm at the scale that it has on `whole`, its bias left out."""
    if isinstance(norm, torch.nn.LayerNorm):
        size = (whole.var(unbiased=False) + norm.eps).sqrt()
        return norm.weight * (x - x.mean()) / size
    gain = norm.weight + ("Gemma" in type(norm).__name__)
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", 0.0))
    return gain * x / (whole.square().mean() + eps).sqrt()


@torch.no_grad()
def by_hooks(
    reference: Reference, ids: tuple[int, ...], head: str, edit: Any = None
) -> tuple[Tensor, Tensor, Tensor]:
    """What a head adds to every token's logit at the last position, less the mean; what it writes;
    where it looks. `edit`: of what enters layer 1."""
    layer, own = map(int, head.split("."))
    block, hf = reference.layers[layer], reference.hf
    project = block.get_submodule(reference._out)
    decoder = hf.get_decoder()
    final = decoder.ln_f if hasattr(decoder, "ln_f") else decoder.norm
    seen: dict[str, Tensor] = {}
    handles = [
        project.register_forward_pre_hook(lambda _m, a: seen.update(z=a[0][0, -1])),
        project.register_forward_hook(lambda _m, _a, out: seen.update(whole=out[0, -1])),
        final.register_forward_pre_hook(lambda _m, a: seen.update(stream=a[0][0, -1])),
    ]
    if edit is not None:
        handles.append(
            reference.layers[1].register_forward_pre_hook(lambda _m, a: (edit(a[0]), *a[1:]))
        )
    out = hf(input_ids=torch.tensor([ids]), use_cache=False, output_attentions=True)
    for handle in handles:
        handle.remove()
    weight = project.weight if hasattr(project, "nf") else project.weight.T
    width = weight.shape[0] // reference.n_heads
    mine = slice(own * width, (own + 1) * width)
    written = seen["z"][mine] @ weight[mine]
    if reference.hf.config.model_type == "gemma2":
        written = held(block.post_attention_layernorm, seen["whole"], written)
    logits = hf.lm_head.weight @ held(final, seen["stream"], written)
    return logits - logits.mean(), written, out.attentions[layer][0, own, -1]


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "gptj"])
def test_tokens_and_attention_are_those_of_plain_hooks_clean_and_with_a_feature_off(
    tiny: Tiny, tmp_path: Path, family: str
) -> None:
    directory, t = tiny(family), by_hand.weights("standard", D_MODEL, N)
    meta = {"hook_name": "blocks.1.hook_resid_pre"}
    sae = engine.read_sae(by_hand.write(tmp_path / "one", "standard", t, metadata=meta))
    e = engine.Experiment(str(directory), PROMPT, changes="zero f1.0-11", saes=sae)
    ids = engine.tokenize(e.model, e.prompt).ids

    def zeroed(x: Tensor) -> Tensor:
        return x - by_hand.features("standard", t, x)[..., :12] @ t["W_dec"][:12]

    reference = Reference(directory)
    for head in HEADS:
        result = engine.head_writes(e, head, k=4)
        written = []
        for run, edit in ((result.clean, None), (result.ablated, zeroed)):
            logits, vector, pattern = by_hooks(reference, ids, head, edit)
            written.append(vector)
            order = logits.argsort(descending=True)
            np.testing.assert_allclose(run.logits, logits[list(result.ids)], atol=2e-4, rtol=1e-3)
            np.testing.assert_allclose(run.pattern, pattern, atol=1e-5)
            assert run.norm == pytest.approx(float(vector.norm()), rel=1e-3)
            assert {*order[:4].tolist(), *order[-4:].tolist()} <= set(result.ids)
            at = result.ids.index(int(order[0]))
            name = "clean" if run is result.clean else "ablated"
            assert run.ranks[at] == 1 and result.most(name)[0] == result.tokens[at]
            assert result.looks(name, 2)[0] == int(pattern.argmax())
        cosine = torch.cosine_similarity(written[0], written[1], dim=0)
        assert result.cosine == pytest.approx(float(cosine), abs=1e-3)
    off = result.ablated.logits - result.clean.logits
    np.testing.assert_array_equal([row["change"] for row in result.table()], off)
    assert len(result.attention(2)) in (2, 3, 4) and len(result.figure().data) == 2
    same = engine.head_writes(e.clean, "0.2", k=4)
    assert same.clean is same.ablated and same.cosine == pytest.approx(1)


@pytest.mark.parametrize("family", ["cohere", "granite", "olmo2", "gpt_neox"])
def test_two_tokens_logits_differ_by_the_heads_direct_number(tiny: Tiny, family: str) -> None:
    e = engine.Experiment(str(tiny(family)), PROMPT, ablations="0.1 m1")
    result = engine.head_writes(e, "2.1", k=20)
    told = [i for i, text in enumerate(result.tokens) if text.strip().startswith("t")]
    first, last = told[0], told[-1]
    asked = replace(e, answer=result.tokens[first], distractor=result.tokens[last])
    direct = engine.direct_attribution(asked)
    for run in ("clean", "ablated"):
        logits = getattr(result, run).logits
        number = getattr(direct, run).sites[engine.Head(2, 1)]
        assert logits[first] - logits[last] == pytest.approx(number, abs=1e-4, rel=1e-3)


def test_a_feature_that_a_head_copies_gone_the_head_no_longer_writes_it(tmp_path: Path) -> None:
    planted, up = turning_model(tmp_path / "copying", says=(1, 2)), 3 + 1
    axis = torch.zeros(WIDTH)
    axis[up], axis[up + VOCAB] = 1.0, -1.0  # as t1 is embedded
    t = {"W_enc": axis[:, None] / 2, "W_dec": axis[None], "b_enc": torch.zeros(1),
         "b_dec": torch.zeros(WIDTH)}  # fmt: skip
    meta = {"hook_name": "blocks.1.hook_resid_pre"}
    sae = engine.read_sae(by_hand.write(tmp_path / "one", "standard", t, metadata=meta))
    e = engine.Experiment(planted, "t5 t1 t9", changes="zero f1.0", saes=sae)
    result = engine.head_writes(e, "1.2")
    assert result.most()[0].strip() == "t1" and result.least()[0].strip() == "t2"
    at = [text.strip() for text in result.tokens].index("t1")
    assert result.clean.logits[at] > 1
    assert abs(result.ablated.logits[at]) < 0.05 * result.clean.logits[at]
    assert result.ablated.norm < 0.1 * result.clean.norm
    other = engine.head_writes(replace(e, changes="zero f1.0 @1"), "1.2")  # where it is not on
    np.testing.assert_allclose(other.ablated.logits, other.clean.logits, atol=1e-3)


def test_what_cannot_be_shown_is_said_and_a_pattern_unseen_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    e = engine.Experiment("seq-gpt2", "1 2 3")
    for head, k, said in (
        ("m1", 3, "no head"),
        ("9.9", 3, "layers are 0 to 5"),
        ("1.1", 0, "1 to 100"),
    ):
        with pytest.raises(engine.EngineError, match=said):
            engine.head_writes(e, head, k)
    model = engine.load("seq-gpt2")
    monkeypatch.setitem(model.refused, ("pattern", 2), "it is off")
    result = engine.head_writes(e, "2.1")
    assert (
        np.isnan(result.clean.pattern).all() and not result.attention() and "off" in result.notes[0]
    )
