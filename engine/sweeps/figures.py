"""What a sweep's figures say: the name and sense of its numbers, and each site's at a pointer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..experiment.sites import Site
from ..scoring.metrics import LESS_IS_BETTER, METRIC_NAMES
from ..showing.site_grid import SiteGrid

ASPECTS = {
    "change": "ablated − baseline",
    "mean": "mean over prompts",
    "spread": "standard deviation over prompts",
    "estimate": "estimated change",
}
"""What of a metric can be looked at."""


def sense(metric: str, show: str) -> tuple[str, bool, bool, bool]:
    """What numbers are called, whether they have two signs, whether less is better, and whether the
    site with the least is the one that matters most: of a mean, where ablating it is to the
    answer's harm."""
    signed, less_is_better = show in ("change", "estimate"), metric in LESS_IS_BETTER
    name = f"{METRIC_NAMES[metric]}\n{ASPECTS[show]}"
    return name, signed, signed and less_is_better, show == "mean" and not less_is_better


def site_texts(
    sites: Sequence[Site],
    metric: str,
    grids: Mapping[str, SiteGrid],
    runs: Mapping[str, float],
    n: int,
) -> dict[Site, str]:
    """What a pointer over each site reads: `grids` by aspect, the estimate where there is one, and
    what the `runs` without it come to over `n` prompts, the clean one where it is another."""
    texts: dict[Site, str] = {}
    for site in sites:
        at = {show: grid[site] for show, grid in grids.items()}
        lines = [
            f"<b>{site}</b> ablated: {METRIC_NAMES[metric]} {at['mean']:.3f} ± {at['spread']:.3f} "
            f"over {n} prompts",
            f"baseline {runs['baseline']:.3f}, change {at['change']:+.3f}",
        ]
        if "clean" in runs:
            lines.append(f"clean {runs['clean']:.3f}")
        if "estimate" in at:
            lines.append(f"estimated change {at['estimate']:+.3f}")
        texts[site] = "<br>".join(lines)
    return texts
