"""gpt-nano-sort gives its author's own published activations through the captures the pages use."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import numpy as np
import pytest

import engine
from tests.conftest import real

LAST = 2


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    stored = json.loads((real("gpt-nano-sort") / "published_activations.json").read_text())
    return {
        name: np.frombuffer(base64.b64decode(one["data"]), "<f4").reshape(one["shape"])
        for name, one in stored.items()
        if isinstance(one, dict) and "data" in one
    }


@pytest.fixture(scope="module", params=range(3), ids=lambda i: f"input {i}")
def both(request: pytest.FixtureRequest, published: dict[str, np.ndarray]) -> Any:
    """One published input: what its author's model gave, and what the engine captures."""
    ids = published["idx"][request.param].astype(int)
    names = [("resid_post", i) for i in range(3)] + [("ln_final", 3), ("resid_mid", 0)]
    names += [
        (n, 0) for n in ("q", "k", "v", "attn_scores", "pattern", "mlp_out", "attn_out", "post")
    ]
    e = engine.Experiment(str(real("gpt-nano-sort")), "".join("ABC"[i] for i in ids))
    found = engine.activations(e, names)
    assert found.tokens.ids == tuple(ids)
    return {
        name: array[request.param] for name, array in published.items() if len(array) == 3
    }, found


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["q", "k", "v"])
def test_queries_keys_and_values(both: Any, name: str) -> None:
    theirs, found = both  # theirs: [head_index pos d_head] of the first layer
    close(found.clean[name, 0].transpose(1, 0, 2), theirs[name])


def test_attention_before_and_after_the_softmax(both: Any) -> None:
    theirs, found = both
    causal = np.tril(np.ones((11, 11), bool))
    close(found.clean["attn_scores", 0][:, causal], theirs["att"][:, causal])
    close(found.clean["pattern", 0], theirs["attSm"])


@pytest.mark.parametrize(
    ("name", "capture"),
    [
        ("attnResid", ("resid_mid", 0)),
        ("yProj", ("attn_out", 0)),
        ("gelu", ("post", 0)),
        ("mlp", ("mlp_out", 0)),
        ("block0", ("resid_post", 0)),
        ("block1", ("resid_post", 1)),
        ("block2", ("resid_post", 2)),
        ("ln_f", ("ln_final", 3)),
    ],
)
def test_the_residual_stream_and_what_is_added_to_it(
    both: Any, name: str, capture: tuple[Any, ...]
) -> None:
    theirs, found = both
    close(found.clean[capture], theirs[name])


def test_logits_and_probabilities(both: Any) -> None:
    theirs, found = both
    close(found.clean_logits, theirs["lm_head"])
    shifted = np.exp(found.clean_logits - found.clean_logits.max(-1, keepdims=True))
    close(shifted / shifted.sum(-1, keepdims=True), theirs["probs"])


def test_it_sorts() -> None:
    name = str(real("gpt-nano-sort"))
    for letters in itertools.islice(itertools.product("ABC", repeat=6), 0, None, 31):
        text = "".join(letters)
        for wanted in sorted(letters):
            best = engine.next_token(engine.Experiment(name, text), k=1).clean.tokens[0]
            assert best == wanted, text
            text += best
