"""Figures from timings: medians, percentiles and ratios, as these are what is quoted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def both(work: Callable[[], object]) -> tuple[float, float]:
    """How long a call takes: by the clock, and of the processor's cores together."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def percentile(values: Sequence[float], p: float) -> float:
    """The value below which p percent of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(p / 100 * (len(ordered) - 1)))]


def told(name: str, values: Sequence[float]) -> str:
    """A line with median, 95th percentile and n, in milliseconds."""
    ms = [1000 * v for v in values]
    return (
        f"{name:<46} median {percentile(ms, 50):8.1f} ms   p95 {percentile(ms, 95):8.1f} ms"
        f"   n {len(ms)}"
    )
