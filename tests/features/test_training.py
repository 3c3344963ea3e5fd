"""An SAE trained here finds features that were planted, and is an SAE like any that is read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import engine
from engine.features.trainer import BATCH, Trainer
from engine.saved.saes import kept_dictionary

TEXTS = tuple(one.prompt for one in engine.examples("numerals", 40))


@pytest.mark.parametrize(("scale", "d_sae"), [(1.0, 64), (300.0, 48)])
def test_planted_sparse_features_are_found(scale: float, d_sae: int) -> None:
    rng = torch.Generator().manual_seed(1)
    planted = torch.randn(48, 24, generator=rng)
    planted /= planted.norm(dim=-1, keepdim=True)
    strength = torch.zeros(60 * BATCH, 48)
    on = torch.rand(len(strength), 48, generator=rng).topk(3).indices
    strength.scatter_(1, on, torch.rand(on.shape, generator=rng) * 2 + 0.5)
    x = (strength @ planted + 0.5 * torch.randn(24, generator=rng)) * scale
    n_batches = 300
    trainer = Trainer(x[:4096], d_sae, 3, n_batches * BATCH)
    for i in range(n_batches):
        trainer.learn(x[(i % 60) * BATCH :][:BATCH])
    made = trainer.dictionary("r1", "toy")
    found = made.W_dec / made.W_dec.norm(dim=-1, keepdim=True)
    assert float((planted @ found.T).max(1).values.mean()) >= 0.9
    left = (x - made(x)).pow(2).sum() / (x - x.mean(0)).pow(2).sum()
    assert float(left) == pytest.approx(trainer.unexplained, rel=0.1) and float(left) < 0.2
    assert trainer.l0 <= 3 and float((made.encode(x) > 0).sum(1).float().mean()) <= 3
    torch.testing.assert_close(made.W_dec.norm(dim=-1), torch.ones(d_sae), atol=1e-4, rtol=0)


def test_what_is_learnt_in_parts_of_a_batch_is_what_is_learnt_at_once() -> None:
    x = torch.randn(4 * BATCH, 8, generator=torch.Generator().manual_seed(2))
    made = []
    for size in (BATCH, BATCH // 4):
        trainer = Trainer(x, 16, 4, 4 * BATCH)
        for start in range(0, len(x), size):
            trainer.learn(x[start : start + size])
        made.append(trainer.dictionary("r1", "toy"))
    torch.testing.assert_close(made[0].W_enc, made[1].W_enc, atol=1e-4, rtol=1e-4)


def test_training_on_a_model_follows_its_curves_and_gives_an_sae_of_the_place() -> None:
    question = engine.TrainSae("seq-gpt2", "r3", TEXTS, 2, 8, 60 * BATCH)
    work = engine.begin(question)
    parts = list(work)
    result = work.result()
    assert result.done and result.sae is not None and parts[-1].sae == result.sae
    assert (result.d_sae, result.k, result.n_tokens) == (320, 8, 60 * BATCH)
    assert result.tokens[-1] == 60 * BATCH and (np.diff(result.tokens) > 0).all()
    assert result.unexplained[-1] < result.unexplained[0] / 3 and (result.l0 <= 8).all()
    assert len(result.table()) == len(result.tokens) and len(result.figure().data) == 3
    assert result.sae.name == "trained-r3" and str(result.sae.site) == "r3"
    health = engine.measure_sae("seq-gpt2", result.sae, TEXTS)
    assert health.unexplained == pytest.approx(result.unexplained[-1], abs=0.1)
    assert health.l0 <= 8 and health.recovered > 0.9
    again = engine.begin(question).result().sae
    assert again is not None
    a, b = kept_dictionary(again), kept_dictionary(result.sae)
    torch.testing.assert_close(a.W_dec, b.W_dec, atol=1e-3, rtol=0)


def test_it_is_stopped_and_its_time_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    work = engine.begin(engine.TrainSae("seq-gpt2", "m2", TEXTS, tokens=10**8))
    next(iter(work))
    work.cancel()
    with pytest.raises(engine.Cancelled):
        work.result()
    monkeypatch.setattr("engine.passes.pace.Pace.seconds", property(lambda _: 5.0))
    result = engine.train_sae("seq-gpt2", "m2", TEXTS, tokens=10**8, seconds=1)
    assert result.ended == "Its 1 seconds were over." and result.sae is not None
    assert result.tokens[-1] < 10**8


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"site": "9.1"}, "one place of the residual stream"),
        ({"site": "r9"}, "layers are 0 to 5"),
        ({"texts": ""}, "is empty"),
        ({"k": 1000}, "cannot be on"),
        ({"tokens": 1}, "1,024 to"),
        ({"expansion": 0}, "1 to 64"),
        ({"name": "a b"}, "names no SAE"),
    ],
)
def test_what_cannot_be_trained_is_said(change: dict[str, object], said: str) -> None:
    given: dict[str, object] = {"model": "seq-gpt2", "site": "r3", "texts": TEXTS, "tokens": 1024}
    with pytest.raises(engine.EngineError, match=said):
        engine.train_sae(**given | change)  # type: ignore[arg-type]
