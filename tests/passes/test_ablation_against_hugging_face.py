"""Every method, on random sites and positions, equals plain hooks on the Hugging Face model."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import engine
from engine.model.checkpoints import BUNDLED
from tests.conftest import real
from tests.support.reference import Change, Reference
from tests.support.some import some
from tests.support.tiny_models import CONFIGS, WORDS, Tiny

METHODS = ("zero", "mean", "mean_by_position", "resample", "scale(0.3)", "scale(-2.0)", "set(0.7)")
_TEXTS = {
    "gpt-nano-sort": ("ABCABC", ""),
    "stories260K": (["Once", "upon", "a", "time", "there", "was", "little"], " "),
    "seq-gpt2": (["1", "2", "7", "9", "5", "4", "12", "30"], " "),
    "seq-llama": (["1", "2", "7", "9", "5", "4", "8", "3"], " "),
}
MODELS = [*CONFIGS, *_TEXTS]


@functools.cache
def reference(directory: str) -> Reference:
    return Reference(directory)


def directory_of(name: str, tiny: Tiny) -> str:
    if name in CONFIGS:
        return str(tiny(name))
    return name if (BUNDLED / name).is_dir() or name.startswith("seq-") else str(real(name))


def token_counts(name: str, directory: str) -> dict[int, int]:
    """How many tokens a text of so many words has; every word of a model's list has as many.

    To be asked before drawing: the engine's checked types use the random numbers that Hypothesis
    keeps an eye on.
    """
    words, gap = _TEXTS.get(name, (WORDS, " "))
    return {n: len(ids_of(directory, gap.join([words[0]] * n))) for n in range(2, 7)}


@st.composite
def experiments(
    draw: st.DrawFn, name: str, directory: str, ref: Reference, counts: dict[int, int]
) -> engine.Experiment:
    words, gap = _TEXTS.get(name, (WORDS, " "))
    n = draw(st.sampled_from(sorted(counts)))
    text = st.lists(st.sampled_from(list(words)), min_size=n, max_size=n).map(gap.join)
    method = draw(st.sampled_from(METHODS))
    layers, heads = st.integers(0, ref.n_layers - 1), st.integers(0, ref.n_heads - 1)
    kinds: list[st.SearchStrategy[engine.Site]] = [
        st.builds(engine.Head, layers, heads),
        st.builds(engine.MLP, layers),
        st.builds(engine.Heads, layers),
    ]
    keep = draw(st.integers(0, 4)) == 0
    if ref.has_neurons and not keep:
        kinds.append(st.builds(engine.Neuron, layers, st.integers(0, ref.d_mlp - 1)))
    sites = tuple(draw(st.lists(st.one_of(kinds), min_size=1, max_size=5, unique=True)))
    mlps = keep and draw(st.booleans())
    n_tokens = counts[n]
    positions = draw(
        st.one_of(
            st.sampled_from(["all", "prompt", "-1"]),
            st.lists(st.integers(-n_tokens, n_tokens - 1), min_size=1, max_size=3, unique=True).map(
                lambda found: ",".join(map(str, found))
            ),
        )
    )
    by_position = method in ("mean_by_position", "resample")
    lengths = st.just(n) if by_position else st.integers(1, 7)
    references = draw(
        st.lists(
            lengths.flatmap(
                lambda m: st.lists(st.sampled_from(list(words)), min_size=m, max_size=m).map(
                    gap.join
                )
            ),
            min_size=1,
            max_size=3,
        )
    )
    return engine.Experiment(
        directory,
        draw(text),
        corrupted=draw(text),
        ablations=engine.Ablations(sites, "keep" if keep else "ablate", mlps),
        method=method,
        positions=positions,
        references=references,
    )


def spelled_out(e: engine.Experiment, ref: Reference) -> list[tuple[str, int, int]]:
    """The heads, MLPs and neurons that change, worked out by themselves."""
    named = set()
    for site in e.ablations.sites:
        match site:
            case engine.Heads(layer):
                named |= {("head", layer, h) for h in range(ref.n_heads)}
            case engine.Head(layer, head):
                named.add(("head", layer, head))
            case engine.MLP(layer):
                named.add(("mlp", layer, 0))
            case engine.Neuron(layer, index):
                named.add(("neuron", layer, index))
    if e.ablations.verb == "ablate":
        return sorted(named)
    every = {("head", i, h) for i in range(ref.n_layers) for h in range(ref.n_heads)}
    if e.ablations.mlps:
        every |= {("mlp", i, 0) for i in range(ref.n_layers)}
    return sorted(every - named)


@functools.cache
def ids_of(directory: str, text: str) -> tuple[int, ...]:
    return engine.tokenize(directory, text).ids


def expected_logits(e: engine.Experiment, ref: Reference) -> Tensor:
    """[2, pos, vocab] of the experiment and of its clean run."""
    ids = ids_of(e.model, e.prompt)
    n = len(ids)
    word = str(e.positions)
    where = range(n) if word in ("all", "prompt") else sorted({i % n for i in e.positions.indices})
    return ref.each_logits([(ids, changes_of(e, ref, tuple(where))), (ids, ())])


def changes_of(e: engine.Experiment, ref: Reference, where: tuple[int, ...]) -> list[Change]:
    """The experiment's changes, at these positions."""
    changes = []
    become: Any
    for kind, layer, index in spelled_out(e, ref):
        match str(e.method).partition("(")[0]:
            case "zero":
                become = torch.zeros_like
            case "set":
                become = lambda old: torch.full_like(old, some(e.method.number))  # noqa: E731
            case "scale":
                become = lambda old: old * e.method.number  # noqa: E731
            case "mean":
                texts = [ref.value(kind, layer, index, ids_of(e.model, t)) for t in e.references]
                average = torch.cat(texts).mean(0)
                become = lambda old, a=average: a.expand_as(old)  # noqa: E731
            case "mean_by_position":
                texts = [ref.value(kind, layer, index, ids_of(e.model, t)) for t in e.references]
                average = torch.stack(texts).mean(0)[list(where)]
                become = lambda old, a=average: a  # noqa: E731
            case "resample":
                other = ref.value(kind, layer, index, ids_of(e.model, e.corrupted))[list(where)]
                become = lambda old, a=other: a  # noqa: E731
        changes.append(Change(kind, layer, index, where, become))
    return changes


@pytest.mark.parametrize("name", MODELS)
def test_an_ablation_equals_plain_hooks_on_the_hugging_face_model(name: str, tiny: Tiny) -> None:
    directory = directory_of(name, tiny)
    ref = reference(str(BUNDLED / name) if name.startswith("seq-") else directory)
    engine.load(directory)
    counts = token_counts(name, directory)
    moved = []

    @settings(max_examples=25)
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        e = data.draw(experiments(name, directory, ref, counts))
        found = engine.activations(e, [])
        expected, clean = expected_logits(e, ref)
        torch.testing.assert_close(
            torch.from_numpy(found.ablated_logits), expected, atol=1e-4, rtol=0
        )
        torch.testing.assert_close(torch.from_numpy(found.clean_logits), clean, atol=1e-4, rtol=0)
        moved.append(float((expected - clean).abs().max()))
        ranked = engine.next_token(e).ablated
        torch.testing.assert_close(
            torch.from_numpy(ranked.logits), expected[-1][ranked.ids.tolist()], atol=1e-4, rtol=0
        )

    compare()
    assert sorted(moved)[len(moved) // 2] > 0.01, "the ablations drawn change too little to judge"
    engine.release(directory)
