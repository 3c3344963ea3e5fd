"""`make models`: train both bundled models at once, a core each, then write their cards."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from engine.model.checkpoints import BUNDLED
from training.train import STEPS, train


def main(names: list[str]) -> None:
    """Train the models named (both by default) and describe them."""
    BUNDLED.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(len(names), mp_context=get_context("spawn")) as pool:
        done = [(name, pool.submit(train, name, BUNDLED / name)) for name in names]
        for name, future in done:
            print(f"\n{name}: {future.result()}")
    from training.card import write_card

    for name in names:
        write_card(BUNDLED / name)


if __name__ == "__main__":
    main(sys.argv[1:] or list(STEPS))
