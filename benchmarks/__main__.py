"""`python -m benchmarks` runs them all, `python -m benchmarks toggle` one of them; what each
printed takes its place in docs/measured.md."""

from __future__ import annotations

import io
import os
import platform
import sys
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

import torch

from benchmarks import (
    attention,
    attribution,
    busy,
    certificate,
    click,
    closed,
    curves,
    features,
    generation,
    gradients,
    lens,
    patching,
    pruning,
    remaining,
    roles,
    saelens,
    smollm2,
    start,
    steering,
    sweep,
    toggle,
)

EACH = {
    "toggle": toggle.measure,
    "smollm2": smollm2.measure,
    "certificate": certificate.measure,
    "lens": lens.measure,
    "attention": attention.measure,
    "attribution": attribution.measure,
    "generation": generation.measure,
    "sweep": sweep.measure,
    "patching": patching.measure,
    "steering": steering.measure,
    "gradients": gradients.measure,
    "pruning": pruning.measure,
    "curves": curves.measure,
    "features": features.measure,
    "saelens": saelens.measure,
    "remaining": remaining.measure,
    "roles": roles.measure,
    "click": click.measure,
    "busy": busy.measure,
    "closed": closed.measure,
    "start": start.measure,
}
_PART = "    ── "
PAGE = Path(__file__).resolve().parents[1] / "docs" / "measured.md"
_HEAD = """# Measured

Each claim of speed, measured beside its rival in the same run: what `make bench` printed, or
`python -m benchmarks NAME` for one of them, which write this page. Machines are noisy, so what is
claimed are ratios. Weights are random where a model's shape is named: speed does not depend on
them. nnsight, EAP-IG and SAELens run in environments of their own (`make rivals`).

On a processor, linear layers go by oneDNN instead of torch's own choice, and gated MLPs, RMS norms
and written-out GELUs in one step (`engine/model/kernels.py`, `fusing.py`): the same formulas,
faster; the rows of a sweep are shared out to the cores. A rival that loads a model has none of it.
One row alone (a toggle, a first look) has it in the unembedding only, and else goes as its family
wrote it: where a model lets the last digit grow it stays nearer to plain hooks so. Of 128 places
of SmolLM2 zeroed or scaled by 0.3, many of them in its first layers, 2 are more than 6e-5 off
these, by the faster kernels 7; the hooks' own runs are up to 7e-4 off what they give in double
precision. A toggle at GPT-2-small's shape takes 1.15 to 1.22 times as long for it.

"""


class _Both(io.TextIOBase):
    """Text that is printed and kept."""

    def __init__(self, screen: TextIO) -> None:
        self._screen = screen
        self.kept: list[str] = []

    def write(self, text: str) -> int:
        self.kept.append(text)
        return self._screen.write(text)

    def flush(self) -> None:
        self._screen.flush()


def _machine() -> str:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{os.cpu_count()} cores, {gpu}, {platform.system()}, Python {platform.python_version()}, "
        f"torch {version('torch')}, transformers {version('transformers')}."
    )


def _written() -> dict[str, list[str]]:
    """What stands on the page of each claim."""
    result: dict[str, list[str]] = {}
    for line in PAGE.read_text("utf-8").splitlines() if PAGE.is_file() else ():
        if line.startswith(_PART):
            result[line.removeprefix(_PART)] = [line]
        elif result:
            result[[*result][-1]].append(line)
    return result


told = _written()
for name in sys.argv[1:] or EACH:
    both = _Both(sys.stdout)
    with redirect_stdout(both):
        print(f"── {name}", flush=True)
        EACH[name]()
    told[name] = [f"    {line}".rstrip() for line in "".join(both.kept).splitlines()]
    lines = [line for name in EACH for line in told.get(name, ())]
    PAGE.write_text(f"{_HEAD}{_machine()}\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
