"""Features as sites: what they change equals plain hooks on Hugging Face's model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import engine
from engine.passes import points
from engine.passes.hooks import apply
from tests.support import sae_folders as by_hand
from tests.support.reference import Reference
from tests.support.tiny_models import D_MODEL, Tiny

N, K = 40, 7
PROMPT = "t4 t5 t6 t7"
FAMILIES = ("gpt2", "llama", "gemma2", "gptj")
OF_AN_MLP = ("standard", "jumprelu", "topk")
"""Kinds of transcoders; that of `topk` has a skip connection as well."""


@pytest.fixture(scope="module")
def saes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, engine.Sae]:
    folder = tmp_path_factory.mktemp("saes")
    made = {kind: by_hand.weights(kind, D_MODEL, N) for kind in by_hand.KINDS}
    skip = {"W_skip": torch.randn(D_MODEL, D_MODEL, generator=torch.Generator().manual_seed(9))}
    result = {
        kind: engine.read_sae(by_hand.write(folder / kind, kind, t, k=K))
        for kind, t in made.items()
    }
    for kind in OF_AN_MLP:
        t = made[kind] | (skip if kind == "topk" else {})
        own = by_hand.write_transcoder(folder / f"{kind} of an MLP", kind, t, K)
        result[f"{kind} of an MLP"] = engine.read_sae(own, name=kind)
    return result


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


@pytest.mark.parametrize("family", [*FAMILIES, "gpt_neox"])
@settings(max_examples=12)
@given(
    kind=st.sampled_from(OF_AN_MLP),
    index=st.sets(st.integers(0, N - 1), min_size=1, max_size=12),
    method=st.sampled_from(["zero", "scale(3)", "set(2)"]),
    where=st.sampled_from(["all", "2-3", "-1"]),
    before=st.sampled_from(["", "scale(0.5) r1", "zero m1", "zero f1.0-9 @2", "scale(3) f1.0-9"]),
)
def test_a_transcoders_features_are_moved_where_it_writes_by_what_its_mlp_is_given_then(
    tiny: Tiny,
    saes: dict[str, engine.Sae],
    family: str,
    kind: str,
    index: set[int],
    method: str,
    where: str,
    before: str,
) -> None:
    directory = tiny(family)
    kind = "jumprelu" if (family, kind) == ("gemma2", "topk") else kind  # a norm is behind its MLP
    t = by_hand.weights(kind, D_MODEL, N)
    named = " ".join(f"f1.{i}" for i in sorted(index))
    change = f"{method} {named}" + ("" if where == "all" else f" @{where}")
    sae = saes[f"{kind} of an MLP"]
    e = engine.Experiment(str(directory), PROMPT, changes=f"{before}\n{change}".strip(), saes=sae)
    ids = engine.tokenize(e.model, e.prompt).ids
    at = {"all": range(len(ids)), "2-3": (2, 3), "-1": (len(ids) - 1,)}[where]
    reference = Reference(directory)
    read: list[Tensor] = []
    become = {"zero": lambda f: 0 * f, "scale(3)": lambda f: 3 * f, "set(2)": lambda f: 0 * f + 2}

    def write(_m: object, _a: object, y: Tensor) -> Tensor:
        y = 0 * y if before == "zero m1" else y.clone()
        old = by_hand.features(kind, t, read[-1], K, centres=False)
        new = old.clone()
        if before.startswith("zero f1"):
            new[2, :10] = 0
        elif before.startswith("scale(3) f1"):
            new[:, :10] *= 3
        for i in index:
            new[list(at), i] = become[method](new[list(at), i])
        y[0] += by_hand.decoded(t, new) - by_hand.decoded(t, old)
        return y

    layer = reference.layers[1]
    handles = [
        layer.get_submodule("mlp").register_forward_pre_hook(lambda _m, a: read.append(a[0][0])),
        layer.get_submodule(reference._mlp).register_forward_hook(write),
    ]
    if before == "scale(0.5) r1":
        handles.append(layer.register_forward_pre_hook(lambda _m, a: (0.5 * a[0], *a[1:])))
    meant = reference.logits(ids)[-1]
    for handle in handles:
        handle.remove()
    np.testing.assert_allclose(logits(engine.next_token(e).ablated), meant, atol=1e-4)


REFERENCES = ("t9 t5 t8 t7", "t6 t2 t8 t3")


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=8)
@given(
    kind=st.sampled_from([*by_hand.KINDS, "jumprelu of an MLP"]),
    index=st.sets(st.integers(0, N - 1), min_size=1, max_size=12),
    method=st.sampled_from(["mean", "mean_by_position", "resample"]),
    where=st.sampled_from(["all", "2-3", "-1"]),
    before=st.booleans(),
)
def test_features_become_what_they_are_in_other_texts(
    tiny: Tiny,
    saes: dict[str, engine.Sae],
    family: str,
    kind: str,
    index: set[int],
    method: str,
    where: str,
    before: bool,
) -> None:
    directory, sae = tiny(family), saes[kind]
    kind, _, transcodes = kind.partition(" ")
    t, layer = by_hand.weights(kind, D_MODEL, N), 1 if transcodes else 2
    named = " ".join(f"f{layer}.{i}" for i in sorted(index))
    change = f"{method} {named}" + ("" if where == "all" else f" @{where}")
    first = f"mean_by_position f{layer}.0-9 @1-2\n" if before else ""
    e = engine.Experiment(
        str(directory), PROMPT, "t1 t1 t30 t2", references=REFERENCES, changes=first + change,
        saes=sae,
    )  # fmt: skip
    reference, ids = Reference(directory), engine.tokenize(str(directory), PROMPT).ids
    at = list({"all": range(len(ids)), "2-3": (2, 3), "-1": (len(ids) - 1,)}[where])
    block, read = reference.layers[layer], list[Tensor]()
    part = block.get_submodule("mlp") if transcodes else block

    def features() -> Tensor:
        return by_hand.features(kind, t, read[-1], K, centres=not transcodes)

    looking = part.register_forward_pre_hook(lambda _m, a: read.append(a[0][0].clone()))
    seen = []
    for text in (*REFERENCES, e.corrupted):
        reference.logits(engine.tokenize(e.model, text).ids)
        seen.append(features())
    mean = torch.stack(seen[:2]).mean(0)
    become = {
        "mean": torch.cat(seen[:2]).mean(0).expand_as(mean), "mean_by_position": mean,
        "resample": seen[2],
    }[method]  # fmt: skip

    def moved(y: Tensor) -> Tensor:
        new, y = (old := features()).clone(), y.clone()
        if before:
            new[1:3, :10] = mean[1:3, :10]
            if not transcodes:  # what is changed then is read again
                y[0] += by_hand.decoded(t, new) - by_hand.decoded(t, old)
                old = by_hand.features(kind, t, y[0], K)
                new = old.clone()
        for i in index:
            new[at, i] = become[at, i]
        y[0] += by_hand.decoded(t, new) - by_hand.decoded(t, old)
        return y

    if transcodes:
        written = block.get_submodule(reference._mlp)
        handle = written.register_forward_hook(lambda _m, _a, y: moved(y))
    else:
        handle = block.register_forward_pre_hook(lambda _m, a: (moved(a[0]), *a[1:]))
    meant = reference.logits(ids)[-1]
    handle.remove()
    looking.remove()
    np.testing.assert_allclose(logits(engine.next_token(e).ablated), meant, atol=1e-4)
    short = replace(e, ablations=named, method=method, positions=where, changes=first)
    if not before:
        other = logits(engine.next_token(short).ablated)
        np.testing.assert_allclose(other, logits(engine.next_token(e).ablated), atol=1e-5)


def test_a_mean_by_position_of_features_leaves_what_is_written_after_as_it_is(
    tiny: Tiny, saes: dict[str, engine.Sae]
) -> None:
    e = engine.Experiment(
        str(tiny("llama", eos_token_id=None)), PROMPT, references=REFERENCES, saes=saes["topk"],
        changes="mean_by_position f2.0-39",
    )  # fmt: skip
    by_prompt = replace(e, changes="mean_by_position f2.0-39 @prompt")
    one, other = (
        [step.ablated.token_id for step in engine.generate(x, 5) if step.ablated]
        for x in (e, by_prompt)
    )
    assert one == other and len(one) == 5
    with pytest.raises(engine.EngineError, match="needs them equal, mean does not"):
        engine.next_token(replace(e, prompt="t4 t5"))


SWITCHED = [("topk", 2), ("gated", 2), ("standard of an MLP", 1), ("topk of an MLP", 1)]


@pytest.mark.parametrize(("kind", "layer"), SWITCHED)
def test_an_edit_of_nothing_is_the_clean_run_and_changes_are_made_in_order(
    tiny: Tiny, saes: dict[str, engine.Sae], kind: str, layer: int
) -> None:
    e = engine.Experiment(str(tiny("llama")), PROMPT, saes=saes[kind])
    nothing = engine.next_token(replace(e, changes=f"scale(1) f{layer}.0-39"))
    np.testing.assert_allclose(logits(nothing.ablated), logits(nothing.clean), atol=1e-5)
    e = replace(e, changes=f"set(2) f{layer}.3 @2-3\nzero f{layer}.0-9")
    assert engine.Experiment.from_json(e.to_json()) == engine.Experiment.from_url(e.to_url()) == e
    assert eval(e.to_python(), {"engine": engine}) == e
    if layer == 1:  # the MLP ablated behind it takes the difference with it, and before it does not
        gone, kept = (
            logits(engine.next_token(replace(e, changes=each)).ablated)
            for each in ("set(2) f1.3\nzero m1", "zero m1\nset(2) f1.3")
        )
        alone = logits(engine.next_token(replace(e, changes="zero m1")).ablated)
        np.testing.assert_allclose(gone, alone, atol=1e-6)
        assert np.abs(kept - alone).max() > 1e-3
        return
    e = replace(e, changes="")
    both = engine.next_token(replace(e, changes="set(1) f2.3\nscale(2) r2"))
    other = engine.next_token(replace(e, changes="scale(2) r2\nset(1) f2.3"))
    assert np.abs(logits(both.ablated) - logits(other.ablated)).max() > 1e-3


@pytest.mark.parametrize(("kind", "layer"), SWITCHED)
def test_generation_and_sites_switched_off_take_features_like_any_other(
    tiny: Tiny, saes: dict[str, engine.Sae], kind: str, layer: int
) -> None:
    directory, named = tiny("gpt2", eos_token_id=None), f"f{layer}.0-39"
    e = engine.Experiment(str(directory), PROMPT, ablations=named, saes=saes[kind])
    changed = replace(e, ablations="", changes=f"zero {named}")
    one, other = (logits(engine.next_token(x).ablated) for x in (e, changed))
    np.testing.assert_allclose(one, other, atol=1e-6)
    steps = [step.ablated.token_id for step in engine.generate(e, 4) if step.ablated]
    text, ids = e, []
    for _ in steps:
        ids.append(int(engine.next_token(text).ablated.ids[0]))
        text = replace(text, prompt=f"{text.prompt} t{ids[-1] - 3}")
    assert steps == ids


@pytest.mark.parametrize(("kind", "layer"), SWITCHED)
@pytest.mark.parametrize("family", ["llama", "gptj"])
def test_what_stands_on_changed_features_has_the_numbers_of_the_next_token(
    tiny: Tiny, saes: dict[str, engine.Sae], family: str, kind: str, layer: int
) -> None:
    named = f"f{layer}.0-19"
    e = engine.Experiment(
        str(tiny(family)),
        PROMPT,
        "t9 t5 t8 t7",
        "t8",
        "t3",
        ablations=named,
        saes=saes[kind],
    )
    swept = engine.sweep(e)
    for site, at in (("0.2", (0, 2)), ("1.3", (1, 3)), ("2.0", (2, 0))):
        both = engine.next_token(replace(e, ablations=f"{named} {site}")).ablated_logit_diff
        assert swept.heads[at] == pytest.approx(both, abs=1e-4)
    pairs = [engine.Pair(f"t{i} t5 t7 t1", "", "t8", "t3") for i in (4, 9, 11)]
    scores = engine.score_task(e.model, engine.Task("rows", pairs), e).ablated
    assert scores is not None
    for pair, diff in zip(pairs, scores.logit_diff, strict=True):
        own = engine.next_token(replace(e, prompt=pair.prompt)).ablated_logit_diff
        assert diff == pytest.approx(own, abs=1e-4)
    lens = engine.logit_lens(e)
    assert lens.ablated.ids[-1, -1, 0] == engine.next_token(e).ablated.ids[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("zero f1.3", "features of an SAE of layer 1"),
        ("zero f2.40", "no feature f2.40"),
        ("mean f2.3", "no reference|there are none"),
        ("resample f2.3", "there is none"),
        ("add(v, 2) f2.3", "no direction is added to it"),
        ("zero f9.3", "layers are 0 to 2"),
    ],
)
def test_features_there_are_not_are_refused(
    tiny: Tiny, saes: dict[str, engine.Sae], change: str, said: str
) -> None:
    v = engine.Direction("v", "r2", engine.FromUnembedding(" t5", " t6"))
    e = engine.Experiment(
        str(tiny("gpt2")), PROMPT, changes=change, saes=saes["standard"], vectors=v
    )
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


def test_an_sae_of_a_centred_stream_is_refused_where_norms_leave_the_mean(
    tiny: Tiny, tmp_path: Path
) -> None:
    t = by_hand.weights("standard", D_MODEL, N)
    meta = {"hook_name": "blocks.1.hook_resid_post"}
    form = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    folder = by_hand.write(tmp_path / "a", "standard", t, metadata=meta | form)
    e = engine.Experiment("", PROMPT, changes="zero f2.0-39", saes=engine.read_sae(folder))
    with pytest.raises(engine.EngineError, match="whose mean is taken off"):
        engine.next_token(replace(e, model=str(tiny("llama"))))
    directory = tiny("gpt2")
    reference = Reference(directory)

    def hook(_m: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = args[0]
        f = by_hand.features("standard", t, x[0] - x[0].mean(-1, keepdim=True))
        return (x - (f @ t["W_dec"])[None], *args[1:])

    handle = reference.layers[2].register_forward_pre_hook(hook)
    meant = reference.logits(engine.tokenize(str(directory), PROMPT).ids)[-1]
    handle.remove()
    found = engine.next_token(replace(e, model=str(directory))).ablated
    np.testing.assert_allclose(logits(found), meant, atol=1e-4)


def test_where_what_an_mlp_is_given_is_not_read_transcoders_are_refused_and_nothing_else(
    tiny: Tiny, saes: dict[str, engine.Sae], monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(edits: Any, activation: Tensor, passed: Any = None) -> Tensor:
        return apply(edits, activation, {at: 2 * one for at, one in (passed or {}).items()})

    monkeypatch.setattr(points, "apply", late)
    directory = str(tiny("gpt2", vocab_size=71))
    (check,) = (c for c in engine.certificate(directory).checks if c.name == "into MLPs")
    assert not check.holds and check.figure > 100 * check.limit
    e = engine.Experiment(directory, PROMPT, saes=saes["standard of an MLP"], changes="zero f1.0")
    with pytest.raises(engine.EngineError, match=r"no mlp_in in layer 1 .* So the transcoder"):
        engine.next_token(e)
    other = replace(e, saes=saes["standard"], changes="zero f2.0")
    assert engine.next_token(other).ablated_sites == 1
    engine.release(directory)
