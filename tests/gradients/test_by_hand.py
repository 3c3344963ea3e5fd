"""Scores by gradients equal a loop of autograd over interpolations on the Hugging Face model."""

from __future__ import annotations

import functools
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

import engine
from engine.paths.receivers import Receiver
from tests.support.gradient_reference import GradientReference, Node
from tests.support.tiny_models import Tiny
from tests.test_architecture import ROOT

CLEAN, OTHER = "t1 t5 t9 t2 t7", "t4 t8 t3 t11 t6"
FAMILIES = ("gpt2", "llama", "gpt_neox", "olmo2", "qwen3", "gemma2", "gptj", "phi", "mistral",
            "mixtral", "opt")  # fmt: skip
STEPS = 3


@functools.cache
def reference(directory: Path) -> GradientReference:
    return GradientReference(directory)


def experiment(directory: Path, **others: Any) -> engine.Experiment:
    plain = {"corrupted": OTHER, "answer": "t3", "distractor": "t4"}
    return engine.Experiment(str(directory), CLEAN, **{**plain, **others})


def logit_diff(logits: Tensor) -> Tensor:
    return logits[-1, 6] - logits[-1, 7]  # t3 and t4, behind three special tokens


def ids(e: engine.Experiment) -> list[tuple[int, ...]]:
    return [engine.tokenize(e.model, text).ids for text in (e.prompt, e.corrupted)]


def node_of(site: engine.Site) -> Node:
    match site:
        case engine.Head(layer, head):
            return ("head", layer, head)
        case engine.MLP(layer):
            return ("mlp", layer, 0)
    return ("embedding", 0, 0)


def receiver_of(r: Receiver, shared: int) -> Node:
    head = (r.head or 0) // (shared if r.part in ("k", "v") else 1)
    return (r.part, r.layer or 0, head)


def check_nodes(result: engine.NodeAttribution, expected: dict[Node, float]) -> None:
    found = {node_of(s): v for s in result.grid().sites for v in [result.grid()[s]]}
    found["embedding", 0, 0] = float(result.embedding.mean())
    assert found.keys() == expected.keys()
    one, other = (np.array([some[at] for at in expected]) for some in (found, expected))
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * np.abs(other).max())


def check_edges(
    result: engine.EdgeAttribution,
    ref: GradientReference,
    run: tuple[Any, ...],
    some: list[Receiver],
) -> None:
    s = result.shape
    shared = s.n_heads // s.n_key_value_heads
    n = run[4] if len(run) > 4 else None
    clean, other_ids, steps, metric = run[:4]
    nodes = [receiver_of(r, shared) for r in some]
    expected = ref.edges(clean, other_ids, steps, metric, nodes, n)
    sequential = not np.isnan(result.of("0.0", "m0"))
    pairs: list[tuple[float, float]] = []
    for r in some:
        for i, sender in enumerate(result.senders):
            found = result.score[i, result.receivers.index(r)]
            if sender != engine.Stream(0) and not r.reads(sender, sequential):
                assert np.isnan(found), f"{sender} comes before {r}"
                continue
            pairs.append((found, expected[node_of(sender), receiver_of(r, shared)]))
    one, other = np.array(pairs).T
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4 * np.abs(other).max())


@pytest.mark.parametrize("kind", FAMILIES)
def test_nodes_and_edges_equal_a_loop_of_autograd(kind: str, tiny: Tiny) -> None:
    directory = tiny(kind)
    e, ref = experiment(directory), reference(directory)
    run: tuple[Any, ...] = (*ids(e), STEPS, logit_diff)
    check_nodes(engine.node_attribution(e, steps=STEPS), ref.nodes(*run))
    edges = engine.edge_attribution(e, steps=STEPS)
    assert edges.shape.n_key_value_heads == ref.n_groups
    check_edges(edges, ref, run, list(edges.receivers))


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
def test_the_bundled_models_too(model: str) -> None:
    e = engine.Experiment(model, "1 2 3 4", "9 7 1 5", " 5", " 4")
    ref = reference(ROOT / "assets" / "models" / model)
    clean, other = ids(e)
    answer, distractor = (list(engine.tokenize(model, e.prompt + t).ids) for t in (" 5", " 4"))
    same = next(
        i for i, pair in enumerate(zip(answer, distractor, strict=True)) if len({*pair}) > 1
    )
    own, another = answer[same], distractor[same]

    def metric(logits: Tensor) -> Tensor:
        return logits[same - 1, own] - logits[same - 1, another]

    shared = answer[len(clean) : -1]
    run = ([*clean, *shared], [*other, *shared], STEPS, metric, len(clean))
    check_nodes(engine.node_attribution(e, steps=STEPS), ref.nodes(*run))
    edges = engine.edge_attribution(e, steps=STEPS)
    check_edges(edges, ref, run, Random(model).sample(edges.receivers, 24))


def test_of_an_answer_of_several_tokens_without_a_distractor_it_is_the_log_probability(
    tiny: Tiny,
) -> None:
    directory = tiny("llama")
    e = experiment(directory, answer="t3 t20", distractor="")
    clean, other = ([*some, 6] for some in ids(e))

    def metric(logits: Tensor) -> Tensor:
        logs = logits.log_softmax(-1)
        return logs[-2, 6] + logs[-1, 23]

    ref, run = reference(directory), (clean, other, STEPS, metric, len(clean) - 1)
    nodes = engine.node_attribution(e, steps=STEPS)
    assert nodes.metric == "log_prob"
    check_nodes(nodes, ref.nodes(*run))
    edges = engine.edge_attribution(e, steps=STEPS)
    check_edges(edges, ref, run, Random(0).sample(edges.receivers, 12))
    with torch.no_grad():
        for text, known in ((clean, nodes.clean), (other, nodes.corrupted)):
            logits = ref.hf(torch.tensor([text])).logits[0]
            assert known[0] == pytest.approx(float(metric(logits)), abs=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "falcon"])
def test_edges_into_the_logits_add_up_to_what_enters_them(kind: str, tiny: Tiny) -> None:
    """Falcon's blocks add what heads write to what the MLP gave, in the same memory."""
    directory = tiny(kind)
    e = experiment(directory)
    hf: Any = AutoModelForCausalLM.from_pretrained(directory).eval()
    streams: list[Tensor] = []

    def leave(_m: Any, _a: Any, out: Any) -> None:
        streams.append(out if isinstance(out, Tensor) else out[0])

    hf.transformer.h[-1].register_forward_hook(leave)
    for text in ids(e):
        logits = hf(input_ids=torch.tensor([list(text)]), use_cache=False).logits[0]
        if len(streams) == 1:
            (slope,) = torch.autograd.grad(logit_diff(logits), streams[0])
    expected = float(((streams[1] - streams[0]).detach() * slope).sum())
    found = np.nansum(engine.edge_attribution(e, steps=1).into("logits"))
    assert found == pytest.approx(expected, rel=1e-3)
