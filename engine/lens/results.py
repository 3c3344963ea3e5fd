"""Results of the logit lens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ..experiment.results import Tokens
from ..showing.writing import visible


@dataclass(frozen=True)
class Trace:
    """One token followed through the layers, shape [layer pos] each.

    `token`: its piece; `text`: what it adds to the text. `logits`, `log_probs` (natural logarithm),
    `ranks` (1 is best; equal logits by id).
    """

    token: str
    text: str
    logits: Float[np.ndarray, "layer pos"]
    log_probs: Float[np.ndarray, "layer pos"]
    ranks: Int[np.ndarray, "layer pos"]


@dataclass(frozen=True)
class LensRun:
    """The lens of one run.

    `ids`, `log_probs` (natural logarithm), `probs` (0 to 1, over the whole vocabulary) of the k
    best tokens, best first, and `moves`, how many places each stands higher than at the layer
    before (positive: it rose; 0 in the first row): [layer pos k]. `entropy`, in nats, and
    `divergence` from the model's output, KL(output ‖ lens) in nats: [layer pos]. `answer` and
    `distractor`: None without them. `leads_from`: the first layer at which the answer ranks first
    at the last position, None where it never does.
    """

    ids: Int[np.ndarray, "layer pos k"]
    log_probs: Float[np.ndarray, "layer pos k"]
    probs: Float[np.ndarray, "layer pos k"]
    moves: Int[np.ndarray, "layer pos k"]
    entropy: Float[np.ndarray, "layer pos"]
    divergence: Float[np.ndarray, "layer pos"]
    answer: Trace | None
    distractor: Trace | None
    leads_from: int | None

    def values(self, measure: str) -> np.ndarray:
        """One number a cell, [layer pos]: "prob" of the best token (0 to 1), "entropy" or
        "divergence" (nats), or "rank" of the answer (1 is best).

        Raises: KeyError for another measure, and for "rank" without an answer.
        """
        if measure == "rank" and self.answer is not None:
            return self.answer.ranks
        return {
            "prob": self.probs[..., 0],
            "entropy": self.entropy,
            "divergence": self.divergence,
        }[measure]


@dataclass(frozen=True)
class Lens:
    """What a model would say after each of its layers, clean and ablated.

    `tokens`: the prompt. `read`: the ids run, the prompt's and, when asked at the answer, those
    that come before it; `pieces` of them. `first`: the position of the first column, for the last
    positions alone may have been asked for. `stream`: whose layers are read. `texts`: the text of
    every token id that appears in either run. `layers`: the model's layers that the rows are, in
    order; of a part that some layers lack, those that have it.
    """

    tokens: Tokens
    read: tuple[int, ...]
    pieces: tuple[str, ...]
    first: int
    stream: str
    clean: LensRun
    ablated: LensRun
    texts: dict[int, str]
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

    def table(self, run: str, measure: str) -> list[dict[str, object]]:
        """A row a cell, in plain values: the measure, and the best tokens with their probabilities
        (of "difference": the best token of either run)."""
        values = self.values(run, measure)
        rows: list[dict[str, object]] = []
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
        """The text of a token id, its white space made visible."""
        return visible(self.texts[int(token_id)]) or "∅"

    def _best(self, run: str) -> list[tuple[str, LensRun, int]]:
        if run == "difference":
            return [("clean_", self.clean, 1), ("ablated_", self.ablated, 1)]
        shown = self._run(run)
        return [("", shown, place) for place in range(1, shown.ids.shape[-1] + 1)]

    def _run(self, name: str) -> LensRun:
        return {"clean": self.clean, "ablated": self.ablated}[name]
