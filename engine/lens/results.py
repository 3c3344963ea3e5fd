"""Results of the logit lens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..experiment.results import Tokens
from ..showing.writing import Rows, percent
from ..text.shown import token_text
from .figures import LensGrid, short, traces_figure
from .runs import LensRun

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MOST_TOLD = 2_000
"""Cells of which a pointer reads every best token; of more, two."""


@dataclass(frozen=True)
class Lens:
    """What a model would say after each of its layers, clean and ablated.

    `tokens`: the prompt. `read`: the ids run, the prompt's and, when asked at the answer, those
    that come before it; `pieces` of them, `shown` as people read them. `first`: the position of the
    first column, for the last positions alone may have been asked for. `stream`: whose layers are
    read. `texts`: the text of every token id that appears in either run; `names`: its piece.
    `layers`: the model's layers that the rows are, in order; of a part that some layers lack, those
    that have it.
    """

    tokens: Tokens
    read: tuple[int, ...]
    pieces: tuple[str, ...]
    shown: tuple[str, ...]
    first: int
    stream: str
    clean: LensRun
    ablated: LensRun
    texts: dict[int, str]
    names: dict[int, str]
    notes: tuple[str, ...]
    layers: tuple[int, ...]

    def values(self, run: str, measure: str) -> np.ndarray:
        """`LensRun.values` of one run; of "difference", ablated − clean."""
        if run == "difference":
            return self.ablated.values(measure) - self.clean.values(measure)
        return self._run(run).values(measure)

    def text(self, run: str) -> str:
        """The last position as text, a line a layer: the best tokens, white space made visible."""
        shown = self._run(run).ids[:, -1]
        lines = [["layer", *map(str, range(1, shown.shape[1] + 1))]]
        for layer, row in zip(self.layers, shown, strict=True):
            lines.append([str(layer), *map(self.token, row.tolist())])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                [line[0].rjust(widths[0])]
                + [cell.ljust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            ).rstrip()
            for line in lines
        )

    def table(self, run: str, measure: str) -> Rows:
        """A row a cell, in plain values: the measure, and the best tokens with their probabilities
        (of "difference": the best token of either run)."""
        values = self.values(run, measure)
        rows: Rows = []
        for at, column in np.ndindex(values.shape):
            row: dict[str, object] = {
                "layer": self.layers[at],
                "position": self.first + column,
                "read": self.pieces[self.first + column],
                measure: values[at, column].item(),
            }
            for name, best, place in self._best(run):
                row[f"{name}token{place}"] = self.texts[int(best.ids[at, column, place - 1])]
                row[f"{name}prob{place}"] = float(best.probs[at, column, place - 1])
            rows.append(row)
        return rows

    def token(self, token_id: int) -> str:
        """The text of a token id as people read it."""
        return token_text(self.texts[int(token_id)], self.names[int(token_id)])

    def _best(self, run: str) -> list[tuple[str, LensRun, int]]:
        if run == "difference":
            return [("clean_", self.clean, 1), ("ablated_", self.ablated, 1)]
        shown = self._run(run)
        return [("", shown, place) for place in range(1, shown.ids.shape[-1] + 1)]

    def _run(self, name: str) -> LensRun:
        return {"clean": self.clean, "ablated": self.ablated}[name]

    def grid(self, run: str = "clean", measure: str = "prob") -> LensGrid:
        """Layers down, positions across; the best token in each cell.

        `run`: "clean", "ablated" or "difference" (coloured by ablated − clean; a token is written
        where the ablated run has another). Both runs are coloured on one scale.
        """
        values = self.values(run, measure).astype(float)
        signed = run == "difference"
        shown = self._run("clean" if run == "clean" else "ablated")
        leads = np.zeros(values.shape, bool) if shown.answer is None else shown.answer.ranks == 1
        return LensGrid(
            values,
            measure,
            signed,
            [values] if signed else [self.values(one, measure) for one in ("clean", "ablated")],
            self.layers,
            {at: self.shown[at] for at in range(self.first, self.first + values.shape[1])},
            self._best_texts(run),
            leads,
            self._told(run),
        )

    def figure(self, run: str = "clean", measure: str = "prob") -> go.Figure:
        """The grid as a plotly figure, tokens bold where they are the answer."""
        return self.grid(run, measure).figure()

    def traces_figure(
        self, quantity: str = "log_probs", runs: tuple[str, ...] = ("clean",)
    ) -> go.Figure:
        """Answer and distractor at the last position, layer by layer; ablated runs are dashed.

        `quantity`: one of TRACES. A vertical line stands where the answer first leads the whole
        vocabulary.
        """
        return traces_figure(self.layers, {run: self._run(run) for run in runs}, quantity)

    def _best_texts(self, run: str) -> np.ndarray:
        """What is written in each cell."""
        shown = self._run("clean" if run == "clean" else "ablated")
        ids, clean = shown.ids[..., 0], self.clean.ids[..., 0]
        texts = np.empty(ids.shape, dtype=object)
        for at in np.ndindex(ids.shape):
            text = short(self.token(int(ids[at])))
            texts[at] = "" if run == "difference" and clean[at] == ids[at] else text
        return texts

    def _told(self, run: str) -> np.ndarray:
        """What a pointer over each cell reads, as lines."""
        hover = np.empty(self.clean.entropy.shape, dtype=object)
        runs = ("clean", "ablated") if run == "difference" else (run,)
        for at in np.ndindex(hover.shape):
            position = self.first + at[1]
            lines = [
                f"after layer {self.layers[at[0]]}, reading {self.shown[position]} "
                f"(position {position})"
            ]
            for name in runs:
                shown = self._run(name)
                lines.append(
                    f"{name}: entropy {shown.entropy[at]:.2f} nats, divergence from the "
                    f"output {shown.divergence[at]:.2f}"
                    + ("" if shown.answer is None else f", answer ranks {shown.answer.ranks[at]:,}")
                )
                k = 2 if hover.size > _MOST_TOLD else shown.ids.shape[-1]
                best = [self._place(shown, (*at, place)) for place in range(k)]
                rows = max(1, min(5, k))
                lines += ["  ·  ".join(best[i::rows]) for i in range(rows)]
            hover[at] = tuple(lines)
        return hover

    def _place(self, shown: LensRun, at: tuple[int, ...]) -> str:
        """One of a cell's best tokens, with how far it rose since the layer above."""
        move = int(shown.moves[at])
        risen = "" if not move else f" {'▲' if move > 0 else '▼'}{abs(move):,}"
        token = short(self.token(int(shown.ids[at])), 24)
        return f"{at[2] + 1}  {token}  {percent(float(shown.probs[at]))}{risen}"
