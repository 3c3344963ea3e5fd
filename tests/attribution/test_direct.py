"""Direct logit attribution adds up, on every family, and says what it cannot tell."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

import engine
from engine.passes import forward
from engine.showing.site_grid import cells
from tests.passes.test_family_matrix import REFUSED
from tests.support.families import MEMBERS
from tests.support.tiny_models import draw_weights, save_tokenizer

PROMPT: dict[str, Any] = {"prompt": "t1 t5 t9 t2", "answer": " t11", "distractor": " t20"}
CLOSE = 1e-4
"""In logits; of logits greater than 1, as a share of them: they are float32."""

_NOT_ADDED = "is not added to the residual stream as it is"
_HEAD = "are not what its final norm and its unembedding make of the residual stream"
NOT_ATTRIBUTED: dict[str, str] = {
    **dict.fromkeys(
        ["bert", "bloom, residual after the norm", "gemma4_text", "gemma4_text, shared keys",
         "openai-gpt", "opt, norms behind"],
        _NOT_ADDED,
    ),
    "modernbert-decoder": _HEAD,  # another layer stands before it
    **dict.fromkeys(
        ["zamba2", "zamba2, two layers share attention"], "goes through more than a norm before"
    ),
    "opt, embedding of another width": "16 wide and the stream 32, with a projection between them",
}  # fmt: skip
"""Families that nothing is attributed in, and what is said."""

_GATED = "is not its pattern times its values"
NO_SOURCES: dict[str, str] = {
    **dict.fromkeys(
        ["afmoe", "bitnet", "laguna", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_next"], _GATED
    ),
    **dict.fromkeys(
        ["deepseek_v2", "deepseek_v3", "glm4_moe_lite", "glm_moe_dsa", "sarvam_mla", "youtu"],
        "no v can be seen",
    ),
}
_UNREACHED = "single neurons cannot be reached"
_EXPERTS = "a mixture of experts, each with weights of its own"
NO_NEURONS: dict[str, str] = {
    **dict.fromkeys(
        ["afmoe", "deepseek_v2", "deepseek_v3", "ernie4_5_moe", "glm4_moe", "glm4_moe_lite",
         "glm_moe_dsa", "jamba", "laguna", "lfm2_moe", "llama4_text", "sarvam_mla", "sarvam_moe"],
        _UNREACHED,
    ),
    **dict.fromkeys(
        ["flex_olmo", "gpt_oss", "granitemoe", "granitemoe, scaled", "minimax_m2", "mixtral",
         "olmoe", "qwen2_moe", "qwen3_5_moe_text", "qwen3_moe", "qwen3_next"],
        _EXPERTS,
    ),
    **dict.fromkeys(["nemotron_h", "recurrent_gemma"], "not one linear layer into neurons"),
}  # fmt: skip
"""Families whose heads are not split by token, and whose first MLP is not by neuron."""

ATTRIBUTED = [name for name in MEMBERS if name not in REFUSED and name not in NOT_ATTRIBUTED]


def close(one: Any, other: Any, size: float = 1.0) -> None:
    np.testing.assert_allclose(one, other, atol=CLOSE * max(1.0, abs(size)), rtol=0)


def summed(result: engine.DirectAttribution, ranked: engine.NextToken) -> None:
    """All parts but the rest add up to the logit difference that every page shows."""
    *parts, rest, total = result.table()
    assert (rest["site"], total["site"]) == ("rest", "logit difference")
    for run in ("clean", "ablated"):
        difference = getattr(ranked, f"{run}_logit_diff")
        size = np.abs(getattr(ranked, run).logits).max()
        close(total[run], difference, size)
        close(sum(row[run] for row in parts), difference, size)
        close(rest[run], 0, size)


def drawn(seed: int, shape: engine.Shape) -> tuple[engine.Site, ...]:
    chance = random.Random(seed)
    sites: list[engine.Site] = [*shape.heads, *shape.mlps]
    return tuple(chance.sample(sites, chance.randint(1, min(5, len(sites)))))


@pytest.mark.parametrize("name", ATTRIBUTED)
def test_the_parts_of_every_family_sum_to_the_logit_difference(name: str, member: Any) -> None:
    directory = str(member(name))
    shape = engine.load(directory).shape
    for seed in range(3):
        sites = drawn(seed, shape)
        e = engine.Experiment(directory, **PROMPT, ablations=sites)
        result = engine.direct_attribution(e)
        summed(result, engine.next_token(e))
        assert all(result.ablated.sites[site] == 0 for site in sites)
        assert result.clean.sites.sites == cells(shape)
        if not shape.without_heads and not shape.without_mlp and name != "falcon_h1":
            assert result.clean.other == result.ablated.other == 0


@pytest.mark.parametrize("name", NOT_ATTRIBUTED)
def test_a_family_whose_parts_do_not_add_up_is_refused_in_words(name: str, member: Any) -> None:
    e = engine.Experiment(str(member(name)), **PROMPT)
    shape = engine.load(e.model).shape
    asked: list[Callable[[], Any]] = [lambda: engine.direct_attribution(e)]
    if not name.startswith("zamba2"):  # which has no values to be seen, and no MLP
        asked.append(lambda: engine.source_attribution(e, shape.heads[0]))
        asked.append(lambda: engine.neuron_attribution(e, shape.mlps[0]))
    for ask in asked:
        with pytest.raises(engine.EngineError, match=NOT_ATTRIBUTED[name]) as told:
            ask()
        assert str(told.value).endswith(".")


@pytest.mark.parametrize("name", ATTRIBUTED)
def test_a_head_is_the_sum_over_its_source_tokens(name: str, member: Any) -> None:
    directory = str(member(name))
    heads = engine.load(directory).shape.heads
    e = engine.Experiment(directory, **PROMPT, ablations=heads[:1])
    asked = heads[len(heads) // 2]
    if name in NO_SOURCES:
        with pytest.raises(engine.EngineError, match=NO_SOURCES[name]):
            engine.source_attribution(e, asked)
        return
    whole = engine.direct_attribution(e)
    for head in (asked, heads[-1], heads[0]):
        result = engine.source_attribution(e, head)
        assert len(result.pieces) == len(result.clean.direct)
        for run in ("clean", "ablated"):
            mine, own = getattr(result, run), getattr(whole, run).sites[head]
            close(mine.direct.sum(), own)
            close(mine.total, own)
    assert not result.ablated.direct.any()  # the first head is off


@pytest.mark.parametrize("name", ATTRIBUTED)
def test_an_mlp_is_the_sum_over_its_neurons_and_its_bias(name: str, member: Any) -> None:
    directory = str(member(name))
    mlps = engine.load(directory).shape.mlps
    if not mlps:
        assert name.startswith("granitemoehybrid")
        return
    e = engine.Experiment(directory, **PROMPT, ablations=mlps[-1:])
    if name in NO_NEURONS:
        with pytest.raises(engine.EngineError, match=NO_NEURONS[name]):
            engine.neuron_attribution(e, mlps[0])
        return
    whole = engine.direct_attribution(e)
    for mlp in (mlps[0], mlps[-1]):
        result = engine.neuron_attribution(e, mlp)
        for run in ("clean", "ablated"):
            mine, own = getattr(result, run), getattr(whole, run).sites[mlp]
            close(mine.direct.sum() + mine.bias, own)
            close(mine.total, own)
    assert not result.ablated.direct.any()


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
def test_the_parts_of_the_bundled_models_sum_whatever_is_changed(model: str) -> None:
    shape = engine.load(model).shape

    @settings(max_examples=15)
    @given(
        st.integers(0, 2**32),
        st.sampled_from(["zero", "mean", "scale(2)", "set(0.5)", "resample"]),
        st.sampled_from(["all", "-1", "0", "prompt"]),
        st.sampled_from([(), ("zero r3 @-1",), ("scale(0.5) n2.7", "scale(0.3) 1.2.v"),
                         ("scale(2) r6",), ("scale(0) 2.1.pattern",)]),
        st.sampled_from([(" 5", " 4"), (" 12", " 13"), (" 5", " 6 7")]),
    )  # fmt: skip
    def holds(seed: int, method: str, positions: str, changes: Any, answers: Any) -> None:
        e = engine.Experiment(
            model, "1 2 3 4", "8 1 6 3", answers[0], answers[1],
            ablations=drawn(seed, shape), method=method, positions=positions, changes=changes,
        )  # fmt: skip
        result = engine.direct_attribution(e)
        summed(result, engine.next_token(e))
        if not any(" r" in change for change in changes):
            assert result.ablated.other == 0

    holds()


def test_an_ablated_head_writes_nothing_and_the_difference_is_ablated_less_clean() -> None:
    e = engine.Experiment("seq-llama", "1 2 3 4", answer=" 5", distractor=" 4", ablations="1.3 m2")
    result = engine.direct_attribution(e)
    assert result.ablated.sites[engine.Head(1, 3)] == result.ablated.sites[engine.MLP(2)] == 0
    change = result.sites("difference")
    assert change[engine.Head(1, 3)] == -result.clean.sites[engine.Head(1, 3)]
    rows: Any = result.table()
    for row in rows:
        assert row["change"] == pytest.approx(row["ablated"] - row["clean"])
    plain = engine.direct_attribution(e.clean)
    np.testing.assert_allclose(plain.clean.sites.heads, result.clean.sites.heads, atol=1e-5)
    assert plain.clean is plain.ablated and not np.nansum(np.abs(plain.sites("difference").heads))


def test_one_pass_is_all_that_a_new_prompt_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = engine.load("seq-gpt2")
    calls: list[tuple[int, ...]] = []
    own = type(model).__call__

    def counted(self: Any, ids: Any) -> Any:
        calls.append(tuple(ids.shape))
        return own(self, ids)

    monkeypatch.setattr(type(model), "__call__", counted)
    e = engine.Experiment("seq-gpt2", "3 1 4 1 5 9 2 6", answer=" 5", distractor=" 4")
    n = len(engine.tokenize("seq-gpt2", e.prompt).ids)
    engine.direct_attribution(e)
    assert calls == [(1, n)]
    engine.direct_attribution(replace(e, ablations="0.1"))
    assert calls[1:] == [(2, n)]


def test_what_is_captured_at_the_end_is_the_last_of_what_is_captured() -> None:
    model = engine.load("seq-gpt2")
    seen = frozenset({("z", 1), ("pattern", 1), ("resid_post", 5)})
    rows = [forward.Row((5, 6, 7, 8), captures=seen, at_end=end) for end in (False, True)]
    whole, ends = model.worker.run(lambda: forward.run(model, rows))
    for at, value in whole.captured.items():
        last = value[:, -1] if at[0] == "pattern" else value[-1]
        np.testing.assert_allclose(ends.captured[at], last, atol=1e-6)


def test_biases_are_named_and_a_model_without_any_says_so() -> None:
    e = engine.Experiment("seq-llama", "1 2 3 4", answer=" 5", distractor=" 4")
    llama = engine.direct_attribution(e)
    assert any("No biases" in note for note in llama.notes)
    gpt2 = engine.direct_attribution(
        engine.Experiment.from_dict(e.to_dict() | {"model": "seq-gpt2"})
    )
    assert gpt2.clean.attention_biases and gpt2.clean.norm_bias and not gpt2.clean.unembed_bias


def test_a_cap_on_the_logits_is_a_part_of_its_own(member: Any) -> None:
    e = engine.Experiment(str(member("gemma2")), **PROMPT)
    result = engine.direct_attribution(e)
    assert any("caps its logits" in note for note in result.notes)
    logits = engine.next_token(e).clean_marked.logits
    before = 5.0 * np.arctanh(np.array(logits) / 5.0)  # the tiny model's cap
    close(result.clean.logit_diff - result.clean.cap, before[0] - before[1])


def test_layers_of_another_kind_are_named(member: Any) -> None:
    result = engine.direct_attribution(engine.Experiment(str(member("lfm2")), **PROMPT))
    assert result.clean.other and any("layers 0, 2" in note for note in result.notes)
    assert np.isnan(result.clean.sites.heads[0]).all()
    assert not [row for row in result.table() if row["site"] == "0.1"]


def test_a_change_of_the_stream_is_named() -> None:
    e = engine.Experiment(
        "seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4", changes="zero r3 @-1"
    )
    result = engine.direct_attribution(e)
    assert result.clean.other == 0 and abs(result.ablated.other) > 1e-3
    assert any("residual stream itself" in note for note in result.notes)


@pytest.mark.parametrize(
    ("answer", "distractor", "told"),
    [("", "", "give an answer and a distractor"), (" 5", "", "give an answer and a distractor"),
     (" 5", " 5", "same tokens"), (" 5", " 5 6", "begins with the whole of the other")],
)  # fmt: skip
def test_without_a_token_that_decides_it_is_said(answer: str, distractor: str, told: str) -> None:
    e = engine.Experiment("seq-gpt2", "1 2 3 4", answer=answer, distractor=distractor)
    for asked in (
        engine.direct_attribution,
        lambda e: engine.source_attribution(e, "1.1"),
        lambda e: engine.neuron_attribution(e, 1),
    ):
        with pytest.raises(engine.Undecided, match=told):
            asked(e)


@pytest.mark.parametrize("given", ["m1", "1.1 1.2", "", "9.9", None, 3])
def test_what_is_no_head_is_refused_in_words(given: Any) -> None:
    e = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4")
    with pytest.raises(engine.EngineError):
        engine.source_attribution(e, given)


@pytest.mark.parametrize("given", ["1.1", "m1 m2", "", "m99", 99, -1, None, True])
def test_what_is_no_mlp_is_refused_in_words(given: Any) -> None:
    e = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4")
    with pytest.raises(engine.EngineError):
        engine.neuron_attribution(e, given)


def test_what_is_put_in_place_is_brought_from_no_token() -> None:
    e = engine.Experiment(
        "seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4", ablations="1.3 m2", method="resample"
    )
    head, mlp = engine.source_attribution(e, "1.3"), engine.neuron_attribution(e, "m2")
    assert np.isnan(head.ablated.direct).all() and "put in place" in head.notes[0]
    assert np.isnan(mlp.ablated.direct).all() and "put in place" in mlp.notes[0]
    assert np.isfinite(head.clean.direct).all() and np.isfinite(head.ablated.total)
    rows: Any = mlp.table("clean", most=5)
    sizes = [abs(row["clean"]) for row in rows]
    assert len(sizes) == 5 and sizes == sorted(sizes, reverse=True)


def test_the_figures_hold_the_numbers() -> None:
    e = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4", ablations="1.3")
    result = engine.direct_attribution(e)
    total = engine.sweep(e.clean).grid("logit_diff", "change")
    _, heads, mlps = result.beside_figure(total).data
    assert len(heads.x) == 48 and len(mlps.x) == 6 and heads.marker.symbol != mlps.marker.symbol
    at = [site for site in result.clean.sites.sites if isinstance(site, engine.Head)].index(
        engine.Head(5, 2)
    )
    assert heads.x[at] == result.clean.sites[engine.Head(5, 2)]
    assert heads.y[at] == total[engine.Head(5, 2)]
    bars = engine.source_attribution(e, "5.2").figure().data
    assert [bar.name for bar in bars] == ["clean", "ablated"]
    assert len(engine.source_attribution(e.clean, "5.2").figure().data) == 1


def test_heads_scaled_beside_a_mixer_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = MEMBERS["falcon_h1"].config()
    config.attention_out_multiplier = 0.5
    model = AutoModelForCausalLM.from_config(config)
    draw_weights(model)
    model.save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    with pytest.raises(engine.EngineError, match=_NOT_ADDED):
        engine.direct_attribution(engine.Experiment(str(tmp_path), **PROMPT))


@pytest.mark.parametrize("name", ["seq-gpt2", "seq-llama"])
@pytest.mark.parametrize(("dtype", "close"), [("bfloat16", 1e-2), ("float16", 1e-3)])
def test_in_sixteen_bits_it_adds_up_as_far_as_these_go(name: str, dtype: str, close: float) -> None:
    e = engine.Experiment(name, "1 2 3 4", answer=" 5", distractor=" 4", ablations="1.3")
    whole = engine.direct_attribution(e)
    engine.load(name, dtype=dtype)
    try:
        short = engine.direct_attribution(e)
    finally:
        engine.load(name, dtype="float32")
    for run in ("clean", "ablated"):
        one, other = getattr(short, run), getattr(whole, run)
        assert 0 < abs(one.rest) < close * abs(one.logit_diff)
        heads, meant = (np.append(each.sites.heads, each.sites.mlps) for each in (one, other))
        assert np.abs(heads - meant).max() < 4 * close * np.abs(meant).max()
