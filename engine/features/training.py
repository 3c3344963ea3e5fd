"""An SAE trained on the spot: for a place in a model, on texts.

What passes there is read in the model with nothing changed, a BOS left out, and learnt from in
random order, over and over until as many tokens are reached as were asked for. How it is learnt,
and what that does not show, stands in `trainer`. Texts that are few are learnt by heart: measure it
on others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..asking import ask
from ..errors import EngineError
from ..experiment.method import NAME
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed, field
from ..experiment.question import Question
from ..experiment.sae import Sae
from ..experiment.sites import AsSites, Site
from ..model.model import Model
from ..model.threads import fitting
from ..model.work import Answer
from ..model.worker import Steps
from ..neurons.windows import as_texts, row_cost, run_rows, windows
from ..passes import forward
from ..passes.overflow import check_numbers, overflow
from ..passes.pace import Pace
from ..passes.saes import place_of_sae
from ..saved.saes import keep_dictionary
from .trainer import BATCH, Trainer
from .training_results import SaeTraining

MOST_TOKENS = 100_000_000
MOST_READ = 1_000_000
MOST_BYTES = 2**30
"""Of activations held."""
_WHAT = "What an SAE is trained on"
_WINDOW, _PIECE, _SAMPLE = 64, 4_000, 4_096
_POINTS = 200
"""Of each curve, at most."""
_SIZES = {
    "expansion": (1, 64, "How many times the width there are features"),
    "k": (1, 1024, "How many features are on at a token"),
    "tokens": (BATCH, MOST_TOKENS, "How many tokens are learnt from"),
    "seconds": (0, 86_400, "The time that training may take, in seconds"),
    "seed": (0, 2**32 - 1, "The seed"),
}


@dataclass(frozen=True)
class TrainSae(Question[SaeTraining, SaeTraining]):
    """A top-k SAE for a place of a model, trained on texts.

    `site`: a place of the residual stream (r3, r3.mid) or what an MLP writes into it (m3).
    `expansion`: features, as a multiple of the width; `k`: how many are on at a token. `tokens`:
    how many are learnt from, over and over where the texts have fewer; `seconds`: after which it
    ends with what it has, 0 for never. `name`: what it is called; by itself by its site.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "train_sae"
    n_plain = 3
    model: str
    site: Parsed[Site, AsSites] = field()
    texts: tuple[str, ...] = ()
    expansion: int = 4
    k: int = 16
    tokens: int = 200_000
    seconds: int = 0
    seed: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "site", Sae("sae", self.site).site)
        object.__setattr__(self, "texts", as_texts(self.texts, _WHAT))
        for name, (least, most, what) in _SIZES.items():
            value = whole_number(getattr(self, name), what)
            if not least <= value <= most:
                raise EngineError(f"{what}: {least:,} to {most:,}, and not {value:,}.")
            object.__setattr__(self, name, value)
        if not isinstance(self.name, str) or not re.fullmatch(f"({NAME})?", self.name):
            raise EngineError(
                f"{self.name!r:.60} names no SAE: a name has 1 to 40 letters, digits, _ or -."
            )

    @property
    def model_name(self) -> str:
        return self.model

    def answered(self, model: Model) -> Answer[SaeTraining, SaeTraining]:
        """Snapshots: the curves so far."""
        place_of_sae(model, Sae("sae", self.site))
        n_features = self.expansion * model.shape.d_model
        if self.k > n_features:
            raise EngineError(f"Of {n_features:,} features {self.k:,} cannot be on at a token.")
        return Answer(lambda put: _steps(model, self, put))


def train_sae(
    model: str,
    site: AsSites,
    texts: str | Sequence[str],
    expansion: int = 4,
    k: int = 16,
    tokens: int = 200_000,
    seconds: int = 0,
    seed: int = 0,
    name: str = "",
    view: str | None = None,
) -> SaeTraining:
    """Ask `TrainSae` and wait for the end. Raises: EngineError in words."""
    read = as_texts(texts, _WHAT)
    question = TrainSae(
        model, Sae("sae", site).site, read, expansion, k, tokens, seconds, seed, name
    )
    return ask(question, view)


def _steps(model: Model, asked: TrainSae, put: Callable[[SaeTraining], None]) -> Steps[SaeTraining]:
    pace = Pace(model)
    yield 0.0
    d_sae = asked.expansion * model.shape.d_model
    each = 12.0 * d_sae * model.shape.d_model
    rows = yield from _rows(model, asked)
    n_read = sum(len(row.ids) for row in rows)
    if (nbytes := 4 * n_read * model.shape.d_model) > MOST_BYTES:
        raise EngineError(
            f"What passes at {asked.site} at {n_read:,} tokens takes {nbytes / 2**30:.1f} GB; "
            "give a shorter text."
        )
    pace.total = sum(row_cost(pace, row) for row in rows) + each * asked.tokens
    held = yield from _activations(model, pace, rows, asked)
    rng = torch.Generator().manual_seed(asked.seed)
    sample = held[torch.randperm(len(held), generator=rng)[:_SAMPLE]]
    trainer = Trainer(sample, d_sae, asked.k, asked.tokens, asked.seed)
    batches, curves = _batches(held, trainer.chunk, rng), _Curves(asked, d_sae, len(held))
    n_chunks = max(1, asked.tokens // trainer.chunk)

    def learn(first: int, stop: int) -> None:
        for _ in range(first, stop):
            before = trainer.n_done
            with fitting(model, 0):  # a part of a batch is little: shared out, cores wait
                trainer.learn(next(batches))
            if trainer.n_done > before:
                if not math.isfinite(trainer.unexplained):
                    raise overflow(model, "learn from")
                curves.note(trainer)

    for _ in pace.steps(n_chunks, each * trainer.chunk, 0, learn):
        if asked.seconds and pace.seconds > asked.seconds:
            curves.ended = f"Its {asked.seconds:,} seconds were over."
            break
        put(curves.known(pace))
        yield pace.share
    name = asked.name or f"trained-{str(asked.site).replace('.', '-')}"
    digest = keep_dictionary(trainer.dictionary(str(asked.site), model.name))
    put(result := curves.known(pace, Sae(name, asked.site, digest)))
    return result


class _Curves:
    """What is noted while training, thinned to so many points."""

    def __init__(self, asked: TrainSae, d_sae: int, n_read: int) -> None:
        self._asked, self._d_sae, self._n_read = asked, d_sae, n_read
        self._points: list[tuple[float, float, float, float]] = []
        self._every = max(1, asked.tokens // BATCH // _POINTS)
        self._n = 0
        self.ended = ""

    def note(self, trainer: Trainer) -> None:
        """Note how it goes after a batch."""
        if self._n % self._every == 0 or trainer.n_done >= trainer.n_tokens:
            now = (trainer.n_done, trainer.unexplained, trainer.l0, trainer.quiet)
            self._points.append(now)
        self._n += 1

    def known(self, pace: Pace, sae: Sae | None = None) -> SaeTraining:
        """What is known by now."""
        points = np.array(self._points, dtype=np.float64).reshape(-1, 4)
        tokens, unexplained, l0, dead = points.T
        return SaeTraining(
            self._d_sae, self._asked.k, self._asked.tokens, self._n_read, tokens, unexplained, l0,
            dead, sae, pace.seconds, 1.0 if sae else min(pace.share, 0.999), pace.seconds_left,
            self.ended,
        )  # fmt: skip


def _rows(model: Model, asked: TrainSae) -> Steps[list[forward.Row]]:
    """The windows of the texts, tokenized a few a step."""
    at = frozenset({place_of_sae(model, Sae("sae", asked.site))})
    pieces = [piece for text in asked.texts for piece in _pieces(text)]
    cut = yield from windows(model, pieces, min(_WINDOW, model.shape.n_ctx or _WINDOW), MOST_READ)
    return [forward.Row(ids, captures=at) for _, ids in cut]


def _pieces(text: str) -> Iterable[str]:
    """A long text cut at spaces and ends of lines, so that no step tokenizes much of it."""
    while len(text) > _PIECE:
        cut = max(text.rfind(" ", 1, _PIECE), text.rfind("\n", 1, _PIECE))
        cut = cut if cut > 0 else _PIECE
        yield text[:cut]
        text = text[cut:]
    if text.strip():
        yield text


def _activations(
    model: Model, pace: Pace, rows: Sequence[forward.Row], asked: TrainSae
) -> Steps[Tensor]:
    """What passes at the site at every token but a BOS, [token d_model] float32."""
    at = place_of_sae(model, Sae("sae", asked.site))
    first = [_first(model, row.ids) for row in rows]
    n = sum(len(row.ids) - skipped for row, skipped in zip(rows, first, strict=True))
    held = torch.empty(n, model.shape.d_model, device=model.device)
    filled = 0

    def take(row: int, result: forward.RowResult) -> None:
        nonlocal filled
        own = result.captured[at][first[row] :].float()
        held[filled : filled + len(own)] = own
        filled += len(own)

    yield from run_rows(model, pace, rows, take)
    check_numbers(model, held, "learn from")
    return held


def _batches(held: Tensor, size: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Activations in random order, over and over, so many at a time."""
    left = torch.empty(0, dtype=torch.long)
    while True:
        while len(left) < size:
            left = torch.cat([left, torch.randperm(len(held), generator=rng)])
        yield held[left[:size].to(held.device)]
        left = left[size:]


def _first(model: Model, ids: tuple[int, ...]) -> int:
    """The first position that is counted: the one behind a BOS."""
    return int(ids[0] == model.tokenizer.bos_id and model.tokenizer.adds_bos)
