"""What a search walks over: its nodes, the order a gradient gives them, what must hold first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..attribution.estimate import estimated
from ..errors import ExperimentError
from ..experiment.method import prompt_only
from ..experiment.sites import Head, Shape, Site
from ..model.model import Model
from ..model.worker import Steps
from ..passes.pace import Pace
from ..scoring.prompts import Prompt
from .pruned_run import nbytes, together
from .search import Node, Search

MOST_BYTES = 2 * 2**30
"""Residual streams that a search may keep."""


def check_prompts(model: Model, search: Search, prompts: Sequence[Prompt]) -> None:
    """Refuse prompts that cannot be held or scored. Raises: ExperimentError."""
    held = nbytes(model, prompts)
    if held > MOST_BYTES:
        raise ExperimentError(
            f"The runs of {len(prompts):,} prompts would hold {held / 2**30:.1f} GiB, and a search "
            f"holds at most {MOST_BYTES / 2**30:.0f}; take fewer or shorter pairs."
        )
    if search.metric != "logit_diff":
        return
    for i, prompt in enumerate(prompts):
        if prompt.target.distractor is None:
            raise ExperimentError(
                f"Pair {i + 1} of “{search.task.name[:60]}” has no logit difference: it needs an "
                "answer and a distractor that a token tells apart. Or search by another metric."
            )


def check_clean(search: Search, clean: float) -> None:
    """Refuse a task that the whole model does not do. Raises: ExperimentError."""
    if search.metric != "kl" and not clean > 0:
        what = {"logit_diff": "mean logit difference", "prob": "mean probability"}
        raise ExperimentError(
            f"The whole model does not do “{search.task.name[:60]}”: its "
            f"{what.get(search.metric, search.metric)} is {clean:.2f}, so nothing is a share of "
            "it. Leave out the pairs it gets wrong, or choose another task."
        )


def nodes_of(shape: Shape, search: Search, prompts: Sequence[Prompt]) -> list[Node]:
    """Every node, in the order of the layers, heads before the MLP, positions in order."""
    positions: Sequence[int | None] = prompts[0].positions if search.per_position else (None,)
    sites: list[Site] = []
    for layer in range(shape.n_layers):
        sites += [head for head in shape.heads if head.layer == layer]
        sites += [mlp for mlp in shape.mlps if search.mlps and mlp.layer == layer]
    return [Node(site, position) for site in sites for position in positions]


def ranked_nodes(
    model: Model, pace: Pace, search: Search, prompts: Sequence[Prompt], nodes: Sequence[Node]
) -> Steps[list[Node]]:
    """The nodes, those of the least estimated effect first: mean over prompts, without its sign."""
    metric = "logit_diff" if search.metric == "logit_diff" else "log_prob"
    heads, mlps = [], []
    for group in together(model, prompts):
        of_heads, of_mlps = yield from estimated(model, pace, group, metric)
        heads.append(of_heads)
        mlps.append(of_mlps)
    if search.per_position:
        whole = np.concatenate(heads).mean(0), np.concatenate(mlps).mean(0)
    else:
        whole = tuple(
            np.concatenate([one.sum(1) for one in some]).mean(0) for some in (heads, mlps)
        )
    places = list(prompts[0].positions)

    def effect(node: Node) -> float:
        at = () if node.position is None else (places.index(node.position),)
        match node.site:
            case Head(layer, head):
                return abs(float(whole[0][(*at, layer, head)]))
            case site:
                return abs(float(whole[1][(*at, site.layer)]))

    return sorted(nodes, key=effect)


def notes_of(search: Search, prompts: Sequence[Prompt]) -> tuple[str, ...]:
    """What a reader must know of the pairs and of what the method reaches."""
    notes = dict.fromkeys(search.task.notes)
    for prompt in prompts:
        notes.update(dict.fromkeys(prompt.target.notes))
    longer = any(len(prompt.target.places) > 1 for prompt in prompts)
    if longer:
        notes.update(dict.fromkeys(prompt_only([search.method], "after it")))
    return tuple(notes)
