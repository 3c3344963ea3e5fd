"""Clean and corrupted prompts as values: pairs, tasks made of them, and the files they are kept in.

A pair is a prompt with what comes next, a distractor, and a corrupted twin that has nothing to
continue: the same words at the same places, so that what the model does with them is what differs.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ..errors import EngineError, ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.parsed import Parsed, field
from ..text.csv_text import read_csv
from .families import MOST_EXAMPLES, Example, check_texts
from .results import TaskScore
from .styles import SPACES, check_style

MOST_TASK_TEXT = 20_000_000
"""Characters a task's file may have."""


@dataclass(frozen=True)
class Pair:
    """A clean prompt and its corrupted twin. Answer and distractor are scored after the clean one,
    in place, so they carry their leading space."""

    prompt: str
    corrupted: str = ""
    answer: str = ""
    distractor: str = ""

    def __post_init__(self) -> None:
        check_texts(self)


def as_pairs(given: Any) -> tuple[Pair, ...]:
    """Pairs as notebooks hand them in: a task, or pairs, prompts, tuples in the order of a pair's
    fields; one, or a list of them. Raises: EngineError for what is none of these."""
    if isinstance(given, Task):
        return given.pairs
    if isinstance(given, str | Pair | Example):
        given = [given]
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise EngineError(f"{given!r:.60} is no list of pairs.")
    return tuple(map(_as_pair, given))


def _as_pair(one: Any) -> Pair:
    match one:
        case Pair():
            return one
        case Example():
            return Pair(one.prompt, answer=one.answer, distractor=one.distractor)
        case str():
            return Pair(one)
        case tuple() | list() if 1 <= len(one) <= len(COLUMNS):
            return Pair(*one)
    raise EngineError(
        f"{one!r:.60} is no pair: give a Pair, or its prompt, corrupted prompt, answer and "
        "distractor."
    )


def as_task(given: Any, model: str = "") -> Task:
    """A task, or pairs as `as_pairs` takes them as a task of one's own. Raises: EngineError."""
    return given if isinstance(given, Task) else Task("your own", as_pairs(given), model=model)


@dataclass(frozen=True)
class Task:
    """Pairs that ask the same thing.

    `family`, `model`, `seed`, `style`: what it was drawn with, empty (None, the default) for a
    task of one's own.
    `n_tokens`: how many tokens every prompt has for that model, clean and corrupted, BOS included
    where the model has one; None where they may differ. `notes`: what a reader must know.
    Raises: EngineError for one without pairs, or with a pair that has no prompt.
    """

    name: str
    pairs: Parsed[tuple[Pair, ...], AsPairs] = field()
    family: str = ""
    model: str = ""
    seed: int | None = None
    n_tokens: int | None = None
    notes: tuple[str, ...] = ()
    style: str = SPACES

    def __post_init__(self) -> None:
        if isinstance(self.pairs, str) and not isinstance(self.family, str):  # model, then pairs
            model, pairs = self.pairs, self.family
            object.__setattr__(self, "family", "")
            object.__setattr__(self, "model", model)
            object.__setattr__(self, "pairs", pairs)
        object.__setattr__(self, "pairs", as_pairs(self.pairs))
        for name in ("name", "family", "model"):
            if not isinstance(value := getattr(self, name), str):
                raise EngineError(f"A task's {name} is a text, not {value!r:.60}.")
        check_style(self.style)
        if not 0 < len(self.pairs) <= MOST_EXAMPLES:
            raise EngineError(
                f"The task “{self.name[:60]}” has {len(self.pairs):,} pairs; it needs 1 to "
                f"{MOST_EXAMPLES:,}."
            )
        bare = next((i for i, pair in enumerate(self.pairs) if not pair.prompt), None)
        if bare is not None:
            raise EngineError(f"Pair {bare + 1} of the task “{self.name[:60]}” has no prompt.")

    @property
    def references(self) -> tuple[str, ...]:
        """The corrupted prompts, each once: what averages are taken over."""
        return tuple(dict.fromkeys(pair.corrupted for pair in self.pairs if pair.corrupted))

    def without_wrong(self, score: TaskScore) -> Task:
        """The task without the pairs that the model gets wrong with nothing ablated.

        Raises: EngineError if none are left, or for the score of another task.
        """
        right = score.clean.right
        if len(right) != len(self.pairs):
            raise EngineError(
                f"The score is of {len(right)} pairs, and “{self.name[:60]}” has "
                f"{len(self.pairs)}: score this task."
            )
        if not right.any():
            raise EngineError(
                f"The model gets all {len(self.pairs)} pairs of “{self.name[:60]}” wrong, so no "
                "task is left; choose a model that can do it."
            )
        return replace(self, pairs=tuple(itertools.compress(self.pairs, right)))


AsPairs = Task | Pair | Example | str | Iterable[Pair | Example | str | Sequence[str]]
"""What `as_pairs` reads."""


def asked_of(e: Experiment, pair: Pair, references: tuple[str, ...] = ()) -> Experiment:
    """An experiment asked of a pair: its model and its changes, with the pair's texts. `references`
    stand in where a method averages and the experiment names none."""
    methods = (e.method, *(change.becomes for change in e.changes))
    averages = any(method.kind.takes == "references" for method in methods)
    return replace(
        e,
        prompt=pair.prompt,
        corrupted=pair.corrupted,
        answer=pair.answer,
        distractor=pair.distractor,
        references=e.references or (references if averages else ()),
    )


def experiments(e: Experiment, pairs: Sequence[Pair] | None) -> tuple[Experiment, ...]:
    """One experiment a pair, each with the references of all; e itself without any.

    Raises: ExperimentError for no pairs at all.
    """
    if pairs is None:
        return (e,)
    if not pairs:
        raise ExperimentError("There are no prompts to sweep over; give at least one pair.")
    references = e.references or tuple(p.corrupted for p in pairs if p.corrupted)
    return tuple(asked_of(replace(e, references=references), p) for p in pairs)


def read_task(text: str, name: str) -> Task:
    """Read a task of one's own: CSV whose first line names its columns, or JSON, an object a line.

    The columns, or names, are prompt, corrupted, answer and distractor; only the prompt must be
    there. Texts are taken as they stand, so a leading space belongs to them.
    Raises: EngineError naming the line that cannot be read.
    """
    if len(text) > MOST_TASK_TEXT:
        raise EngineError(f"The file has {len(text):,} characters; at most {MOST_TASK_TEXT:,}.")
    text = text.removeprefix("\ufeff")
    result = _json_lines(text) if text.lstrip().startswith("{") else read_csv(text, COLUMNS)
    pairs = []
    for line, values in result:
        if not values.get("prompt"):
            raise EngineError(f"Line {line}: there is no prompt.")
        pairs.append(Pair(**values))
        if len(pairs) > MOST_EXAMPLES:
            raise EngineError(f"Line {line}: a task has at most {MOST_EXAMPLES:,} pairs.")
    if not pairs:
        raise EngineError("There are no pairs in the file; write one a line, below the columns.")
    return Task(name, tuple(pairs))


def write_task(task: Task, form: str = "csv") -> str:
    """A task's pairs as CSV or, with `form` "jsonl", as JSON, an object a line.

    Returns: text that `read_task` reads back to the same pairs.
    """
    rows = [{name: getattr(pair, name) for name in COLUMNS} for pair in task.pairs]
    match form:
        case "csv":
            out = io.StringIO(newline="")
            writer = csv.DictWriter(out, COLUMNS, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            return out.getvalue()
        case "jsonl":
            return "".join(json.dumps(row) + "\n" for row in rows)
    raise EngineError(f"A task is written as csv or jsonl, not as “{form[:40]}”.")


COLUMNS = tuple(f.name for f in fields(Pair))


def _json_lines(text: str) -> Iterable[tuple[int, dict[str, str]]]:
    for line, written in enumerate(text.split("\n"), 1):
        if not written.strip():
            continue
        try:
            values = json.loads(written)
        except (ValueError, RecursionError) as wrong:
            raise EngineError(f"Line {line}: this is not JSON ({str(wrong)[:100]}).") from wrong
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise EngineError(f"Line {line}: a pair is an object whose values are texts.")
        unknown = sorted(set(values) - set(COLUMNS))
        if unknown:
            raise EngineError(
                f"Line {line}: a pair has no “{unknown[0][:40]}”; it has {', '.join(COLUMNS)}."
            )
        yield line, values
