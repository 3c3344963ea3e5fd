"""What is known of a direction added at layers and coefficients: its effect, its damage, and both
of random directions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..errors import ExperimentError
from ..experiment.change import Change
from ..experiment.experiment import Experiment
from ..experiment.method import Kind, Method
from ..experiment.results import Snapshot
from ..experiment.sites import Stream
from ..scoring.metrics import METRIC_NAMES, STORED
from ..showing.writing import Rows
from ..sweeps.estimates import mean_of
from ..tasks.pairs import Pair
from .figures import curve_figure, map_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

STEERING_ASPECTS = {
    "change": "change of the wanted answer's score, steered − clean",
    "score": "score of the wanted answer",
    "moved": "share of prompts whose wanted answer passes the distractor",
    "first": "share of prompts whose wanted answer comes first",
    "kl": "KL(clean ‖ steered) on neutral text, nats a token",
    "perplexity": "perplexity of neutral text",
    "spared": "accuracy on tasks to be left alone",
}
"""What is told of a layer and a coefficient: the effect, then the damage. Of an answer of several
tokens, that one passes or comes first which tells it from the distractor; without a distractor
nothing is passed."""


@dataclass(frozen=True)
class SteeringResult(Snapshot):
    """A direction added at layers × coefficients, as far as it is done.

    `experiment`, `name`, `pairs`: what was asked; of each pair the answer is what steering should
    bring. `coefficients`: 0 among them, which is the clean run. The first of the directions is the
    one asked about, the others are random and as long, drawn by `seed`.
    `numbers` [metric direction prompt layer coefficient], in the order of `metrics.STORED`, over
    the pairs and then those `spared`; `neutral` [measure direction text layer coefficient]: the
    sums over a text's predicted tokens of KL(clean ‖ steered) and of −ln p(token), in nats;
    `n_tokens`: how many these are. NaN where not done yet. `norm`: the direction's L2 norm;
    `token_norms`: those of what enters each layer at the prompts' own tokens, NaN at a BOS.
    `progress`: 0 to 1. `seconds`, and `seconds_left` if it goes on like this.

    The score is the logit difference, answer − distractor, or where no pair has one the answer's
    log-probability: its change is above 0 where steering brings the answer nearer. An effect that
    random directions have too is none of the direction's; one that costs the text is dear.
    """

    experiment: Experiment
    name: str
    pairs: tuple[Pair, ...]
    spared: tuple[Pair, ...]
    layers: tuple[int, ...]
    coefficients: tuple[float, ...]
    seed: int
    numbers: Float[np.ndarray, "metric direction prompt layer coefficient"]
    neutral: Float[np.ndarray, "measure direction text layer coefficient"]
    n_tokens: tuple[int, ...]
    norm: float
    token_norms: Float[np.ndarray, "pair layer token"]
    notes: tuple[str, ...]
    seconds: float
    seconds_left: float | None

    @property
    def metric(self) -> str:
        """What the score is: "logit_diff", or "log_prob" where no pair has a logit difference."""
        known = np.isfinite(self.numbers[:, 0, : len(self.pairs)])
        return "logit_diff" if known[0].any() or not known.any() else "log_prob"

    @property
    def stream_norms(self) -> Float[np.ndarray, " layer"]:
        """The median norm of what enters each layer, over the prompts' tokens but a BOS, of two in
        the middle the smaller; NaN while none is known."""
        known = self.token_norms.swapaxes(0, 1).reshape(len(self.layers), -1)
        known = known[:, np.isfinite(known).any(0)]
        if not known.size:
            return np.full(len(self.layers), np.nan)
        result: np.ndarray = np.nanquantile(known, 0.5, axis=1, method="inverted_cdf")
        return result

    @property
    def n_draws(self) -> int:
        """How many random directions there are."""
        return self.numbers.shape[1] - 1

    def of(self, aspect: str) -> Float[np.ndarray, "direction layer coefficient"]:
        """What STEERING_ASPECTS names of each direction, over the prompts or texts that are done.

        Raises: ExperimentError for another name.
        """
        match aspect:
            case "change":
                return mean_of(self._changes)
            case "score":
                return mean_of(self._scores)
            case "moved":
                diff = self.numbers[STORED.index("logit_diff")][:, : len(self.pairs)]
                return mean_of(np.where(np.isfinite(diff), diff > 0, np.nan).swapaxes(0, 1))
            case "first":
                return mean_of(self._first[:, : len(self.pairs)].swapaxes(0, 1))
            case "spared":
                return mean_of(self._first[:, len(self.pairs) :].swapaxes(0, 1))
            case "kl":
                return self._per_token(0)
            case "perplexity":
                with np.errstate(over="ignore"):
                    return np.exp(self._per_token(1))
        raise ExperimentError(f"Steering has no “{aspect!s:.40}”: {', '.join(STEERING_ASPECTS)}.")

    def shown(self, aspect: str) -> Float[np.ndarray, "layer coefficient"]:
        """The same of the direction asked about."""
        return self.of(aspect)[0]

    @property
    def spread(self) -> Float[np.ndarray, "layer coefficient"]:
        """The standard deviation over prompts of the change of the score."""
        changes = self._changes[:, 0]
        return np.sqrt(mean_of((changes - mean_of(changes)) ** 2))

    @property
    def beats(self) -> Float[np.ndarray, "layer coefficient"]:
        """The share of the random directions whose change is smaller; NaN while not all are known.
        Of fewer than 19 the best of all is chance more often than once in twenty times."""
        change = self.of("change")
        known = np.isfinite(change).all(0)
        return np.where(known, (change[:1] > change[1:]).mean(0), np.nan)

    def clean(self, aspect: str) -> float:
        """What STEERING_ASPECTS names of the clean run."""
        return float(self.shown(aspect)[0, self.coefficients.index(0.0)])

    @property
    def _scores(self) -> np.ndarray:
        """[prompt direction layer coefficient] of the pairs."""
        own = self.numbers[STORED.index(self.metric)][:, : len(self.pairs)]
        return own.swapaxes(0, 1)

    @property
    def _changes(self) -> np.ndarray:
        zero = self.coefficients.index(0.0)
        return self._scores - self._scores[..., zero : zero + 1]

    @property
    def _first(self) -> np.ndarray:
        rank = self.numbers[STORED.index("rank")]
        return np.where(np.isfinite(rank), rank == 1, np.nan)

    def _per_token(self, measure: int) -> np.ndarray:
        sums = self.neutral[measure]
        known = np.isfinite(sums)
        n = (known * np.array(self.n_tokens)[:, None, None]).sum(1)
        return np.where(n > 0, np.where(known, sums, 0).sum(1) / np.maximum(n, 1), np.nan)

    def best(self, most_kl: float) -> tuple[int, float] | None:
        """The layer and coefficient with the greatest change of the score, above 0, of those whose
        KL on neutral text is at most that; None where there is none."""
        change, kl = self.shown("change"), self.shown("kl")
        good = np.where((kl <= most_kl) & (change > 0), change, -np.inf)
        if not good.size or not np.isfinite(good.max()):
            return None
        i, j = np.unravel_index(int(good.argmax()), good.shape)
        return self.layers[i], self.coefficients[j]

    def change_of(self, layer: int, coefficient: float) -> Change:
        """This addition as a change of an experiment that has the direction."""
        method = Method(Kind.ADD, coefficient, self.name)
        return Change(Stream(layer), method, self.experiment.positions)

    def figure(self, most_kl: float | None = None) -> go.Figure:
        """Layers down, coefficients across: the change of the score left (blue: the wanted answer
        gains), KL on neutral text right; below, the mean of the random directions. The best within
        `most_kl` is framed."""
        best = None if most_kl is None else self.best(most_kl)
        at = best and (self.layers.index(best[0]), self.coefficients.index(best[1]))
        values = {aspect: self.of(aspect) for aspect in STEERING_ASPECTS}
        return map_figure(
            values["change"], values["kl"], self.layers, self.coefficients,
            (self.name, self.unit, "KL on neutral text, nats a token"),
            partial(self._told, values), at,
        )  # fmt: skip

    def layer_figure(self, layer: int, most_kl: float | None = None) -> go.Figure:
        """Of one layer, coefficients across: the change of the score and the KL on neutral text,
        each with the band of the random directions. Raises: ExperimentError for another layer."""
        if layer not in self.layers:
            raise ExperimentError(f"Layer {layer} was not steered; layers {self.layers} were.")
        i = self.layers.index(layer)
        names = (self.name, self.unit, "KL, nats a token")
        return curve_figure(
            self.coefficients, self.of("change")[:, i], self.of("kl")[:, i], names, most_kl
        )

    @property
    def unit(self) -> str:
        """What the change of the score is called, with its sign."""
        return f"change of {METRIC_NAMES[self.metric]}"

    def _told(self, of: dict[str, np.ndarray], layer: int, column: int, row: int) -> str:
        who = self.name if row == 0 else f"{self.n_draws} random directions"
        parts = [f"<b>add({who}, {self.coefficients[column]:g}) r{self.layers[layer]}</b>"]
        for aspect in ("change", "moved", "first", "kl", "perplexity", "spared"):
            values = of[aspect][:, layer, column]
            if row == 0:
                parts.append(f"{STEERING_ASPECTS[aspect]}: {values[0]:.3g}")
            elif np.isfinite(values[1:]).any():
                low, high = np.nanmin(values[1:]), np.nanmax(values[1:])
                parts.append(f"{STEERING_ASPECTS[aspect]}: {low:.3g} to {high:.3g}")
        return "<br>".join(parts)

    def table(self) -> Rows:
        """A row for each layer and coefficient.

        `stream_share`: what is added is so long beside what enters the layer. `clean`, `steered`,
        `change`, `spread`: of the score, over `n` prompts. `moved`, `first`, `kl`, `perplexity`,
        `spared` and their clean values, as STEERING_ASPECTS has them. `random_…`: mean, least and
        greatest of the random directions, `draws` of them; `beats`: the share whose change is
        smaller.
        """
        values = {aspect: self.of(aspect) for aspect in STEERING_ASPECTS}
        spread, beats = self.spread, self.beats
        clean = {a: self.clean(a) for a in ("score", "moved", "first", "perplexity", "spared")}
        rows: Rows = []
        for i, layer in enumerate(self.layers):
            for j, coefficient in enumerate(self.coefficients):
                own = {aspect: float(each[0, i, j]) for aspect, each in values.items()}
                row: dict[str, object] = {
                    "layer": layer,
                    "coefficient": coefficient,
                    "stream_share": float(abs(coefficient) * self.norm / self.stream_norms[i]),
                    "n": len(self.pairs),
                    "metric": self.metric,
                    "clean": clean["score"],
                    "steered": own["score"],
                    "change": own["change"],
                    "spread": float(spread[i, j]),
                    "clean_moved": clean["moved"],
                    "moved": own["moved"],
                    "clean_first": clean["first"],
                    "first": own["first"],
                    "kl": own["kl"],
                    "clean_perplexity": clean["perplexity"],
                    "perplexity": own["perplexity"],
                    "clean_spared": clean["spared"],
                    "spared": own["spared"],
                }
                for aspect in ("change", "kl"):
                    drawn = values[aspect][1:, i, j]
                    for word, value in (
                        ("mean", drawn.mean()), ("least", drawn.min()), ("greatest", drawn.max())
                    ):  # fmt: skip
                        row[f"random_{aspect}_{word}"] = float(value)
                row |= {"draws": self.n_draws, "beats": float(beats[i, j])}
                rows.append(row)
        return rows
