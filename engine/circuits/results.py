"""How good a circuit is: its score kept and removed, what each member adds, and the controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..errors import EngineError
from ..experiment.method import Kind
from ..experiment.sites import Site, print_sites
from ..showing.site_grid import SiteGrid
from ..showing.writing import Rows
from ..tasks.pairs import Pair
from ..tasks.results import PairScores
from .circuit import Circuit
from .controls import Controls
from .evaluation_figures import members_figure, scores_figure
from .references import Whose

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Evaluation:
    """A circuit on a task. Scores are mean logit differences over the pairs, positive is right;
    shares are of the whole model's, 1 being all of it.

    `clean`: nothing ablated. `kept`: the circuit alone. `removed`: all but the circuit. `empty`:
    not even the circuit, all that it names or leaves out being ablated. `members` and `without`:
    each site, and the score of the circuit alone without it, [members]; empty where not asked.
    `adds_std`: how far what a member adds spreads, [members]: the standard deviation over pairs of
    the fall, as a share of the clean mean; None where not known. `controls`: None where none were
    asked for or could be drawn; `notes` say which. `pairs`: those asked. `references`: the prompts
    that averages are over, and `whose` they are: of the pairs the circuit was found on ("circuit"),
    of the pairs asked ("pairs"), or "given"; empty where the method averages over none.
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
    adds_std: Float[np.ndarray, " members"] | None = None
    pairs: tuple[Pair, ...] = ()
    references: tuple[str, ...] = ()
    whose: Whose = ""

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

    def grid(self) -> SiteGrid:
        """`minimality` of each member, on the heads and MLPs of the model."""
        adds = dict(zip(self.members, self.minimality.tolist(), strict=True))
        return SiteGrid.of(self.circuit, adds, "added to the circuit, share of clean", signed=True)

    def figure(self) -> go.Figure:
        """The score of the circuit alone, and of the model without it, over those of its controls.

        The axis is the mean logit difference, positive is right. Dots are controls, one each,
        spread up and down so that all are seen; lines stand at the clean score and where nothing
        is kept.
        """
        runs = ("clean", "kept", "removed", "empty")
        means = {run: _mean(getattr(self, run)) for run in runs}
        return scores_figure(means, self.controls, len(self.clean.logit_diff))

    def members_figure(self, most: int = 60) -> go.Figure:
        """What each member adds to the circuit alone, as a share of the clean score; greatest
        first, those farthest from 0 of more than `most`.

        Raises: EngineError for an evaluation that left the members out.
        """
        if not self.members:
            raise EngineError(
                "The members were not asked about one by one: evaluate with minimality."
            )
        return members_figure(self.members, self.minimality, self.without, _mean(self.clean), most)

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

    def table(self) -> Rows:
        """One row a run: clean, the circuit kept and removed, nothing kept, the circuit without
        each member, each control kept and removed.

        `logit_diff`: mean over `n` pairs, positive is right, `std` its standard deviation over
        pairs; `share`: of the clean one, `share_std` its spread likewise. `sites`: what the run
        keeps or removes, empty for the whole model. `references`: how many prompts averages are
        over, `whose` they are.
        """
        rows: Rows = []

        def add(run: str, of: str, sites: Sequence[Site], score: float, std: float | None) -> None:
            controls = self.controls if of == "control" else None
            rows.append(
                {
                    "run": run,
                    "of": of,
                    "sites": print_sites(sites),
                    "logit_diff": score,
                    "share": self.share(score),
                    "std": "" if std is None else std,
                    "share_std": "" if std is None else self.share(std),
                    "n": len(self.clean.logit_diff),
                    "method": str(self.circuit.method),
                    "references": len(self.references),
                    "whose": self.whose,
                    "seed": "" if controls is None else controls.seed,
                    "layer_matched": "" if controls is None else controls.layer_matched,
                }
            )

        own = self.circuit.sites
        for run, of, sites in (
            ("clean", "model", ()),
            ("kept", "circuit", own),
            ("removed", "circuit", own),
            ("empty", "model", ()),
        ):
            diffs = getattr(self, run).logit_diff
            add(run, of, sites, float(diffs.mean()), float(diffs.std()))
        for member, score in zip(self.members, self.without.tolist(), strict=True):
            add("kept", f"circuit without {member}", [s for s in own if s != member], score, None)
        if self.controls is not None:
            for run in ("kept", "removed"):
                stds = getattr(self.controls, f"{run}_std")
                for i, sites in enumerate(self.controls.sites):
                    std = None if stds is None else float(stds[i])
                    add(run, "control", sites, float(getattr(self.controls, run)[i]), std)
        return rows

    def members_table(self) -> Rows:
        """One row a member, those that add most first: the score of the circuit alone without
        it, and what it adds, as a share of the clean score, with its standard deviation over the
        `n` pairs."""
        adds, stds = self.minimality, self.adds_std
        return [
            {
                "site": str(self.members[i]),
                "without_it": float(self.without[i]),
                "adds": float(adds[i]),
                "adds_std": "" if stds is None else float(stds[i]),
                "n": len(self.clean.logit_diff),
            }
            for i in np.argsort(-adds, kind="stable")
        ]

    def share(self, score: float) -> float:
        """A score as a share of the clean one; negative where answers and distractors swap."""
        return score / _mean(self.clean)

    def spread(self, scores: PairScores) -> float | None:
        """How far a run's share spreads: the standard deviation of its scores over pairs, as a
        share of the clean mean; None of one pair."""
        if len(scores.logit_diff) < 2:
            return None
        return self.share(float(scores.logit_diff.std()))

    @property
    def conditions(self) -> str:
        """Which pairs were asked, and where what stands in for all that is ablated comes from."""
        n, method = len(self.clean.logit_diff), self.circuit.method
        sentence = f"{n} pair{'' if n == 1 else 's'} of “{self.task}”; ablated by {method}"
        if self.whose:
            n = len(self.references)
            sentence += f", averages over {n} {_WHOSE[self.whose].format(s='' if n == 1 else 's')}"
        elif method.kind is Kind.RESAMPLE:
            sentence += ", from each pair's corrupted prompt"
        return sentence


_WHOSE: dict[Whose, str] = {
    "circuit": "corrupted prompt{s} of the pairs the circuit was found on",
    "pairs": "corrupted prompt{s} of these pairs",
    "given": "reference prompt{s} of others",
}


def _mean(scores: PairScores) -> float:
    mean = scores.mean_logit_diff
    assert mean is not None  # an evaluation is only made where all pairs have one
    return mean
