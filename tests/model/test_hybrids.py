"""Hybrids, of which some layers have no heads: what has heads is offered, the rest left blank.

Beside them GPT-OSS, whose heads have a sink, and DeepSeek, whose values cannot be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import engine
from engine.showing.site_grid import cells
from tests.support.some import some
from tests.support.tiny_models import HYBRIDS, LAYERS, Tiny

PROMPT, OTHER = "t1 t5 t9 t2 t7", "t3 t4 t9 t8 t7"
HEADS = tuple(engine.Head(1, head) for head in range(4))
MLPS = tuple(engine.MLP(layer) for layer in range(LAYERS))
METHODS = ("zero", "mean", "mean_by_position", "resample")


@pytest.fixture(scope="module", params=HYBRIDS)
def hybrid(request: pytest.FixtureRequest, tiny: Tiny) -> str:
    """The directory of a tiny model of which layer 1 alone has heads."""
    return str(tiny(request.param))


def asked(model: str, **others: Any) -> engine.Experiment:
    given = dict(prompt=PROMPT, corrupted=OTHER, answer=" t11", distractor=" t20")
    return engine.Experiment(model, **{**given, **others})


def task_of(model: str) -> engine.Task:
    """A task that the model does, whatever its weights say."""
    best = engine.next_token(engine.Experiment(model, PROMPT)).clean.texts
    return engine.Task("mine", (engine.Pair(PROMPT, OTHER, best[0], best[5]),), model=model)


def plain(model: str) -> list[np.ndarray | None]:
    """Hugging Face's eager attention of each layer, None where it has none."""
    hf = AutoModelForCausalLM.from_pretrained(model, attn_implementation="eager").eval()
    ids = torch.tensor([engine.tokenize(model, PROMPT).ids])
    with torch.no_grad():
        found = hf(input_ids=ids, output_attentions=True).attentions
    with_heads = [head.layer for head in engine.load(model).shape.heads[::4]]
    patterns = [one[0].numpy() for one in found if one is not None]
    assert len(patterns) == len(with_heads)
    return [patterns[with_heads.index(i)] if i in with_heads else None for i in range(LAYERS)]


def close(ours: object, theirs: object, within: float = 1e-4) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=within, rtol=within)


def test_the_sites_of_a_hybrid_are_those_it_has(hybrid: str) -> None:
    shape = engine.load(hybrid).shape
    assert shape.heads == HEADS and shape.mlps == MLPS
    assert cells(shape) == [MLPS[0], *HEADS, MLPS[1], MLPS[2]]
    with pytest.raises(engine.SiteError, match="Layer 0 has no heads"):
        engine.next_token(asked(hybrid, ablations="0.1"))


def test_attention_of_a_hybrid_is_hugging_faces_and_blank_without_heads(hybrid: str) -> None:
    found = engine.attention(asked(hybrid, ablations="1.2 m0"))
    assert found.heads == HEADS and not found.notes
    for layer, pattern in enumerate(plain(hybrid)):
        ours = found.clean.pattern[layer]
        if pattern is None:
            assert np.isnan(ours).all() and np.isnan(found.clean.value_norm[layer]).all()
            assert np.isnan(found.ablated.value_weighted[layer]).all()
            assert np.isnan(found.clean.scores.entropy[layer]).all()
        else:
            close(ours, pattern)
            close(ours.sum(-1), 1.0)
    (one,) = engine.attention(asked(hybrid), [engine.Head(1, 3)]).clean.pattern
    close(one, found.clean.pattern[1, 3])
    with pytest.raises(engine.SiteError, match="Layer 2 has no heads"):
        engine.attention(asked(hybrid), [engine.Head(2, 0)])


def test_an_overview_of_a_hybrid_is_blank_without_heads(hybrid: str) -> None:
    e = asked(hybrid, ablations="m0")
    for weighted in (False, True):
        seen, whole = engine.attention_overview(e, weighted=weighted), engine.attention(e)
        assert seen.heads == HEADS
        for shown in (seen.clean, seen.ablated, seen.difference):
            assert shown.shade.shape[:2] == (LAYERS, 4)
            assert not shown.shade[[0, 2]].any() and shown.shade[1].any()
        drawn = whole.clean.value_weighted if weighted else whole.clean.pattern
        close(seen.clean.shade[1] / 127 * seen.clean.most, drawn[1], seen.clean.most / 127)
        close(seen.clean_scores.entropy, whole.clean.scores.entropy)


@pytest.mark.parametrize("method", METHODS)
def test_a_sweep_of_a_hybrid_is_next_token_site_by_site(hybrid: str, method: str) -> None:
    e = asked(hybrid, method=method)
    sweep = engine.sweep(e)
    assert sweep.sites == tuple(cells(engine.load(hybrid).shape))
    assert sweep.done and sweep.n_done == len(sweep.sites) == 7
    assert np.isnan(sweep.heads[[0, 2]]).all()
    for site in sweep.sites:
        one = engine.next_token(asked(hybrid, method=method, ablations=str(site)))
        at = (site.layer, site.head) if isinstance(site, engine.Head) else (site.layer,)
        close(sweep.values("heads" if len(at) == 2 else "mlps")[(0, *at)], one.ablated_logit_diff)
    rows = sweep.table()
    assert [row["site"] for row in rows] == list(map(str, sweep.sites))


def test_a_sweep_of_a_hybrid_on_top_of_what_is_off_and_position_by_position(hybrid: str) -> None:
    sweep = engine.sweep(asked(hybrid, method="resample", ablations="1.1"), per_position=True)
    assert sweep.n_done == 7 and sweep.heads.shape == (6, LAYERS, 4)
    drawn = sweep.positions_figure()
    assert set(drawn.layout.yaxis.ticktext) == set(map(str, sweep.sites))
    pictured = np.array(sweep.figure().data[0].z, float)
    assert np.isnan(pictured[[0, 2], :4]).all() and np.isfinite(pictured[:, -1]).all()


def test_a_small_change_of_a_hybrid_is_what_the_gradient_says(hybrid: str) -> None:
    sweep = engine.sweep(asked(hybrid, method="scale(0.999)"), estimate=True)
    assert np.isnan(some(sweep.estimate).heads[:, [0, 2]]).all()
    guessed = sweep.shown("heads", show="estimate")[1], sweep.shown("mlps", show="estimate")
    exact = sweep.change("heads")[1], sweep.change("mlps")
    close(np.concatenate(guessed), np.concatenate(exact), 2e-4)
    assert some(sweep.agreement).n == 7


def test_a_lens_of_a_hybrid_reads_the_layers_that_have_what_is_read(hybrid: str) -> None:
    e = asked(hybrid, ablations="1.0")
    assert engine.logit_lens(e).layers == engine.logit_lens(e, stream="mlp_out").layers == (0, 1, 2)
    lens = engine.logit_lens(e, stream="attn_out")
    assert lens.layers == (1,) and lens.clean.probs.shape[0] == 1
    assert any("Layers 0, 2 have no attn_out" in note for note in lens.notes)
    assert {row["layer"] for row in lens.table("clean", "prob")} == {1}
    assert lens.figure().layout.yaxis.ticktext == ("1",)
    assert lens.traces_figure().data[0].x == (1,)


@pytest.mark.parametrize("by", ("pruning", "gradient"))
def test_a_search_of_a_hybrid_walks_over_what_it_has(hybrid: str, by: str) -> None:
    found = engine.discover(task_of(hybrid), by=by, method="mean", threshold=0.5, controls=2)
    circuit = found.circuit
    assert found.done and set(circuit.sites) <= {*HEADS, *MLPS}
    assert circuit.without_heads == (0, 2) and circuit.without_mlp == ()
    assert not found.heads_kept[[0, 2]].any()
    assert np.isnan(found.site_losses("heads")[[0, 2]]).all()
    drawn = found.figure()
    for trace in drawn.data:
        assert np.isnan(np.array(trace.z, float)[[0, 2], :4]).all()
    pictured = np.array(circuit.figure().data[0].z, float)
    assert np.isnan(pictured[[0, 2], :4]).all() and np.isfinite(pictured[1, :4]).all()


def test_the_circuit_a_hybrids_switches_leave_is_made_of_what_it_has(hybrid: str) -> None:
    shape = engine.load(hybrid).shape
    left = engine.circuit_left(engine.ablations("1.0 m2"), shape, "left", hybrid, method="mean")
    assert left.sites == (*HEADS[1:], *MLPS[:2])
    assert engine.Circuit.from_json(left.to_json()) == left
    assert eval(left.to_python(), {"engine": engine}) == left
    every = engine.circuit_left(engine.Ablations((HEADS[0],), "keep"), shape, "k", hybrid)
    assert every.mlps == MLPS and left.union(every).without_heads == (0, 2)
    result = engine.evaluate(left, task_of(hybrid), controls=2, layer_matched=False)
    assert np.isfinite(result.without).all()
    with pytest.raises(engine.SiteError, match="no heads, so not"):
        engine.Circuit("c", hybrid, "", "0.1", LAYERS, 4, without_heads=(0, 2))
    with pytest.raises(engine.SiteError, match="no layer of a model of 3"):
        engine.Circuit("c", hybrid, "", "1.1", LAYERS, 4, without_heads=(7,))


def test_controls_and_chance_count_what_a_hybrid_has(hybrid: str) -> None:
    shape = engine.load(hybrid).shape
    for drawn in engine.random_controls([HEADS[0], MLPS[1]], shape, 6, layer_matched=False):
        assert set(drawn) <= {*HEADS[1:], MLPS[0], MLPS[2]}
    one, other = (
        engine.Circuit(n, hybrid, "", [head], LAYERS, 4, without_heads=(0, 2))
        for n, head in (("a", HEADS[0]), ("b", HEADS[1]))
    )
    assert engine.overlap(one, other).chance == pytest.approx(1 / 4)


def test_paths_of_a_hybrid_hold_what_mixes_its_tokens(hybrid: str) -> None:
    """A path into the logits alone is linear in the stream: patching all that writes to it is
    what the final norm makes of their sum; and into the last MLP no mixer of its layer is heard."""
    pair = task_of(hybrid).pairs[0]
    e = asked(hybrid, method="resample", answer=pair.answer, distractor=pair.distractor)
    shape = engine.load(hybrid).shape
    into_logits = engine.path_patch(e, None, "logits")
    assert np.isfinite(into_logits.effect).all()
    into_mlp = engine.path_patch(e, None, "m2")
    assert np.isnan(into_mlp.effect).tolist() == [s == MLPS[2] for s in into_mlp.senders]
    close(into_mlp.effect[0], by_hand(e, "1.0"), 1e-3)
    drawn = np.array(into_logits.figure(shape).data[0].z, float)
    assert np.isnan(drawn[[0, 2], :4]).all()


def by_hand(e: engine.Experiment, sender: str) -> float:
    """The path from a head of layer 1 to the MLP of layer 2, by plain hooks: what the head writes
    otherwise joins the stream before that MLP, whose output then stands in a clean run."""
    model = engine.load(e.model)
    hf = AutoModelForCausalLM.from_pretrained(e.model).eval()
    ids, others = (
        torch.tensor([engine.tokenize(e.model, text).ids]) for text in (e.prompt, e.corrupted)
    )
    head = int(sender.split(".")[1])
    names = {id(m): n for n, m in model.hf.named_modules()}
    output = hf.get_submodule(names[id(model.layer(1).output)])
    mlp = hf.get_submodule(names[id(model.layer(2).mlp)])
    norm = hf.get_submodule(names[id(model.layer(2).places["resid_mid"].module)])
    width = output.weight.shape[1] // 4
    part = slice(head * width, (head + 1) * width)

    def run(inputs: torch.Tensor, hooks: list) -> torch.Tensor:
        handles = [add() for add in hooks]
        with torch.no_grad():
            logits = hf(input_ids=inputs, use_cache=False).logits[0, -1]
        for handle in handles:
            handle.remove()
        return logits

    seen: dict[str, torch.Tensor] = {}

    def see(name: str) -> Any:
        return lambda: output.register_forward_pre_hook(
            lambda _m, args: seen.__setitem__(name, args[0].clone())
        )

    clean = run(ids, [see("clean")])
    run(others, [see("other")])
    delta = (seen["other"] - seen["clean"])[..., part] @ output.weight[:, part].T
    changed: list[torch.Tensor] = []

    def keep(_m: Any, _a: Any, out: Any) -> None:
        changed.append(out[0] if isinstance(out, tuple) else out)

    run(ids, [
        lambda: norm.register_forward_pre_hook(lambda _m, args: (args[0] + delta, *args[1:])),
        lambda: mlp.register_forward_hook(keep),
    ])  # fmt: skip

    def put(_m: Any, _a: Any, out: Any) -> Any:
        return (changed[0], *out[1:]) if isinstance(out, tuple) else changed[0]

    patched = run(ids, [lambda: mlp.register_forward_hook(put)])
    found = engine.next_token(e)
    right, wrong = some(found.answer).ids[0], some(found.distractor).ids[0]
    return float((patched[right] - patched[wrong]) - (clean[right] - clean[wrong]))


def test_a_sink_takes_its_share_and_it_is_said(tiny: Tiny) -> None:
    model = str(tiny("gpt_oss"))
    found, seen = engine.attention(asked(model)), engine.attention_overview(asked(model))
    for ours, theirs in zip(found.clean.pattern, plain(model), strict=True):
        close(ours, theirs)
    assert (found.clean.pattern.sum(-1) < 1).all()
    assert any("sink" in note for note in found.notes) and seen.notes == found.notes
    sweep = engine.sweep(asked(model, method="resample"))
    assert sweep.n_done == 15
    for site in (engine.Head(0, 3), engine.Head(2, 1), engine.MLP(1)):
        one = engine.next_token(asked(model, method="resample", ablations=str(site)))
        of = ("heads", (site.layer, site.head)) if isinstance(site, engine.Head) else (
            "mlps", (site.layer,))  # fmt: skip
        close(sweep.mean(of[0])[of[1]], one.ablated_logit_diff)


def test_rows_sum_to_1_elsewhere_and_a_changed_pattern_is_said(tiny: Tiny) -> None:
    model = str(tiny("llama"))
    found = engine.attention(asked(model))
    close(found.clean.pattern.sum(-1), 1.0)
    assert not found.notes
    changed = engine.attention(asked(model, ablations="1.3.pattern"))
    assert any("Patterns of layer 1 are changed" in note for note in changed.notes)


def test_without_values_the_pattern_is_shown_and_weighting_refused(tiny: Tiny) -> None:
    model = str(tiny("deepseek_v3"))
    found = engine.attention(asked(model))
    for ours, theirs in zip(found.clean.pattern, plain(model), strict=True):
        close(ours, theirs)
    assert np.isnan(found.clean.value_norm).all()
    assert found.clean.without_values == (0, 1, 2)
    for refused in (
        lambda: found.clean.value_weighted,
        lambda: engine.attention_overview(asked(model), weighted=True),
    ):
        with pytest.raises(engine.EngineError, match="Layer 0 has no values"):
            refused()
    assert engine.attention_overview(asked(model)).clean.shade.any()


def test_a_key_or_value_that_heads_share_names_them(tiny: Tiny) -> None:
    shared, own = str(tiny("llama")), str(tiny("gpt2"))
    notes = engine.next_token(asked(shared, ablations="1.3.k 0.0.v 2.2.q")).notes
    assert "1.3.k is the key of a key-value head that heads 1.2 and 1.3 share." in notes
    assert "0.0.v is the value of a key-value head that heads 0.0 and 0.1 share." in notes
    assert not any("2.2.q" in note for note in notes)
    many = engine.next_token(asked(shared, ablations="0-2.0-3.k")).notes
    assert any("Each 2 heads of a layer share" in note for note in many)
    alone = engine.next_token(asked(own, ablations="1.3.k")).notes
    assert not any("share" in note for note in alone)


@pytest.fixture(scope="module", params=["recurrent_gemma", "nemotron_h", "zamba2",
                                        "zamba2, two layers share attention"])  # fmt: skip
def unnamed(request: pytest.FixtureRequest, member: Callable[[str], Path]) -> str:
    """The directory of a hybrid whose heads TransformerLens has no names for."""
    return str(member(request.param))


def test_heads_without_names_elsewhere_are_swept_as_they_rank(unnamed: str) -> None:
    pairs = (
        engine.Pair(PROMPT, OTHER, " t11", " t20"),
        engine.Pair("t5 t1 t9 t2 t7", "t8 t4 t9 t8 t7", " t3", " t4"),
    )
    shape = engine.load(unnamed).shape
    assert shape.heads and shape.without_heads
    sites: tuple[engine.Head | engine.MLP, ...] = (*shape.heads, *shape.mlps)
    for method in ("zero", "resample"):
        found = engine.sweep(asked(unnamed, method=method), pairs)
        for i, pair in enumerate(pairs):
            for site in sites:
                one = engine.next_token(
                    asked(unnamed, method=method, ablations=str(site), **vars(pair)), k=3
                )
                numbers = found.mlp_numbers if isinstance(site, engine.MLP) else found.head_numbers
                at = (site.layer,) if isinstance(site, engine.MLP) else (site.layer, site.head)
                diff, kl = numbers[0, i, *at], numbers[4, i, *at]
                close([diff, kl], [one.ablated_logit_diff, one.kl])


def test_heads_without_names_elsewhere_are_searched(unnamed: str) -> None:
    shape, task = engine.load(unnamed).shape, task_of(unnamed)
    found = engine.discover(task, method="zero", threshold=0.5, controls=2)
    assert found.done and set(found.circuit.sites) <= {*shape.heads, *shape.mlps}
    tried = [h for h in shape.heads if np.isfinite(found.heads[h.layer, h.head])]
    assert tried == list(shape.heads)
    first = found.trials[0]
    (pair,) = task.pairs
    off = asked(unnamed, ablations=str(first.node.site), **vars(pair))
    close(first.score, engine.next_token(off, k=3).ablated_logit_diff)
