"""How healthy an SAE is on a model: what is left of the activation and of the model's own text with
what the SAE makes of it in its place.

With x an activation and x̂ what the SAE makes of it, over the tokens of texts but a BOS:

    L0 = mean number of features above 0        dead: above 0 at no token
    variance explained = 1 − Σ ‖x − x̂‖² / Σ ‖x − mean‖²
    loss recovered = (loss with 0 − loss with x̂) / (loss with 0 − clean loss)

as in Gao et al. 2024 and SAEBench (Karvonen et al. 2025), x̂ (or 0) being put at every token but a
BOS. Texts are cut into windows, each read by itself. What these do not show: whether a feature
means anything, or is one of the model's own; and a stream with a few tokens of enormous size has
most of its variance there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..asking import ask
from ..errors import EngineError
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed, field
from ..experiment.question import Question
from ..experiment.sae import Sae
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..neurons.windows import as_texts, row_cost, windows
from ..passes import forward
from ..passes.hooks import Edit
from ..passes.overflow import check_numbers
from ..passes.pace import Pace
from .health_results import SaeHealth
from .places import Fitted, fit

_WHAT = "What an SAE is measured on"
_RUNS = 3


@dataclass(frozen=True)
class MeasureSae(Question[SaeHealth, SaeHealth]):
    """How healthy an SAE is on a model, over texts.

    `window`: tokens read at a time, at most.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "measure_sae"
    n_plain = 3
    model: str
    sae: Parsed[Sae, Sae | str] = field()
    texts: tuple[str, ...] = ()
    window: int = 64

    def __post_init__(self) -> None:
        object.__setattr__(self, "sae", Sae.parse(self.sae))
        object.__setattr__(self, "texts", as_texts(self.texts, _WHAT))
        length = whole_number(self.window, "The tokens of a window")
        if not 2 <= length <= 4096:
            raise EngineError(f"A window has 2 to 4,096 tokens, not {length:,}.")
        object.__setattr__(self, "window", length)

    @property
    def model_name(self) -> str:
        return self.model

    def answered(self, model: Model) -> Answer[SaeHealth, SaeHealth]:
        """Snapshots: the numbers over what is read so far."""
        return Answer(lambda put: _steps(model, self, put))


def measure_sae(
    model: str,
    sae: Sae | str,
    texts: str | Sequence[str],
    window: int = 64,
    view: str | None = None,
) -> SaeHealth:
    """Ask `MeasureSae` and wait for the end. Raises: EngineError in words."""
    return ask(MeasureSae(model, Sae.parse(sae), as_texts(texts, _WHAT), window), view)


class _Sums:
    """What is added up over tokens."""

    def __init__(self, model: Model, asked: MeasureSae, fitted: Fitted) -> None:
        self.model, self.asked, self.fitted = model, asked, fitted
        self.n = self.n_predicted = 0
        self.on = np.zeros(fitted.dictionary.d_sae, dtype=np.int64)
        self.error = self.square = self.cosine = self.kl = 0.0
        self.total = np.zeros(fitted.dictionary.W_dec.shape[1])
        self.losses = np.zeros(_RUNS)

    def take(self, x: Tensor, meant: Tensor) -> Tensor:
        """Add the tokens of one text. Returns: what the SAE writes there."""
        made = self.fitted.dictionary.encode(x)
        out = self.fitted.dictionary.decode(made, x)
        check_numbers(self.model, out, "splice in")
        self.n += len(x)
        self.on += (made > 0).sum(0).cpu().numpy()
        x, y = meant.cpu().double(), out.cpu().double()  # where every device has doubles
        self.error += float((x - y).pow(2).sum())
        self.square += float(x.pow(2).sum())
        self.total += x.sum(0).numpy()
        self.cosine += float(torch.cosine_similarity(x, y, dim=-1).sum())
        return out

    def predict(self, ids: tuple[int, ...], runs: Sequence[Tensor]) -> None:
        """Add what the clean, spliced and emptied run say of a text."""
        targets = torch.tensor(ids[1:], device=runs[0].device)
        logs = [run.log_softmax(-1) for run in runs]
        for i, one in enumerate(logs):
            self.losses[i] -= float(one.gather(1, targets[:, None]).sum())
        self.kl += float((logs[0].exp() * (logs[0] - logs[1])).sum())
        self.n_predicted += len(targets)

    def result(self, progress: float) -> SaeHealth:
        """What is known by now."""
        n, predicted = max(self.n, 1), max(self.n_predicted, 1)
        variance = self.square - float((self.total**2).sum()) / n
        clean, spliced, empty = (self.losses / predicted).tolist()
        return SaeHealth(
            sae=self.asked.sae,
            model=self.model.name,
            n_tokens=self.n,
            l0=float(self.on.sum() / n),
            density=self.on / n,
            unexplained=self.error / variance if variance > 0 else float("nan"),
            cosine=self.cosine / n,
            clean_loss=clean,
            spliced_loss=spliced,
            zero_loss=empty,
            kl=self.kl / predicted,
            progress=progress,
        )


def _steps(model: Model, asked: MeasureSae, put: Callable[[SaeHealth], None]) -> Steps[SaeHealth]:
    fitted, pace = fit(model, asked.sae), Pace(model)
    yield 0.0
    length = min(asked.window, model.shape.n_ctx or asked.window)
    cut = yield from windows(model, asked.texts, length)
    texts = [ids for _, ids in cut if len(ids) > 1 + _first(model, ids)]
    if not texts:
        raise EngineError("No token is left of the text that any other predicts.")
    sums = _Sums(model, asked, fitted)
    groups: dict[int, list[forward.Row]] = {}
    for ids in texts:
        groups.setdefault(len(ids), []).append(_row(fitted, ids))
    weights = 2.0 * sum(one.numel() for one in fitted.dictionary.tensors.values())
    costs = {n: _RUNS * row_cost(pace, rows[0]) + n * weights for n, rows in groups.items()}
    pace.total = sum(costs[n] * len(rows) for n, rows in groups.items())
    for n, rows in groups.items():

        def work(first: int, stop: int, rows: list[forward.Row] = rows) -> None:
            _measure(sums, rows[first:stop])

        nbytes = _RUNS * forward.row_bytes(model, rows[0])
        for share in pace.steps(len(rows), costs[n], nbytes, work):
            put(sums.result(min(share, 0.999)))
            yield share
    put(result := sums.result(1.0))
    return result


def _row(fitted: Fitted, ids: tuple[int, ...]) -> forward.Row:
    return forward.Row(ids, (), tuple(range(len(ids) - 1)), fitted.captures)


def _measure(sums: _Sums, rows: Sequence[forward.Row]) -> None:
    """Run texts clean, and then with what the SAE makes of them in its place, and with 0 there."""
    model, fitted = sums.model, sums.fitted
    clean, changed = forward.run(model, rows), []
    for row, result in zip(rows, clean, strict=True):
        first = _first(model, row.ids)
        x, meant = fitted.given(result.captured)[first:], fitted.meant(result.captured)[first:]
        out, at = sums.take(x, meant), tuple(range(first, len(row.ids)))
        for value in (out, 0.0):
            edit = Edit(*fitted.writes, None, at, value)
            changed.append(forward.Row(row.ids, (edit,), row.logits_at))
    others = forward.run(model, changed)
    for i, (row, result) in enumerate(zip(rows, clean, strict=True)):
        runs = (result, others[2 * i], others[2 * i + 1])
        sums.predict(row.ids, [run.logits for run in runs])


def _first(model: Model, ids: tuple[int, ...]) -> int:
    """The first position that is counted: the one behind a BOS."""
    return int(ids[0] == model.tokenizer.bos_id and model.tokenizer.adds_bos)
