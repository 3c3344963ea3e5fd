"""What is known of neurons that belong to sets of prompts: who they are, and what they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from ..experiment.question import Question
from ..experiment.results import Snapshot
from ..experiment.sites import Neuron
from ..showing.charts import BARE
from ..showing.heatmap import cell_heatmap, colour_bar, colours
from ..showing.writing import Rows, signed

if TYPE_CHECKING:
    import plotly.graph_objects as go

_DONE = {"silence": "silenced", "force": "forced"}


@dataclass(frozen=True)
class LanguageNeurons(Snapshot):
    """Neurons selective between sets of prompts, found on half of each and measured on the other.

    `neurons`: each set's own, the most selective first. `probability` [set layer neuron]: the share
    of the set's tokens at which it is above 0. `entropy` [layer neuron]: over sets, nats, 0: in one
    alone. `precision` [set layer neuron]: average precision, 0 to 1. `clean` [measured], `losses`
    [changed measured], `controls` [draw changed measured]: mean loss of the texts, nats per token,
    with nothing changed, with the neurons of a set silenced or forced, and with as many random ones
    of the same layers; NaN where not known yet.
    """

    asked: Question[Any, Any]
    names: tuple[str, ...]
    by: str
    does: str
    layers: tuple[int, ...]
    neurons: tuple[tuple[Neuron, ...], ...]
    probability: Float[np.ndarray, "set layer neuron"]
    entropy: Float[np.ndarray, "layer neuron"]
    precision: Float[np.ndarray, "set layer neuron"]
    n_found_on: tuple[int, ...]
    n_measured_on: tuple[int, ...]
    clean: Float[np.ndarray, " measured"]
    losses: Float[np.ndarray, "changed measured"]
    controls: Float[np.ndarray, "draw changed measured"]
    notes: tuple[str, ...]
    seconds_left: float | None

    @property
    def perplexity(self) -> Float[np.ndarray, "changed measured"]:
        """exp(loss) of each set measured, with the neurons of each set changed; from 1."""
        return np.exp(self.losses)

    @property
    def change(self) -> Float[np.ndarray, "changed measured"]:
        """loss − clean loss, nats per token; above 0: the text is predicted worse."""
        return self.losses - self.clean

    @property
    def control_change(self) -> Float[np.ndarray, "draw changed measured"]:
        """The same of the random neurons."""
        return self.controls - self.clean

    @property
    def own_more(self) -> Float[np.ndarray, " changed"]:
        """How much more the change is on a set's own texts than, on average, on the others', nats
        per token; about 0 for neurons that belong to no set."""
        return _own_more(self.change)

    @property
    def control_own_more(self) -> Float[np.ndarray, "draw changed"]:
        """The same of each draw of random neurons."""
        return _own_more(self.control_change)

    @property
    def beats_controls(self) -> Bool[np.ndarray, " changed"]:
        """Whether `own_more` is above that of every draw, and above their mean by three standard
        deviations; false until all is known."""
        controls = self.control_own_more
        band = controls.mean(0) + 3 * controls.std(0)
        return (self.own_more > controls.max(0)) & (self.own_more > band)

    def table(self) -> Rows:
        """A row a set changed and a set measured: losses, perplexities, the change, and the
        controls' mean change with its standard deviation over draws."""
        controls = self.control_change
        return [
            {
                "changed": changed,
                "measured": measured,
                "neurons": len(self.neurons[i]),
                "clean_loss": float(self.clean[j]),
                "loss": float(self.losses[i, j]),
                "clean_perplexity": float(np.exp(self.clean[j])),
                "perplexity": float(self.perplexity[i, j]),
                "change": float(self.change[i, j]),
                "control_change": float(controls[:, i, j].mean()),
                "control_std": float(controls[:, i, j].std()),
                "draws": len(controls),
                "own_more": float(self.own_more[i]),
                "beats_controls": bool(self.beats_controls[i]),
            }
            for i, changed in enumerate(self.names)
            for j, measured in enumerate(self.names)
        ]

    def neurons_table(self) -> Rows:
        """A row a neuron found, set by set: its scores, and how often it is above 0 in each set."""
        return [
            {
                "set": name,
                "neuron": str(neuron),
                "entropy": float(self.entropy[at]),
                "precision": float(self.precision[(s, *at)]),
                **{
                    f"on_in_{other}": float(self.probability[(o, *at)])
                    for o, other in enumerate(self.names)
                },
            }
            for s, name in enumerate(self.names)
            for neuron in self.neurons[s]
            for at in [(self.layers.index(neuron.layer), neuron.index)]
        ]

    def figure(self) -> go.Figure:
        """Sets changed down, each above its random controls' mean; sets measured across. Coloured
        by the change of the loss, red where a text is predicted worse; in cells, the perplexity."""
        import plotly.graph_objects as go

        controls, n = self.control_change.mean(0), len(self.names)
        values = np.stack([self.change, controls], axis=1).reshape(2 * n, n)
        labels = [
            label
            for name, own in zip(self.names, self.neurons, strict=True)
            for label in (f"{name}’s {len(own)}", f"{len(own)} random")
        ]
        shown = np.exp(values + self.clean)
        told = [
            [
                f"<b>{labels[row]}</b> {_DONE[self.does]}, {name}: "
                f"perplexity {_short(shown[row, j])} "
                f"({_short(np.exp(self.clean[j]))} clean), loss {signed(values[row, j])}"
                for j, name in enumerate(self.names)
            ]
            for row in range(2 * n)
        ]
        written = [[_short(x) if np.isfinite(x) else "" for x in row] for row in shown]
        bar = colour_bar("change of loss\nnats per token", x=1.02)
        return go.Figure(
            cell_heatmap(
                values, told, colorbar=bar, text=written, texttemplate="%{text}",
                **colours(values, True, less_is_better=True),
            ),
            layout={
                "autosize": False,
                "width": 240 + 100 * n,
                "height": 130 + 56 * n,
                "margin": {"l": 110, "r": 110, "t": 10, "b": 50},
                "xaxis": {
                    "tickvals": list(range(n)),
                    "ticktext": [
                        f"{name}<br>clean {_short(np.exp(loss))}"
                        for name, loss in zip(self.names, self.clean, strict=True)
                    ],
                    **BARE,
                },
                "yaxis": {
                    "tickvals": list(range(2 * n)),
                    "ticktext": labels,
                    "range": [2 * n - 0.5, -0.5],
                    **BARE,
                },
            },
        )  # fmt: skip


def _short(perplexity: float) -> str:
    """A perplexity in as many figures as matter."""
    return f"{perplexity:,.0f}" if perplexity >= 1000 else f"{perplexity:.2f}"


def _own_more(change: np.ndarray) -> np.ndarray:
    """[... changed measured] on the diagonal less the mean beside it."""
    n = change.shape[-1]
    own = np.diagonal(change, axis1=-2, axis2=-1)
    more: np.ndarray = own - (change.sum(-1) - own) / (n - 1)
    return more
