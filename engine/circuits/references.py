"""Whose prompts a circuit's averages are over: its own, those of the pairs it is asked of, others.

Which pairs a circuit is asked of and which prompts its averages are over are two choices: the same
circuit on fresh pairs is another circuit if its means change with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.method import Kind
from ..model.model import Model
from ..tasks.pairs import Task
from .circuit import Circuit

Whose = Literal["", "circuit", "pairs", "given"]
"""Of the circuit, of the pairs it is asked of, or given; empty where no method averages."""


@dataclass(frozen=True)
class References:
    """Reference prompts, whose they are, and what a reader must know of the choice."""

    texts: tuple[str, ...] = ()
    whose: Whose = ""
    notes: tuple[str, ...] = ()


def choose_references(
    model: Model, circuit: Circuit, task: Task, given: Task | Iterable[str] | None = None
) -> References:
    """The prompts that a circuit's averages are over when it is asked of a task's pairs.

    `given`: prompts, or a task whose corrupted prompts are meant. Without any they are the
    circuit's own; where it has none, or those have another length than its method needs, the
    corrupted prompts of the pairs.
    Raises: EngineError for references that are given and are none.
    """
    if circuit.method.kind.takes != "references":
        return References()
    if given is not None:
        texts = given.references if isinstance(given, Task) else given
        named = Experiment(references=texts).references  # read as one's
        if not named:
            raise ExperimentError(
                f"No reference prompts are given, and {circuit.method} averages over some: name "
                "prompts, or a task with corrupted ones."
            )
        return References(named, "pairs" if named == task.references else "given")
    if not circuit.references:
        return References(task.references, "pairs")
    wrong = _misfit(model, circuit, task)
    if wrong:
        return References(task.references, "pairs", (wrong,))
    return References(circuit.references, "circuit")


def _misfit(model: Model, circuit: Circuit, task: Task) -> str:
    """Why the circuit's own references cannot be used; empty where they can."""
    if circuit.method.kind is not Kind.MEAN_BY_POSITION or not task.references:
        return ""

    def lengths(texts: Iterable[str]) -> list[int]:
        return sorted({len(model.tokenizer.encode(text)) for text in texts})

    own, these = lengths(circuit.references), lengths(pair.prompt for pair in task.pairs)
    if own == these:
        return ""
    return (
        f"The prompts that the circuit's averages were over have {_counts(own)} tokens and these "
        f"pairs {_counts(these)}, and {circuit.method} needs them equal: averages are over these "
        "pairs' own corrupted prompts."
    )


def _counts(lengths: list[int]) -> str:
    return str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
