"""An SAE's health is what the plain formulae say of plain runs of Hugging Face's model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import engine
from tests.support import sae_folders as by_hand
from tests.support.reference import Reference
from tests.support.tiny_models import D_MODEL, Tiny

N, K = 48, 6
TEXTS = ("t4 t5 t6 t7 t8 t9", "t3 t9 t1", "t2 t2 t5 t11 t20 t7")


def numbers(health: engine.SaeHealth) -> dict[str, float]:
    names = ("l0", "unexplained", "cosine", "clean_loss", "spliced_loss", "zero_loss", "kl")
    return {name: getattr(health, name) for name in names} | {
        "dead": health.dead, "recovered": health.recovered, "explained": health.explained
    }  # fmt: skip


def meant_numbers(
    xs: list[Tensor], ys: list[Tensor], fs: list[Tensor], outs: list[Tensor],
    runs: dict[str, list[Tensor]], ids: list[tuple[int, ...]],
) -> dict[str, float]:  # fmt: skip
    y, f, out = (torch.cat(one).double() for one in (ys, fs, outs))
    losses = {
        name: torch.cat(
            [
                torch.nn.functional.cross_entropy(
                    logits[:-1].double(), torch.tensor(own[1:]), reduction="none"
                )
                for logits, own in zip(each, ids, strict=True)
            ]
        ).mean()
        for name, each in runs.items()
    }
    kl = torch.cat(
        [
            (a[:-1].double().softmax(-1) * (a[:-1].log_softmax(-1) - b[:-1].log_softmax(-1))).sum(
                -1
            )
            for a, b in zip(runs["clean"], runs["spliced"], strict=True)
        ]
    ).mean()
    fvu = (y - out).pow(2).sum() / (y - y.mean(0)).pow(2).sum()
    zero, clean, spliced = losses["zero"], losses["clean"], losses["spliced"]
    return {
        "l0": float((f > 0).sum(1).double().mean()), "unexplained": float(fvu),
        "cosine": float(torch.cosine_similarity(y, out).mean()),
        "clean_loss": float(clean), "spliced_loss": float(spliced), "zero_loss": float(zero),
        "kl": float(kl), "dead": float((f > 0).sum(0).eq(0).double().mean()),
        "recovered": float((zero - spliced) / (zero - clean)), "explained": 1 - float(fvu),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("family", "kind"),
    [("gpt2", "topk"), ("llama", "gated"), ("gemma2", "standard"), ("gptj", "jumprelu")],
)
def test_every_number_is_its_plain_formula(
    tiny: Tiny, tmp_path: Path, family: str, kind: str
) -> None:
    directory, t = tiny(family), by_hand.weights(kind, D_MODEL, N)
    sae = engine.read_sae(by_hand.write(tmp_path / "one", kind, t, k=K))
    health = engine.measure_sae(str(directory), sae, TEXTS)
    reference = Reference(directory)
    seen: dict[str, list[Any]] = {name: [] for name in ("x", "f", "out", "ids")}
    runs: dict[str, list[Tensor]] = {"clean": [], "spliced": [], "zero": []}
    for text in TEXTS:
        ids = engine.tokenize(str(directory), text).ids
        for name in runs:

            def hook(_m: object, args: tuple[Tensor, ...], name: str = name) -> tuple[Tensor, ...]:
                x = args[0].clone()
                own = x[0, 1:]
                f = by_hand.features(kind, t, own, K)
                out = by_hand.decoded(t, f)
                if name == "clean":
                    for key, value in (("x", own.clone()), ("f", f), ("out", out)):
                        seen[key].append(value)
                    return args
                x[0, 1:] = out if name == "spliced" else 0.0
                return (x, *args[1:])

            handle = reference.layers[2].register_forward_pre_hook(hook)
            runs[name].append(reference.logits(ids))
            handle.remove()
        seen["ids"].append(ids)
    meant = meant_numbers(seen["x"], seen["x"], seen["f"], seen["out"], runs, seen["ids"])
    if meant["zero_loss"] <= meant["clean_loss"]:  # as a random model may be the better for it
        meant["recovered"] = float("nan")
    assert numbers(health) == pytest.approx(meant, abs=2e-5, rel=1e-4, nan_ok=True)
    assert health.done and health.n_tokens == 15
    density = (torch.cat(seen["f"]) > 0).double().mean(0)
    np.testing.assert_allclose(health.density, density, atol=1e-6)
    assert {row["number"] for row in health.table()} >= {"L0", "loss recovered"}
    assert health.figure().data


def test_an_sae_that_is_the_identity_gives_the_clean_run(tiny: Tiny, tmp_path: Path) -> None:
    one = torch.eye(D_MODEL)
    t = {
        "W_enc": torch.cat([one, -one], 1), "W_dec": torch.cat([one, -one]),
        "b_enc": torch.zeros(2 * D_MODEL), "b_dec": torch.zeros(D_MODEL),
    }  # fmt: skip
    sae = engine.read_sae(by_hand.write(tmp_path / "one", "standard", t))
    health = engine.measure_sae(str(tiny("llama")), sae, TEXTS)
    assert health.spliced_loss == pytest.approx(health.clean_loss, abs=1e-5)
    assert health.kl == pytest.approx(0, abs=1e-5) and health.recovered == pytest.approx(
        1, abs=1e-5
    )
    assert health.l0 == D_MODEL and health.explained == pytest.approx(1) and not health.sick
    assert "healthy" in health.verdict


def test_one_that_says_nothing_is_told_to_be_sick(tiny: Tiny, tmp_path: Path) -> None:
    t = by_hand.weights("standard", D_MODEL, N)
    t["b_enc"] = torch.full((N,), -99.0)
    sae = engine.read_sae(by_hand.write(tmp_path / "one", "standard", t))
    health = engine.measure_sae(str(tiny("gpt2")), sae, TEXTS)
    assert health.dead == 1 and health.l0 == 0 and health.explained <= 1e-6
    assert len(health.sick) >= 2 and "100% of its features" in health.verdict


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_transcoder_is_measured_in_the_place_of_its_mlp(
    tiny: Tiny, tmp_path: Path, family: str
) -> None:
    directory, t = tiny(family), by_hand.weights("topk", D_MODEL, N)
    folder = by_hand.write_transcoder(tmp_path, "topk", t, K)
    health = engine.measure_sae(str(directory), engine.read_sae(folder), TEXTS)
    reference, fs, ys, outs, losses = Reference(directory), [], [], [], []
    for text in TEXTS:
        ids = engine.tokenize(str(directory), text).ids

        def hook(_m: object, args: tuple[Tensor, ...], y: Tensor) -> Tensor:
            x, new = args[0][0, 1:], y.clone()
            fs.append(by_hand.features("topk", t, x, K, centres=False))
            outs.append(by_hand.decoded(t, fs[-1]))
            ys.append(y[0, 1:].clone())
            new[0, 1:] = outs[-1]
            return new

        handle = reference.layers[1].get_submodule("mlp").register_forward_hook(hook)
        logits = reference.logits(ids)
        handle.remove()
        targets = torch.tensor(ids[1:])
        losses.append(torch.nn.functional.cross_entropy(logits[:-1], targets, reduction="none"))
    y, out = torch.cat(ys), torch.cat(outs)
    fvu = (y - out).pow(2).sum() / (y - y.mean(0)).pow(2).sum()
    assert health.unexplained == pytest.approx(float(fvu), rel=1e-4)
    assert health.spliced_loss == pytest.approx(float(torch.cat(losses).mean()), abs=1e-4)


def test_what_cannot_be_measured_is_said(tiny: Tiny, tmp_path: Path) -> None:
    t = by_hand.weights("standard", D_MODEL, N)
    sae = engine.read_sae(by_hand.write(tmp_path / "one", "standard", t))
    cases: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: engine.measure_sae("seq-gpt2", sae, "1 2 3"), "stream has 160"),
        (lambda: engine.measure_sae(str(tiny("gpt2")), sae, " "), "is empty"),
        (lambda: engine.measure_sae(str(tiny("gpt2")), sae, "t1"), "No token is left"),
        (lambda: engine.measure_sae("seq-gpt2", sae, "1 2", 1), "A window has"),
        (lambda: engine.measure_sae("seq-gpt2", "no@r3", "1 2"), "No SAE “no” ships"),
    )
    for asked, said in cases:
        with pytest.raises(engine.EngineError, match=said):
            asked()
