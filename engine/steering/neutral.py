"""Neutral text: what a change should leave alone, and how far it is from it.

At each token of a text but the last, with p what the clean model says comes next and q what the
changed one says:

    KL = Σ p (ln p − ln q)      loss = −ln q(the token that comes)      perplexity = exp(mean loss)

The KL tells how much is said otherwise, whatever the text says; the perplexity how much worse the
text itself is predicted. Neither shows whether what is said otherwise is nonsense, and both are of
these few texts alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import EngineError
from ..experiment.experiment import Experiment
from ..model.checkpoints import BUNDLED
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.growing import Base
from ..passes.pace import Pace
from ..registry import load
from ..scoring.prompts import Prompt
from ..scoring.scorer import LOGIT_BYTES, Target

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "neutral"
NEUTRAL = ("KL", "loss")
"""What is measured of a text, each summed over its tokens, in nats."""
MOST_TOKENS = 2_000
"""Of the neutral texts together."""


@cache
def shipped(name: str) -> tuple[str, ...]:
    """The lines of a neutral text that ships, “english” or “sequences”."""
    return tuple((FOLDER / f"{name}.txt").read_text("utf-8").splitlines())


def neutral_texts(given: Model | str) -> tuple[str, ...]:
    """The neutral text of a model that ships: of the bundled models, which know no English, what
    they do know; of all others plain English. Raises: EngineError for a model there is not."""
    model = load(given) if isinstance(given, str) else given
    bundled = model.checkpoint.directory.resolve().parent == BUNDLED.resolve()
    return shipped("sequences" if bundled else "english")


def as_neutral(given: Any) -> tuple[str, ...]:
    """Neutral texts as notebooks hand them in: one, or several, or none for those that ship.

    Raises: EngineError for what is none.
    """
    texts = (given,) if isinstance(given, str) else given
    if isinstance(texts, Mapping) or not isinstance(texts, Iterable):
        raise EngineError(f"Neutral texts are texts, not {given!r:.60}.")
    result = tuple(texts)
    if not all(isinstance(one, str) for one in result):
        raise EngineError(f"Neutral texts are texts, not {given!r:.60}.")
    return tuple(one for one in result if one.strip())


@dataclass(frozen=True)
class NeutralText(Target):
    """A text of which every token but the first is the answer: `ids` are all but the last."""

    @property
    def places(self) -> tuple[int, ...]:
        """Every position."""
        return tuple(range(len(self.ids)))


def read_texts(model: Model, texts: Iterable[str], prepend_bos: bool | None) -> Steps[list[Prompt]]:
    """Neutral texts as prompts at all of whose tokens a change is made.

    Raises: EngineError for a text too short, or texts too long, to be measured.
    """
    result, total = [], 0
    for text in texts:
        tokens = model.tokenizer.encode(text, prepend_bos)
        ids = tokens.ids
        forward.check_ids(model, ids, f"neutral text “{text[:40]}”")
        if len(ids) < 3:
            raise EngineError(
                f"The neutral text “{text[:40]}” has fewer than 3 tokens: leave it out."
            )
        total += len(ids)
        if total > MOST_TOKENS:
            raise EngineError(f"The neutral texts have more than {MOST_TOKENS:,} tokens: cut them.")
        target = NeutralText(tokens, ids[:-1], ids[1:], 0, None, 0, ())
        e = Experiment(model.name, text, prepend_bos=prepend_bos)
        result.append(Prompt(e, target, (), target.places, {}, model.shape))
        yield 0.0
    return result


class NeutralScorer:
    """Scores rows of neutral texts of one length. `clean`: the texts' clean runs."""

    def __init__(self, model: Model, targets: Sequence[Target], clean: Base) -> None:
        self._model = model
        self._answers = torch.tensor([one.answer for one in targets], device=model.device)
        logits = [forward.unembed(model, text) for text in clean.leaving]
        self._clean = torch.stack([one.log_softmax(-1) for one in logits])

    def score(
        self, pace: Pace, vectors: Float[Tensor, "rows places d_model"], texts: Sequence[int]
    ) -> Steps[Float[np.ndarray, "measure rows"]]:
        """Of rows that left the last layer as `vectors`, each of the text that `texts` names by
        index, what NEUTRAL names. Raises: EngineError where the model's numbers overflow."""
        rows, places = vectors.shape[:2]
        at = torch.tensor(texts, device=vectors.device)
        result = np.empty((len(NEUTRAL), rows))

        def work(start: int, stop: int) -> None:
            logits = forward.unembed(self._model, vectors[start:stop].flatten(0, 1))
            logs = logits.log_softmax(-1).unflatten(0, (stop - start, places))
            result[:, start:stop] = self._scores(logs, at[start:stop])

        nbytes = 3 * places * self._model.shape.d_vocab * 4
        cost = places * pace.unembedding_cost
        yield from pace.steps(
            rows, cost, max(nbytes, nbytes * forward.CHUNK_BYTES // (4 * LOGIT_BYTES)), work
        )
        return result

    def _scores(
        self, logs: Float[Tensor, "rows places d_vocab"], texts: Int[Tensor, " rows"]
    ) -> Float[np.ndarray, "measure rows"]:
        divergences = []
        for row, text in enumerate(texts.tolist()):
            clean = self._clean[text]
            each = (clean.exp() * (clean - logs[row])).sum(-1)
            divergences.append(each.clamp_min(0).sum())
        own = logs.gather(2, self._answers[texts][:, :, None])[:, :, 0]
        both = torch.stack([torch.stack(divergences), -own.sum(-1)])
        return both.cpu().double().numpy()
