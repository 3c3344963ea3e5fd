"""What is scored of a prompt, and the scores of many rows at once.

The definitions are those of `next_token`, and of `results.Score` and `results.NextToken`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.results import Tokens
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward, ordering
from ..passes.growing import Base
from ..passes.pace import Pace
from .answers import answers_of

LOGIT_BYTES = 32 * 2**20
"""Logits scored in one step, in float32."""


@dataclass(frozen=True)
class Target:
    """One prompt and what is scored after it.

    `ids`: the text that is run, the prompt with all of the answer but its last token. `answer`: its
    ids. `decided`: which of them is compared and ranked; `distractor`: the id it is compared with,
    None where nothing can be. `kl_at`: after how many of the answer's tokens distributions are
    compared. `notes`: sentences.
    """

    prompt: Tokens
    ids: tuple[int, ...]
    answer: tuple[int, ...]
    decided: int
    distractor: int | None
    kl_at: int
    notes: tuple[str, ...]

    @property
    def places(self) -> tuple[int, ...]:
        """The positions whose logits are wanted."""
        return tuple(range(len(self.prompt) - 1, len(self.ids)))


def target_of(model: Model, e: Experiment, at: str) -> Target:
    """What an experiment asks for. Raises: ExperimentError where it has no answer to score."""
    if not e.answer:
        raise ExperimentError(
            f"The prompt “{e.prompt[:60]}” has no answer, and it is the answer that is scored; "
            "give one."
        )
    result = answers_of(model, e)
    if not result.answer:
        raise ExperimentError(" ".join(result.notes))
    regime, n_prompt = result.regime, len(result.prompt)
    if regime(n_prompt) != regime(n_prompt + len(result.answer) - 1):
        raise ExperimentError(
            f"The answer “{e.answer[:40]}” grows the prompt “{e.prompt[:60]}” past the length up "
            "to which this model reads a text alike (its rotary embeddings follow the length), so "
            "its tokens cannot be scored in one pass. Shorten the prompt, or take an answer of one "
            "token."
        )
    n = result.decided
    other = result.distractor[n : n + 1]
    comparable = bool(other) and n < len(result.answer) and other[0] != result.answer[n]
    return Target(
        prompt=result.prompt,
        ids=result.prompt.ids + result.answer[:-1],
        answer=result.answer,
        decided=min(n, len(result.answer) - 1),
        distractor=other[0] if comparable else None,
        kl_at=len(result.after(at)) if at == "answer" else 0,
        notes=result.notes,
    )


class Scorer:
    """Scores rows of some targets, all with as many tokens and as many places.

    `clean`: the targets' clean runs.
    """

    def __init__(self, model: Model, targets: Sequence[Target], clean: Base) -> None:
        self._model = model
        device = model.device
        self._answers = torch.tensor([q.answer for q in targets], device=device)
        self._decided = torch.tensor([q.decided for q in targets], device=device)
        self._others = torch.tensor(
            [q.answer[q.decided] if q.distractor is None else q.distractor for q in targets],
            device=device,
        )
        self._kl_at = torch.tensor([q.kl_at for q in targets], device=device)
        self._incomparable = np.array([q.distractor is None for q in targets])
        here = clean.leaving[torch.arange(len(targets), device=device), self._kl_at]
        self._clean = forward.unembed(model, here)
        self._clean_lse = self._clean.logsumexp(-1)
        self._probs = (self._clean - self._clean_lse[:, None]).exp()

    def score(
        self, pace: Pace, vectors: Float[Tensor, "rows places d_model"], texts: Sequence[int]
    ) -> Steps[Float[np.ndarray, "metric rows"]]:
        """The scores of rows that left the last layer as `vectors`, each of the target `texts`
        names by index. Returns: in the order of `metrics.STORED`.

        Raises: EngineError where the model's numbers overflow.
        """
        rows, places = vectors.shape[:2]
        at = torch.tensor(texts, device=vectors.device)
        result = np.empty((5, rows))

        def work(start: int, stop: int) -> None:
            part = slice(start, stop)
            logits = forward.unembed(self._model, vectors[part].flatten(0, 1))
            logits = logits.unflatten(0, (stop - start, places))
            result[:, part] = self._scores(logits, at[part])

        nbytes = places * self._model.shape.d_vocab * 4
        most = LOGIT_BYTES * (8 if self._model.device.type == "cuda" else 1)
        yield from pace.steps(
            rows,
            places * pace.unembedding_cost,
            max(nbytes, nbytes * forward.CHUNK_BYTES // most),
            work,
        )
        return result

    def _scores(
        self, logits: Float[Tensor, "rows places d_vocab"], texts: Int[Tensor, " rows"]
    ) -> Float[np.ndarray, "metric rows"]:
        answers, decided = self._answers[texts], self._decided[texts]
        lse = logits.logsumexp(-1)
        log_probs = logits.gather(2, answers[:, :, None])[:, :, 0] - lse
        here = _at(logits, decided)
        own = answers.gather(1, decided[:, None])
        ranks = ordering.ranks(here, own)
        diff = here.gather(1, own) - here.gather(1, self._others[texts][:, None])
        there, kl_at = _at(logits, self._kl_at[texts]), self._kl_at[texts][:, None]
        kl = lse.gather(1, kl_at)[:, 0] - self._clean_lse[texts]
        for text, first, stop in _runs(texts):
            off = there[first:stop] - self._clean[text]
            kl[first:stop] -= off @ self._probs[text]
        columns = (diff, ranks.float(), kl[:, None], log_probs)
        numbers = torch.cat(columns, dim=1).cpu().double().numpy()
        log_prob = numbers[:, 3:].sum(-1)
        kept = np.where(self._incomparable[texts.cpu().numpy()], np.nan, numbers[:, 0])
        return np.stack(
            [kept, np.exp(log_prob), log_prob, numbers[:, 1], np.maximum(0.0, numbers[:, 2])]
        )


def score_cost(pace: Pace, target: Target) -> float:
    """Operations of scoring one row."""
    return len(target.places) * pace.unembedding_cost


def _at(
    logits: Float[Tensor, "rows places d_vocab"], place: Int[Tensor, " rows"]
) -> Float[Tensor, "rows d_vocab"]:
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits[torch.arange(len(logits), device=logits.device), place]


def _runs(texts: Int[Tensor, " rows"]) -> list[tuple[int, int, int]]:
    """Neighbouring rows of one text: its index, where they start and stop."""
    kinds, counts = torch.unique_consecutive(texts, return_counts=True)
    result, start = [], 0
    for text, n in zip(kinds.tolist(), counts.tolist(), strict=True):
        result.append((text, start, start + n))
        start += n
    return result
