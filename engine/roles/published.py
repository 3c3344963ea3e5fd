"""Published scores of heads from their weights, with the settings by which they were made.

Source: Lan, Torr & Barez 2023, "Towards Interpretable Sequence Continuation" (arXiv 2311.04131), by
their code (apartresearch/seqcont_circuits, `src/OV_scores`), whose measure is that of Wang et al.
2022 and Gould et al. 2023. GPT-2-small there: prompts of four words in succession without a BOS, of
which the first has no space before it; what leaves layer 0 at each word; the norm of the head's
layer, W_V, b_V, W_O, final norm, unembedding; right where the word meant, with or without a space
before it, is among the five raised most; 8 prompts, 32 words.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..asking import ask
from ..experiment.sites import Head
from ..showing.writing import Rows
from .results import OVScores
from .scoring import ScoreOV
from .words import WORD_LISTS

MODEL = "gpt2"
"""The model that the reported scores are of."""
_MONTHS = WORD_LISTS["months"]
_NUMBERS = WORD_LISTS["number words"][:12]
_ORDINALS = WORD_LISTS["ordinals"]


@dataclass(frozen=True)
class PublishedScore:
    """A score as it was published: `name`, `source`, the words and how far on the one meant is
    (`by`), and what was `reported` of heads, as shares from 0 to 1 of `n` words."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] | None
    by: int
    reported: tuple[tuple[str, float], ...]
    n: int = 32
    source: str = "Lan, Torr & Barez 2023"

    def question(self, model: str = MODEL) -> ScoreOV:
        """The question with the settings of that time."""
        return ScoreOV(model, self.inputs, self.outputs, k=5, context="in fours", spelling="either")

    def beside(self, result: OVScores) -> Rows:
        """One row a head: what was `reported` of it, and what is `found`, NaN where a model has no
        such head."""
        score = result.score(self.by)
        rows: Rows = []
        for name, reported in self.reported:
            layer, head = (int(part) for part in name.split("."))
            there = layer < len(score) and head < score.shape[1]
            found = float(score[layer, head]) if there else float("nan")
            rows.append({"score": self.name, "site": str(Head(layer, head)), "reported": reported,
                         "found": found, "n": result.n(self.by)})  # fmt: skip
        return rows


PUBLISHED = (
    PublishedScore(
        "number word → the next", _NUMBERS, None, 1,
        (("9.1", 0.90625), ("6.1", 0.75), ("8.8", 0.5625), ("8.1", 0.4375), ("7.2", 0.21875)),
    ),
    PublishedScore("month → the next one's ordinal", _MONTHS, _ORDINALS, 1, (("9.1", 0.3125),)),
    PublishedScore(
        "month → itself", _MONTHS, None, 0, (("6.9", 0.8125), ("7.2", 0.75), ("7.8", 0.59375)),
    ),
)  # fmt: skip
"""What is known of GPT-2-small."""


def published_scores(model: str = MODEL, view: str | None = None) -> Rows:
    """Make every score of PUBLISHED again. Returns: a row for each head that was reported: the
    `score`, `site`, `reported` (of GPT-2-small alone), `found` in this model, `n` words.

    Raises: EngineError in words, as for a model whose tokenizer splits the words.
    """
    return [row for one in PUBLISHED for row in one.beside(ask(one.question(model), view))]
