"""`python -m benchmarks` runs them all; `python -m benchmarks toggle` one of them."""

import sys

from benchmarks import (
    attention,
    busy,
    certificate,
    click,
    generation,
    lens,
    pruning,
    smollm2,
    start,
    sweep,
    toggle,
)

EACH = {
    "toggle": toggle.measure,
    "lens": lens.measure,
    "attention": attention.measure,
    "generation": generation.measure,
    "sweep": sweep.measure,
    "smollm2": smollm2.measure,
    "certificate": certificate.measure,
    "pruning": pruning.measure,
    "click": click.measure,
    "busy": busy.measure,
    "start": start.measure,
}

for name in sys.argv[1:] or EACH:
    print(f"── {name}", flush=True)
    EACH[name]()
