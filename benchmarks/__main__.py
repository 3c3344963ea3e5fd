"""`python -m benchmarks` runs them all; `python -m benchmarks toggle` one of them."""

import sys

from benchmarks import attention, click, start, toggle

EACH = {
    "toggle": toggle.measure,
    "attention": attention.measure,
    "click": click.measure,
    "start": start.measure,
}

for name in sys.argv[1:] or EACH:
    print(f"── {name}", flush=True)
    EACH[name]()
