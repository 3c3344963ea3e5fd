"""Eight threads mixing 2,000 experiments on one model: each equals its solo result."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import engine
from tests.support.tiny_models import Tiny


def test_concurrent_experiments_equal_their_solo_results(tiny: Tiny) -> None:
    directory = str(tiny("llama"))
    rng = random.Random(0)
    methods = ("zero", "mean", "resample", "scale(0.5)", "set(1)", "mean_by_position")

    def draw() -> engine.Experiment:
        n = rng.choice((3, 4, 6))

        def text() -> str:
            return " ".join(f"t{rng.randrange(60)}" for _ in range(n))

        sites = [
            f"{rng.randrange(3)}.{rng.randrange(4)}",
            f"m{rng.randrange(3)}",
            f"n1.{rng.randrange(48)}",
        ]
        return engine.Experiment(
            directory, text(), corrupted=text(), references=[text(), text()],
            ablations=" ".join(rng.sample(sites, rng.randrange(3))), method=rng.choice(methods),
            positions=rng.choice(("all", "-1", "0-1")),
        )  # fmt: skip

    kinds = [draw() for _ in range(250)]
    solo = {e: engine.next_token(e) for e in kinds}
    asked = [kinds[i % len(kinds)] for i in range(2000)]
    rng.shuffle(asked)
    engine.load(directory).store.clear()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(engine.next_token, asked))
    for e, found in zip(asked, together, strict=True):
        for run in ("clean", "ablated"):
            ours, alone = getattr(found, run), getattr(solo[e], run)
            order = np.argsort(ours.ids), np.argsort(alone.ids)
            np.testing.assert_allclose(
                ours.logits[order[0]], alone.logits[order[1]], atol=1e-6, rtol=0
            )
