"""Two short texts of a model in trial, read plainly: whole passes with plain hooks, each row from
the first layer on, and what these see and change at every kind of place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.model import Model
from ..model.place import NAMES, SOFTMAX
from ..passes import forward
from ..passes.hooks import Edit
from ..passes.points import Capture, by_place, passing

PLACES = tuple(name for name in NAMES if name not in ("attn_scores", "ln_final", "mlp_in"))
"""The kinds of places that are tried."""
_LIMITS = {torch.float32: 2e-4}
_COARSE = 0.05
"""Of the coarser dtypes, whose kernels round differently."""
_TOKENS = 4


@dataclass(frozen=True)
class Change:
    """One place of one layer forced to random numbers in one of the texts."""

    at: Capture
    text: int
    value: Tensor

    @property
    def edit(self) -> Edit:
        """The change as an edit of a row."""
        name, layer = self.at
        n = self.value.shape[0]
        index = tuple(range(self.value.shape[1])) if self.value.ndim > 2 else None
        keys = n if name in SOFTMAX else None
        return Edit(name, layer, index, tuple(range(n)), self.value, keys=keys)


class Readings:
    """Two texts of one model: what they give clean, what passes, what each change makes of it."""

    def __init__(self, model: Model) -> None:
        s = model.shape
        n = min(_TOKENS, s.n_ctx or _TOKENS)
        self.model = model
        self.texts = [tuple((a + b * i) % s.d_vocab for i in range(n)) for a, b in ((1, 1), (3, 7))]
        self.n = n
        self.limit = _LIMITS.get(model.dtype, _COARSE)
        self.worst = 0.0
        self._random = torch.Generator().manual_seed(0)
        self.clean_logits = [self.plainly([(text, None)])[0] for text in (0, 1)]
        self.seen = self._see()
        self.changes = {at: self._change(at, i % 2) for i, at in enumerate(self.tried())}
        self._meant: dict[tuple[Capture, int], Tensor] = {}

    def tried(self) -> Iterator[Capture]:
        """Every kind of place at the first, middle and last layer that has it."""
        for name in PLACES:
            layers = [i for i in range(self.model.shape.n_layers) if self.model.reaches(name, i)]
            if layers:
                for layer in sorted({layers[0], layers[len(layers) // 2], layers[-1]}):
                    yield name, layer

    def changed(self, changes: Sequence[Change]) -> list[Tensor]:
        """Logits [pos d_vocab] of texts with each of these changes, by plain hooks."""
        new = [c for c in changes if (c.at, c.text) not in self._meant]
        if new:
            result = self.plainly([(c.text, c) for c in new])
            self._meant |= {(c.at, c.text): one for c, one in zip(new, result, strict=True)}
        return [self._meant[c.at, c.text] for c in changes]

    def plainly(self, rows: Sequence[tuple[int, Change | None]]) -> list[Tensor]:
        """Logits [pos d_vocab] of each row, a text with one change or none, in a whole pass."""
        ids = torch.tensor([self.texts[text] for text, _ in rows], device=self.model.device)
        edits = [() if change is None else (change.edit,) for _, change in rows]
        with passing(self.model, self.n, by_place(edits)):
            return list(self.model(ids).float())

    def _see(self) -> Mapping[Capture, list[Tensor]]:
        """What plain hooks see at every place tried, of each text."""
        seen: dict[Capture, list[Tensor]] = {at: [] for at in self.tried()}

        def looking(at: Capture) -> Callable[[Tensor], None]:
            return lambda activation: seen[at].extend(row.clone() for row in activation)

        with passing(self.model, self.n, {}, {at: looking(at) for at in seen}):
            self.model(torch.tensor(self.texts, device=self.model.device))
        return seen

    def reads(self) -> dict[Capture, float]:
        """How far what a shared pass sees is from what plain hooks see."""
        rows = [forward.Row(ids, captures=frozenset(self.seen)) for ids in self.texts]
        results = forward.run(self.model, rows)
        return {
            at: max(off_by(r.captured[at], one) for r, one in zip(results, seen, strict=True))
            for at, seen in self.seen.items()
        }

    def value_like(self, name: str, layer: int, text: int) -> Tensor:
        """Random numbers the size of what is there: [pos …], a pattern's [query head key]."""
        seen = self.seen[name, layer][text].float()
        noise = torch.randn(tuple(seen.shape), generator=self._random).to(seen.device)
        value = noise * seen.std().clamp_min(1e-3)
        return value.transpose(0, 1) if name in SOFTMAX else value

    def _change(self, at: Capture, text: int) -> Change:
        return Change(at, text, self.value_like(*at, text))


def off_by(result: Tensor, meant: Tensor) -> float:
    """How far two tensors are apart, as a share of the second's size."""
    size = float(meant.float().norm())
    return float((result.float() - meant.float()).norm()) / max(size, 1e-6)
