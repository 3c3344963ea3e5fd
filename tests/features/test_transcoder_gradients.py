"""Gradients where a transcoder's features are changed: they pass through what it reads, and equal
plain autograd's on Hugging Face's model; and what its features do there themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import engine
from tests.support import sae_folders as by_hand
from tests.support.feature_reference import PAIRS, A, D, K, N
from tests.support.reference import Reference
from tests.support.tiny_models import D_MODEL, LAYERS, Tiny

KINDS = ("standard", "jumprelu", "topk")
"""Those of transcoders; that of `topk` has a skip connection as well."""
CHANGES = {
    "ablated": "zero f1.0-19",
    "scaled": "scale(-1.5) f1.0-19",
    "forced": "set(2) f1.0-19",
    "ablated at some": "zero f1.0-19 @1-2",
    "one after the other": "zero f1.0-9\nscale(3) f1.5-19",
}


pytestmark = [
    pytest.mark.parametrize("family", ["gpt2", "llama"]),
    pytest.mark.parametrize("kind", KINDS),
    pytest.mark.parametrize("change", CHANGES),
]


@pytest.fixture(autouse=True, scope="module")
def kept_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWITCHBOARD_SAES", str(tmp_path_factory.mktemp("kept")))
        yield


def weights(kind: str) -> dict[str, Tensor]:
    t = by_hand.weights(kind, D_MODEL, N)
    if kind == "topk":
        rng = torch.Generator().manual_seed(9)
        t["W_skip"] = torch.randn(D_MODEL, D_MODEL, generator=rng) / D_MODEL**0.5
    return t


def features(kind: str, t: dict[str, Tensor], x: Tensor) -> Tensor:
    """As `by_hand.features` has them, with a gradient."""
    h = x @ t["W_enc"] + t["b_enc"]
    if kind == "topk":
        best = h.topk(K, dim=-1)
        return torch.zeros_like(h).scatter(-1, best.indices, best.values.relu())
    return h.relu() * (h > t["threshold"]) if kind == "jumprelu" else h.relu()


def become(change: str, f: Tensor) -> Tensor:
    """What the changes make of features [pos feature]."""
    new = [column for column in f.T]
    for line in change.splitlines():
        method, named, *where = line.split()
        first, last = map(int, named.removeprefix("f1.").split("-"))
        at = torch.ones(len(f)) if not where else torch.zeros(len(f))
        at[1:3] = 1
        for i in range(first, last + 1):
            changed = {"zero": 0 * new[i], "set(2)": 0 * new[i] + 2}.get(method)
            if changed is None:
                changed = float(method[6:-1]) * new[i]
            new[i] = at * changed + (1 - at) * new[i]
    return torch.stack(new, 1)


@cache
def reference(directory: Path) -> Reference:
    return Reference(directory)


@cache
def transcoder(kind: str, folder: Path) -> engine.Sae:
    return engine.read_sae(by_hand.write_transcoder(folder, kind, weights(kind), K))


class Run:
    """A run in which a transcoder's features are changed, having become what `first` makes of them
    [pos feature]: the logit difference, `diff`, and by place, activations with their gradient: of
    heads `z`, neurons `post`, what the MLP writes by itself, `mlp`, of every layer, and what enters
    layer 1, `stream`, [pos width]. `features`: as the transcoder reads them; `less`: the gradient
    where each is a share less, before it is changed, [pos feature]."""

    def __init__(
        self,
        directory: Path,
        kind: str,
        change: str,
        text: str,
        first: Callable[[Tensor], Tensor] = lambda f: f,
    ) -> None:
        model, t = reference(directory), weights(kind)
        self._at: dict[tuple[str, int], Tensor] = {}
        ids = torch.tensor([engine.tokenize(str(directory), text).ids])
        off = torch.zeros(ids.shape[1], N, requires_grad=True)

        def keep(name: str, layer: int, value: Tensor) -> None:
            value.retain_grad()
            self._at[name, layer] = value

        def write(_m: nn.Module, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
            f = features(kind, t, args[0][0])
            self.features = f.detach()
            return y + (become(change, first(f * (1 - off))) - f) @ t["W_dec"]

        with ExitStack() as stack:
            for layer, block in enumerate(model.layers):

                def read(
                    _m: nn.Module, args: tuple[Tensor, ...], name: str = "", i: int = layer
                ) -> None:
                    keep(name, i, args[0])

                def wrote(_m: nn.Module, _a: object, y: Tensor, i: int = layer) -> None:
                    keep("mlp", i, y)

                for name, path in (("z", model._out), ("post", model._last), ("stream", "")):
                    part = block.get_submodule(path or "")
                    hook = part.register_forward_pre_hook(partial(read, name=name))
                    stack.callback(hook.remove)
                mlp = block.get_submodule(model._mlp)
                stack.callback(mlp.register_forward_hook(wrote).remove)
                if layer == 1:
                    stack.callback(mlp.register_forward_hook(write).remove)
            last = model.hf(input_ids=ids, use_cache=False).logits[0, -1]
            (last[A] - last[D]).backward()
        self.diff, self.less = float((last[A] - last[D]).detach()), off.grad
        self.heads = model.n_heads

    def gradient(self, name: str, layer: int) -> Tensor:
        """[pos width]"""
        found = self._at[name, layer].grad
        assert found is not None
        return found[0]

    def activation(self, name: str, layer: int) -> Tensor:
        """[pos width]"""
        return self._at[name, layer][0].detach()

    def without(self, name: str, layer: int) -> Tensor:
        """−activation × gradient, over positions, [width]."""
        return -(self.activation(name, layer) * self.gradient(name, layer)).sum(0)


def close(found: Any, meant: Any) -> None:
    """Equal within 1e-4 of the greatest, which counts as 0.01 if it is less."""
    meant = np.asarray(meant)
    atol = 1e-4 * max(0.01, float(np.abs(meant).max()))
    np.testing.assert_allclose(found, meant, rtol=0, atol=atol)


Case = tuple[engine.Experiment, engine.Sae, list[Run], Callable[..., list[float]]]


@cache
def runs_of(directory: Path, kind: str, change: str) -> list[Run]:
    """The run of every pair in which a transcoder's features are changed."""
    return [Run(directory, kind, CHANGES[change], pair.prompt) for pair in PAIRS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transcoders")


@pytest.fixture
def case(tiny: Tiny, folder: Path, family: str, kind: str, change: str) -> Case:
    """An experiment that changes a transcoder's features, the transcoder, the same run of every
    pair by plain hooks, and their logit differences where features become something else first."""
    directory, changes = tiny(family), CHANGES[change]
    sae = transcoder(kind, folder / kind)

    def first(become: Callable[[Tensor], Tensor]) -> list[float]:
        return [Run(directory, kind, changes, pair.prompt, become).diff for pair in PAIRS]

    e = engine.Experiment(str(directory), changes=changes, saes=sae)
    return e, sae, runs_of(directory, kind, change), first


def test_what_lies_before_changed_features_of_a_transcoder_has_autograds_gradients(
    case: Case, tmp_path: Path
) -> None:
    e, _, runs, _ = case
    neurons = engine.rank_neurons(e, PAIRS, exact=0).estimate
    estimate = engine.sweep(e, PAIRS, estimate=True).estimate
    assert estimate is not None
    for layer in range(LAYERS):
        close(neurons[layer], np.mean([one.without("post", layer).numpy() for one in runs], 0))
        heads = [one.without("z", layer).unflatten(0, (one.heads, -1)).sum(1) for one in runs]
        close(estimate.heads[:, layer], torch.stack(heads))
        mlps = [one.without("mlp", layer).sum() for one in runs]
        close(estimate.mlps[:, layer], torch.stack(mlps))
    t = by_hand.weights("jumprelu", D_MODEL, N, seed=5)
    place = {"hook_name": "blocks.0.hook_resid_post"}
    before = engine.read_sae(by_hand.write(tmp_path / "r1", "jumprelu", t, metadata=place))
    meant = []
    for one in runs:
        f = by_hand.features("jumprelu", t, one.activation("stream", 1))
        meant.append(-(f * (one.gradient("stream", 1) @ t["W_dec"].T)).sum(0).numpy())
    close(engine.rank_features(e, before, PAIRS, exact=0, controls=0).estimate, np.mean(meant, 0))


def test_a_transcoders_features_are_switched_off_before_they_are_changed(case: Case) -> None:
    e, sae, runs, first = case
    other = replace(sae, name="by_another_name")  # what it holds is the same
    ranked = engine.rank_features(e, other, PAIRS, exact=3, controls=2)
    slopes = [one.less.sum(0).numpy() for one in runs if one.less is not None]
    close(ranked.estimate, np.mean(slopes, 0))
    given = [one.diff for one in runs]
    np.testing.assert_allclose(ranked.given, given, atol=1e-4)
    for i, feature in enumerate(ranked.features):
        off = torch.ones(N).index_fill(0, torch.tensor(feature.index), 0.0)
        alone = np.array(first(lambda f, off=off: f * off)) - given
        np.testing.assert_allclose(ranked.exact[:, i], alone, atol=1e-4)
    np.testing.assert_allclose(ranked.emptied, first(lambda f: 0 * f), atol=1e-4)


def test_a_curves_features_become_their_mean_before_they_are_changed(case: Case) -> None:
    e, sae, runs, first = case
    mean = torch.stack([one.features for one in runs]).mean(0)
    meant = first(lambda f: f - f.detach() + mean)
    if np.allclose(meant, [one.diff for one in runs], atol=1e-4):
        with pytest.raises(engine.EngineError, match="carry nothing"):
            engine.feature_curve(e, sae, PAIRS, controls=0)
        return
    curve = engine.feature_curve(e, sae, PAIRS, controls=0)
    np.testing.assert_allclose(curve.none, meant, atol=1e-4)
