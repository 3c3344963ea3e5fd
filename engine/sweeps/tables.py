"""A sweep as rows of plain values, as a CSV holds them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

import numpy as np

from ..experiment.sites import Head
from .results import SweepResult

Rows = list[dict[str, object]]


_Cell = tuple[str, int, int | None, tuple[int, ...], int | None]


def sweep_table(sweep: SweepResult, by: str | None = None, most: int | None = None) -> Rows:
    """One row a site (and position, where the sweep has them), layers in order, heads before MLPs;
    or, `by` a metric, those it changes most first, `most` of them.

    Of each metric: its mean over prompts with the site ablated, `*_std` its standard deviation over
    prompts, `*_change` the mean of ablated − baseline; empty where it is not known. `n`: prompts.
    Beside them the clean run's and the baseline's means, and the estimate where there is one.
    """
    rows: Rows = []
    runs = {
        f"{metric}_{name}": _plain(sweep.mean(of, metric))
        for metric in sweep.metrics
        for of, name in (("clean", "clean"), ("given", "baseline"))
    }
    numbers = {
        (of, metric): [getattr(sweep, what)(of, metric) for what in ("mean", "spread", "change")]
        for of in ("heads", "mlps")
        for metric in sweep.metrics
    }
    guesses = {
        of: sweep.shown(of, None, "estimate")
        for of in ("heads", "mlps")
        if sweep.estimate is not None
    }
    cells: Iterable[_Cell] = _cells(sweep)
    if by is not None:
        changes = {of: np.nan_to_num(np.abs(sweep.change(of, by))) for of in ("heads", "mlps")}
        result = list(cells)
        cells = heapq.nlargest(
            len(result) if most is None else most,
            result,
            key=lambda cell: changes[cell[0]][cell[3]],
        )
    for of, layer, head, index, place in cells:
        row: dict[str, object] = {
            "site": f"m{layer}" if head is None else f"{layer}.{head}",
            "layer": layer,
            "kind": "mlp" if head is None else "head",
            "head": "" if head is None else head,
        }
        if place is not None:
            row |= {"position": place, "piece": _piece(sweep, place)}
        for metric in sweep.metrics:
            mean, spread, change = (one[index] for one in numbers[of, metric])
            row[metric] = _plain(mean)
            row[f"{metric}_std"] = _plain(spread)
            row[f"{metric}_change"] = _plain(change)
            row |= {f"{metric}_{name}": runs[f"{metric}_{name}"] for name in ("clean", "baseline")}
        if sweep.estimate is not None:
            row[f"{sweep.estimate.metric}_estimated_change"] = _plain(guesses[of][index])
        row["n"] = len(sweep.pairs)
        rows.append(row)
    return rows


def sweep_prompts_table(sweep: SweepResult) -> Rows:
    """One row a prompt: its texts, and each metric of the clean run and of the baseline."""
    return [
        {
            "prompt": i,
            "text": pair.prompt,
            "corrupted": pair.corrupted,
            "answer": pair.answer,
            "distractor": pair.distractor,
            "wrong_clean": i in sweep.wrong,
            **{
                f"{metric}_{name}": _plain(sweep.values(of, metric)[i])
                for metric in sweep.metrics
                for of, name in (("clean", "clean"), ("given", "baseline"))
            },
        }
        for i, pair in enumerate(sweep.pairs)
    ]


def _cells(sweep: SweepResult) -> Iterator[_Cell]:
    """Every site (and position): "heads" or "mlps", layer, head, index into the numbers, place."""
    places: list[tuple[tuple[int, ...], int | None]] = [((), None)]
    if sweep.positions is not None:
        places = [((k,), place) for k, place in enumerate(sweep.positions)]
    for site in sweep.sites:
        for k, place in places:
            if isinstance(site, Head):
                yield "heads", site.layer, site.head, (*k, site.layer, site.head), place
            else:
                yield "mlps", site.layer, None, (*k, site.layer), place


def _piece(sweep: SweepResult, place: int) -> str:
    return sweep.pieces[place] if place < len(sweep.pieces) else ""


def _plain(value: np.ndarray | float) -> object:
    return float(value) if np.isfinite(value) else ""
