"""Edits and looks of rows that share a pass, at the places where their activations pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor

from ..errors import EngineError
from ..model.model import Model
from ..model.place import NAMES, SOFTMAX
from .hooks import Edit, apply

Capture = tuple[str, int]
"""The TransformerLens name of an activation and its layer, as in `("pattern", 3)`."""

Wanted = Mapping[Capture, Sequence[tuple[int, Edit]]]
"""By place: which row is changed there, and how."""

Look = Callable[[Tensor], None]


def by_place(rows: Sequence[Sequence[Edit]]) -> dict[Capture, list[tuple[int, Edit]]]:
    """The edits of rows by the place where they are made, in the order written; none at a place
    that is only read."""
    wanted: dict[Capture, list[tuple[int, Edit]]] = {}
    for row, edits in enumerate(rows):
        for one in edits:
            wanted.setdefault((one.point, one.layer), []).append((row, one))
            if one.reads is not None:
                wanted.setdefault(one.reads, [])
    return wanted


@contextmanager
def passing(
    model: Model, n_tokens: int, wanted: Wanted, looks: Mapping[Capture, Look] | None = None
) -> Iterator[None]:
    """Make the edits while ids [rows n_tokens] are read, and let `looks` see what then passes;
    nothing of it outlives that.

    Raises: EngineError where an activation was never passed, so that it was not changed.
    """
    looks = looks or {}
    fired = dict.fromkeys([*wanted, *looks], False)
    read = {one.reads for edits in wanted.values() for _, one in edits}
    passed: dict[Capture, Tensor] = {}

    def acting(at: Capture) -> Callable[[Tensor], Tensor | None]:
        edits, look = wanted.get(at, ()), looks.get(at)

        def act(activation: Tensor) -> Tensor | None:
            fired[at] = True
            changed = _applied(at[0], edits, activation, passed) if edits else activation
            if at in read:
                passed[at] = changed
            if look is not None:
                look(changed)
            return changed if edits else None

        return act

    with ExitStack() as stack:
        for at in sorted(fired, key=lambda at: (at[1], NAMES.index(at[0]))):
            stack.enter_context(model.hooked(*at, n_tokens, acting(at)))
        yield
        missed = [f"{name} of layer {layer}" for (name, layer), yes in fired.items() if not yes]
        if missed:
            raise EngineError(
                f"The hook at {missed[0]} never fired on this architecture, so nothing is shown "
                "rather than a result in which it was not applied."
            )


def _applied(
    name: str,
    edits: Sequence[tuple[int, Edit]],
    activation: Tensor,
    passed: Mapping[Capture, Tensor],
) -> Tensor:
    if name in SOFTMAX:  # [rows head_index query_pos key_pos]: heads behind positions, as elsewhere
        return apply(edits, activation.transpose(1, 2)).transpose(1, 2)
    return apply(edits, activation, passed)
