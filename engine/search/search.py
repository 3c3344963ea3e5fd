"""A search for a circuit as a value: of which model and task, by which rule, and what it tries."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

from ..errors import ExperimentError
from ..experiment.method import AsMethod, Kind, Method, parse_ablation
from ..experiment.numbers import number
from ..experiment.parsed import Parsed, field
from ..experiment.sites import Site
from ..gradients.asked import steps_of
from ..tasks.pairs import AsPairs, Task, as_task

STRATEGIES = {
    "pruning": "Iterative pruning: each node is removed in turn unless the score falls too far, "
    "layer by layer, backward and forward, until a whole walk removes nothing",
    "greedy": "Greedy: of all nodes left, the one whose removal costs least goes, then all are "
    "tried again, until the cheapest costs too much",
    "gradient": "Gradient-ranked: nodes are tried once, those of the least estimated effect "
    "(attribution patching) first",
    "nap-ig": "NAP-IG: nodes are ranked by their score by integrated gradients, up or down, and of "
    "the first the fewest are kept with which the score holds, found by halving",
    "eap-ig": "EAP-IG: edges are taken in the order of their score by integrated gradients, up or "
    "down, nodes ranked by when that joins them to the input and the logits, and of the first the "
    "fewest kept with which the score holds, found by halving",
}
"""How a search chooses what to try next."""
BY_GRADIENTS = ("nap-ig", "eap-ig")
"""The strategies that try how many of the nodes they rank stay, and no node alone."""
SEARCH_METRICS = {
    "logit_diff": "share of the clean logit difference, mean over pairs, that is lost",
    "prob": "share of the answers' clean probability, mean over pairs, that is lost",
    "accuracy": "share of the clean accuracy that is lost",
    "kl": "divergence from the clean run, KL(clean ‖ what is left) in nats, mean over pairs",
}
"""What may not reach the threshold."""
DIRECTIONS = ("backward", "forward")


@dataclass(frozen=True)
class Node:
    """A head or MLP that can be removed; at one token position alone where `position` is given."""

    site: Site
    position: int | None = None

    def __str__(self) -> str:
        return str(self.site) if self.position is None else f"{self.site}@{self.position}"


@dataclass(frozen=True)
class Search:
    """What is searched for a circuit: a model, a task, and the rule by which nodes go.

    `by`: one of STRATEGIES. A node goes where `metric` (one of SEARCH_METRICS) then is below
    `threshold`, everything that has gone being ablated by `method`; averages are over the task's
    corrupted prompts. `direction`: of the first walk. `mlps`: whether MLPs are nodes too; else all
    are kept. `per_position`: whether a node is a head or MLP at one position. `steps`: of the
    integrated gradients, where nodes are ranked by them.
    Raises: ExperimentError for a field that cannot be used.
    """

    model: str
    task: Parsed[Task, AsPairs] = field()
    by: str = "pruning"
    threshold: float = 0.2
    metric: str = "logit_diff"
    method: Parsed[Method, AsMethod] = field(default_factory=lambda: Method(Kind.MEAN_BY_POSITION))
    direction: str = "backward"
    mlps: bool = True
    per_position: bool = False
    steps: int = 5

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", parse_ablation(self.method))
        object.__setattr__(self, "task", as_task(self.task, self.model))
        object.__setattr__(self, "threshold", number(self.threshold, "The threshold"))
        for name, known in (
            ("by", STRATEGIES),
            ("metric", SEARCH_METRICS),
            ("direction", DIRECTIONS),
        ):
            if getattr(self, name) not in known:
                raise ExperimentError(
                    f"A search has no {name} “{str(getattr(self, name))[:40]}”; there are "
                    f"{', '.join(known)}."
                )
        object.__setattr__(self, "steps", steps_of(self.steps))
        if self.per_position and self.by in BY_GRADIENTS:
            raise ExperimentError(
                f"A search by {self.by} ranks heads and MLPs over all positions together, so none "
                "can be removed at one position alone: search position by position otherwise."
            )
        most = float("inf") if self.metric == "kl" else 1.0
        if not 0 < self.threshold < most:
            raise ExperimentError(
                f"The threshold is {self.threshold}; it lies above 0"
                + (
                    " (nats)."
                    if self.metric == "kl"
                    else " and below 1: the share of the score that may be lost."
                )
            )

    def loss(self, score: float, clean: float) -> float:
        """What is compared with the threshold: nats of divergence, or the share of the clean score
        that is lost (0: nothing, 1: all, above: the distractor wins)."""
        return score if self.metric == "kl" else 1 - score / clean

    def to_json(self) -> str:
        """JSON text, the same for equal searches: a saved search is known by it. Steps, and the
        task's style, are only written where they are others than by themselves."""
        plain = asdict(replace(self, method=Method())) | {"method": str(self.method)}
        if self.steps == Search.steps:
            del plain["steps"]
        if self.task.style == Task.style:
            del plain["task"]["style"]
        return json.dumps(plain, sort_keys=True)

    @property
    def digest(self) -> str:
        """A short name that no other search has."""
        return sha256(self.to_json().encode("utf-8", "surrogatepass")).hexdigest()[:20]


@dataclass(frozen=True)
class Trial:
    """One node tried: `score`, of the metric, of what was left without it; whether it went.

    `left`: how many nodes were left where it was tried together with all that are ranked below it;
    None where it was tried alone.
    """

    node: Node
    score: float
    removed: bool
    left: int | None = None
