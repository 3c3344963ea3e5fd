"""`python -m engine.model smollm2-135m`: have a model on this machine, and say how it goes."""

from __future__ import annotations

import sys

from ..errors import EngineError
from . import catalogue
from .checkpoints import find_checkpoint


def main(names: list[str]) -> int:
    """Have models on this machine by their names. Returns: 0 where all of them are."""
    if not names:
        there_is = ", ".join(e.name for e in catalogue.CATALOGUE)
        sys.stderr.write(f"Which model? There is {there_is}.\n")
        return 2
    for name in names:
        try:
            result = find_checkpoint(name, tell=_tell)
        except EngineError as wrong:
            sys.stderr.write(f"\n{wrong}\n")
            return 1
        sys.stdout.write(f"\r{result.name}: {result.about} ({result.place})\n")
    return 0


def _tell(share: float, doing: str) -> None:
    sys.stderr.write(f"\r{100 * share:3.0f}%  {doing:60.60}")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
