"""Ready examples of steering: a direction made of runs of two kinds, and the task it is judged on.

A direction is what the last token of a run of the wanted kind has more than that of the same run in
the kind there is: “first second third fourth” less “1 2 3 4”. It is made of every other run and
judged on the rest: after “2 3 4 5” the wanted answer is “ sixth”, what comes without is “ 6”.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import EngineError
from ..experiment.direction import Direction
from ..experiment.experiment import Experiment
from ..experiment.makings import FromPrompts
from ..experiment.sites import Stream
from ..registry import load
from ..tasks.families import MONTHS, NUMBER_WORDS, ORDINAL_WORDS
from ..tasks.pairs import Pair

_SHOWN = 4
_NUMERALS = [str(n) for n in range(1, 21)]
_KINDS: dict[str, tuple[str, Sequence[str], Sequence[str]]] = {
    "numerals to ordinals": ("ordinals", _NUMERALS, ORDINAL_WORDS),
    "months to numerals": ("numerals", MONTHS, _NUMERALS),
    "numerals to number words": ("number-words", _NUMERALS, NUMBER_WORDS),
}
STEERING_EXAMPLES = tuple(_KINDS)
"""The examples by name: the kind of the prompts, and the kind that steering should bring."""


@dataclass(frozen=True)
class SteeringExample:
    """A direction, read in the stream entering `site`'s layer, and `pairs` it is judged on: of
    each the answer is what steering should bring, the distractor what comes without."""

    name: str
    direction: Direction
    pairs: tuple[Pair, ...]

    def experiment(self, model: str) -> Experiment:
        """The first of the prompts, on a model, with the direction."""
        first = self.pairs[0]
        return Experiment(
            model, first.prompt, answer=first.answer, distractor=first.distractor,
            vectors=(self.direction,),
        )  # fmt: skip


def steering_example(name: str, model: str) -> SteeringExample:
    """One of STEERING_EXAMPLES, its direction made in the middle of a model's layers.

    Raises: EngineError for another name, or a model there is not.
    """
    if name not in _KINDS:
        raise EngineError(f"There are the examples {', '.join(_KINDS)}, not “{name!s:.40}”.")
    called, source, wanted = _KINDS[name]
    n = min(len(source), len(wanted)) - _SHOWN
    runs = [(_run(source, start), _run(wanted, start)) for start in range(n)]
    making = FromPrompts([other for _, other in runs[::2]], [one for one, _ in runs[::2]])
    pairs = tuple(
        Pair(one, "", f" {wanted[start + _SHOWN]}", f" {source[start + _SHOWN]}")
        for start, (one, _) in enumerate(runs)
        if start % 2
    )
    layer = load(model).shape.n_layers // 2
    return SteeringExample(name, Direction(called, Stream(layer), making), pairs)


def _run(terms: Sequence[str], start: int) -> str:
    return " ".join(terms[start : start + _SHOWN])
