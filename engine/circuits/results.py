"""How good a circuit is: its score kept and removed, what each member adds, and the controls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..experiment.sites import Site
from ..tasks.results import PairScores
from .circuit import Circuit


@dataclass(frozen=True)
class Controls:
    """Random circuits, without overlap with the one they control for, put to the same tests.

    `sites`: of each. `kept`, `removed`: their mean logit differences, [controls]. `seed` and
    `layer_matched`: how they were drawn. `same_mlps`: whether the MLPs are the circuit's own, there
    being too few others, so that only heads differ.
    """

    sites: tuple[tuple[Site, ...], ...]
    kept: Float[np.ndarray, " controls"]
    removed: Float[np.ndarray, " controls"]
    seed: int
    layer_matched: bool
    same_mlps: bool


@dataclass(frozen=True)
class Evaluation:
    """A circuit on a task. Scores are mean logit differences over the pairs, positive is right;
    shares are of the whole model's, 1 being all of it.

    `clean`: nothing ablated. `kept`: the circuit alone. `removed`: all but the circuit. `empty`:
    not even the circuit, all that it names or leaves out being ablated. `members` and `without`:
    each site, and the score of the circuit alone without it, [members]; empty where not asked.
    `controls`: None where none were asked for or could be drawn; `notes` say which.
    """

    circuit: Circuit
    task: str
    model: str
    clean: PairScores
    kept: PairScores
    removed: PairScores
    empty: PairScores
    members: tuple[Site, ...]
    without: Float[np.ndarray, " members"]
    controls: Controls | None
    notes: tuple[str, ...] = ()

    @property
    def faithfulness(self) -> float:
        """The share of the clean score that the circuit alone has; 1 is a faithful circuit."""
        return self.share(_mean(self.kept))

    @property
    def completeness(self) -> float:
        """The share of the clean score that is left without the circuit; 0 is a complete one."""
        return self.share(_mean(self.removed))

    @property
    def minimality(self) -> Float[np.ndarray, " members"]:
        """What each member adds to the circuit alone, as a share of the clean score: the fall when
        it is removed too. Near 0, or below, it is not needed."""
        return (_mean(self.kept) - self.without) / _mean(self.clean)

    @property
    def kept_beats(self) -> float | None:
        """The share of controls that keep less of the score than the circuit; None without any."""
        if self.controls is None:
            return None
        return float((self.controls.kept < _mean(self.kept)).mean())

    @property
    def removed_beats(self) -> float | None:
        """The share of controls whose removal leaves more of the score; None without any."""
        if self.controls is None:
            return None
        return float((self.controls.removed > _mean(self.removed)).mean())

    def share(self, score: float) -> float:
        """A score as a share of the clean one; negative where answers and distractors swap."""
        return score / _mean(self.clean)


def _mean(scores: PairScores) -> float:
    mean = scores.mean_logit_diff
    assert mean is not None  # an evaluation is only made where all pairs have one
    return mean
