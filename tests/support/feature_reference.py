"""What changed features of a hand-made SAE do, by plain hooks on Hugging Face's model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

import engine
from tests.support import sae_folders as by_hand
from tests.support.reference import Change, Reference
from tests.support.tiny_models import D_MODEL

N, K = 40, 7
A, D = 11, 6
"""The ids of t8, the answer, and t3, the distractor: words stand behind three special tokens."""
PAIRS = tuple(
    engine.Pair(prompt, "", " t8", " t3")
    for prompt in ("t4 t5 t6 t7", "t9 t1 t2 t7", "t5 t5 t30 t2")
)
Become = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of features [pos feature] and the error [pos d_model]: what becomes of both."""


class FeatureReference:
    """A tiny model with an SAE of what enters layer 2."""

    def __init__(self, directory: Path, kind: str, folder: Path) -> None:
        self.hf, self.kind = Reference(directory), kind
        self.weights = by_hand.weights(kind, D_MODEL, N)
        self.sae = engine.read_sae(by_hand.write(folder, kind, self.weights, k=K))
        self.directory = str(directory)

    def ids(self, text: str) -> tuple[int, ...]:
        return engine.tokenize(self.directory, text).ids

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features and error of activations."""
        f = by_hand.features(self.kind, self.weights, x, K)
        return f, x - by_hand.decoded(self.weights, f)

    def seen(self, text: str, changes: Sequence[Change] = ()) -> Tensor:
        """What enters layer 2, [pos d_model]."""
        found: list[Tensor] = []
        handle = self.hf.layers[2].register_forward_pre_hook(
            lambda _m, args: found.append(args[0][0].clone())
        )
        self.hf.logits(self.ids(text), changes)
        handle.remove()
        return found[0]

    def diff(
        self,
        text: str,
        become: Become = lambda f, error: (f, error),
        at: Sequence[int] | None = None,
        changes: Sequence[Change] = (),
    ) -> float:
        """The logit difference where features and error become something else, at some positions
        (None: all), with `changes` made besides."""

        def hook(_m: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            x = args[0].clone()
            new, error = become(*self.read(x[0]))
            where = list(range(x.shape[1]) if at is None else at)
            x[0, where] = (by_hand.decoded(self.weights, new) + error)[where]
            return (x, *args[1:])

        handle = self.hf.layers[2].register_forward_pre_hook(hook)
        last = self.hf.logits(self.ids(text), changes)[-1]
        handle.remove()
        return float(last[A] - last[D])

    def slopes(self, text: str) -> tuple[Tensor, Tensor]:
        """What enters layer 2, and the logit difference's gradient there, [pos d_model]."""
        found: list[Tensor] = []

        def keep(_m: object, args: tuple[Tensor, ...]) -> None:
            args[0].retain_grad()
            found.append(args[0])

        handle = self.hf.layers[2].register_forward_pre_hook(keep)
        ids = torch.tensor([self.ids(text)])
        last = self.hf.hf(input_ids=ids, use_cache=False).logits[0, -1]
        (last[A] - last[D]).backward()
        handle.remove()
        assert found[0].grad is not None
        return found[0][0].detach(), found[0].grad[0]


def only(kept: Sequence[int], others: Tensor | float = 0.0, error: bool = True) -> Become:
    """All features but those kept become others (0, or [feature], [pos feature])."""

    def become(f: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        new = torch.zeros_like(f) + others
        new[:, list(kept)] = f[:, list(kept)]
        return new, e if error else torch.zeros_like(e)

    return become


def without(gone: Sequence[int], others: Tensor | float = 0.0) -> Become:
    """These features become others."""
    return only([i for i in range(N) if i not in gone], others)
