"""Prompt families of sequence continuation, as pure text: what comes next, and what does not.

A family is a ladder of terms (numerals, months, …) of which a run is shown, or a sentence with a
gap at its end. Each gives examples: a prompt, its answer, and as distractor a term that the
prompt itself holds. Shuffled runs have nothing to continue and serve as corrupted prompts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from random import Random
from typing import Any

from ..errors import EngineError
from ..experiment.numbers import whole_number
from .styles import SPACES, STYLES, Style, check_style

MOST_EXAMPLES = 10_000
"""Prompts that are drawn or read at once."""

MONTHS = (
    "January February March April May June July August September October November December"
).split()
WEEKDAYS = ("Monday Tuesday Wednesday Thursday Friday Saturday Sunday").split()
UNITS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
).split()
NUMBER_WORDS = [*UNITS, "twenty", *(f"twenty-{u}" for u in UNITS[:9]), "thirty"]
ORDINAL_WORDS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
SPANISH_NUMBERS = (
    "uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
    "dieciséis diecisiete dieciocho diecinueve veinte"
).split()
SPANISH_MONTHS = (
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"
).split()
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
DAYS_IN = dict(zip(MONTHS, (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))
NOUNS = (
    "Van Hat Ring Desk Bell Book Lamp Chair Table Boat Cake Coat Drum Fence Gate House Kite "
    "Ladder Mirror Oven Piano Quilt Road Shelf Tent Umbrella Vase Wall Wagon Bridge Clock Door "
    "Engine Flute Glove Hammer Jar Kettle Letter Map Nest Organ Plate Rope Sail Tower Violin "
    "Window Yard Basket Candle Dress Easel Farm Garden Harp Island Jacket Knife Locket Motor "
    "Needle Opera Pencil Raft Statue Trunk Uniform Village Whistle"
).split()
VERBS = (
    "done made built lost found sold bought fixed opened closed painted moved born seen"
).split()
NAMES = (
    "Bob Steve Alice Carol Dave Emma Frank Grace Henry Iris Jack Kate Liam Mary Nick Olive Paul "
    "Rose Sam Tom Uma Vera Walt Zoe"
).split()
DATE = "If today is {} {}, then in {} days it will be"
AGE = "{} is {} {} {} than {}. {} is {} and {} is"
FIBONACCI = (0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987)


@dataclass(frozen=True)
class Example:
    """One prompt with what comes next. Answer and distractor carry their leading space.

    `family`: what it was drawn of, empty for one's own; `Example("1 2", " 3")` is a prompt and its
    answer. Raises: EngineError for a field that is no text.
    """

    family: str
    prompt: str = ""
    answer: str = ""
    distractor: str = ""

    def __post_init__(self) -> None:
        if self.family not in ("", *FAMILIES):  # then it is the prompt, and the rest follows
            given = ("", self.family, self.prompt, self.answer)
            for field, value in zip(fields(self), given, strict=True):
                object.__setattr__(self, field.name, value)
        check_texts(self)


@dataclass(frozen=True)
class Ladder:
    """Terms in order. `starts`: where a run may begin; `term(start, i)`: its i-th term, or None
    past the ladder's end; `shown`: how many terms a prompt has; `counted`: whether the terms are
    numbers to be counted rather than a list to be known."""

    name: str
    starts: range
    term: Callable[[int, int], str | None]
    shown: int = 4
    counted: bool = False

    def run(self, start: int, n: int) -> list[str]:
        """The first n terms of a run, fewer at the ladder's end."""
        terms: list[str] = []
        for i in range(n):
            term = self.term(start, i)
            if term is None:
                break
            terms.append(term)
        return terms


def _listed(name: str, terms: list[str], cyclic: bool = False, shown: int = 4) -> Ladder:
    def term(start: int, i: int) -> str | None:
        at = start + i
        return terms[at % len(terms)] if cyclic or at < len(terms) else None

    last = len(terms) if cyclic else len(terms) - shown
    return Ladder(name, range(last), term, shown)


def _counted(name: str, starts: range, step: int) -> Ladder:
    def term(start: int, i: int) -> str | None:
        n = start + step * i
        return str(n) if n >= 0 else None

    return Ladder(name, starts, term, counted=True)


def ordinal(n: int) -> str:
    """A numeral as an ordinal: 1st, 2nd, 11th."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


LADDERS: dict[str, Ladder] = {
    ladder.name: ladder
    for ladder in (
        _counted("numerals", range(1, 201), 1),
        _listed("number words", NUMBER_WORDS),
        _listed("months", MONTHS, cyclic=True),
        _listed("weekdays", WEEKDAYS, cyclic=True, shown=3),
        _listed("letters", LETTERS),
        _listed("ordinal words", ORDINAL_WORDS),
        _listed("ordinals", [ordinal(n) for n in range(1, 32)]),
        _listed("Spanish numbers", SPANISH_NUMBERS),
        _listed("Spanish months", SPANISH_MONTHS, cyclic=True),
        _counted("steps of 2", range(101), 2),
        _counted("steps of 3", range(101), 3),
        _counted("steps of 5", range(101), 5),
        _counted("steps of 10", range(101), 10),
        _counted("descending", range(12, 201), -1),
        _listed("Fibonacci", [str(n) for n in FIBONACCI], shown=5),
    )
}


def done_in(rng: Random, terms: list[str], shown: int, verb: str | None = None) -> tuple[str, str]:
    """“Van done in 1. Hat done in 2. …”: the prompt up to the gap, and the whole line."""
    verb = verb or rng.choice(VERBS)
    nouns = rng.sample(NOUNS, len(terms))
    clauses = [f"{noun} {verb} in {term}." for noun, term in zip(nouns, terms, strict=True)]
    gap = " ".join([*clauses[:shown], f"{nouns[shown]} {verb} in"])
    return gap, " ".join(clauses)


def _sample_ladder(ladder: Ladder, rng: Random, style: Style = STYLES[SPACES]) -> Example:
    while True:
        run = ladder.run(rng.choice(ladder.starts), ladder.shown + 1)
        if len(run) > ladder.shown:
            *shown, answer = run
            answer, distractor = map(style.following, (answer, shown[-1]))
            return Example(ladder.name, style.prompt(shown), answer, distractor)


def _sample_done_in(name: str, ladder: Ladder, rng: Random) -> Example:
    while True:
        run = ladder.run(rng.choice(ladder.starts[:20]), 4)
        if len(run) == 4:
            gap, _ = done_in(rng, run, 3)
            return Example(name, gap, f" {run[3]}", f" {run[2]}")


def days_after(month: str, day: int, days: int) -> tuple[str, int]:
    """Month and day so many days later, up to a month, in a year that is no leap year."""
    if day + days <= DAYS_IN[month]:
        return month, day + days
    return MONTHS[(MONTHS.index(month) + 1) % 12], day + days - DAYS_IN[month]


def date_line(rng: Random) -> Example:
    """“If today is April 12th, then in 15 days it will be” and the date, over month ends too."""
    month = rng.choice(MONTHS)
    day, days = rng.randint(1, DAYS_IN[month]), rng.randint(1, 20)
    then, later = days_after(month, day, days)
    prompt = DATE.format(month, ordinal(day), days)
    return Example("dates", prompt, f" {then} {ordinal(later)}", f" {month} {ordinal(day)}")


def age_line(rng: Random) -> Example:
    """“Bob is three years older than Steve. Bob is 10 and Steve is” and the age."""
    a, b = rng.sample(NAMES, 2)
    years, younger = rng.randint(1, 9), rng.randint(1, 40)
    older_first = rng.random() < 0.5
    ages = (younger + years, younger) if older_first else (younger, younger + years)
    unit = "year" if years == 1 else "years"
    word = "older" if older_first else "younger"
    prompt = AGE.format(a, UNITS[years - 1], unit, word, b, a, ages[0], b)
    return Example("ages", prompt, f" {ages[1]}", f" {ages[0]}")


FAMILIES: dict[str, Callable[[Random], Example]] = {
    **{name: partial(_sample_ladder, ladder) for name, ladder in LADDERS.items()},
    **{
        f"done in ({name})": partial(_sample_done_in, f"done in ({name})", LADDERS[name])
        for name in ("numerals", "number words", "months")
    },
    "dates": date_line,
    "ages": age_line,
}
"""Family name → a way to draw an example."""


def shuffled(rng: Random, ladder: Ladder, n: int) -> list[str]:
    """Terms of a ladder with nothing to continue: no term follows the one before it."""
    pool = list(dict.fromkeys(ladder.run(rng.choice(ladder.starts), 4 * n) or []))
    while len(pool) < n:
        pool += ladder.run(rng.choice(ladder.starts), 4 * n)
    while True:
        terms = rng.sample(pool, n)
        order = [pool.index(term) for term in terms]
        steps = {b - a for a, b in itertools.pairwise(order)}
        if len(steps) > 1 or n < 3:
            return terms


def task_families() -> tuple[str, ...]:
    """The names of the families that examples can be drawn of."""
    return tuple(FAMILIES)


def styles_of(family: str) -> tuple[str, ...]:
    """The names of the styles that a family comes in; none where it is a sentence, whose form is
    its own."""
    return tuple(STYLES) if family in tuple(LADDERS) else ()


def check_styled(family: str, style: object) -> None:
    """Raises: EngineError for a style there is not, or that the family does not come in."""
    check_style(style)
    if style != SPACES and not styles_of(family):
        raise EngineError(
            f"“{family}” is a sentence with a form of its own, so it does not come in the style "
            f"“{style}”; leave the style out."
        )


def check_texts(value: Any) -> None:
    """Refuse a value of texts of which a field is none. Raises: EngineError naming the field."""
    for field in fields(value):
        text = getattr(value, field.name)
        if not isinstance(text, str):
            raise EngineError(f"The {field.name} is a text, not {text!r:.60}.")


def examples(family: str, n: int, seed: int = 0, style: str = SPACES) -> tuple[Example, ...]:
    """Draw n examples of a family in one of STYLES, each once while it has so many.

    A seed draws the same terms in every style. Raises: EngineError for a family there is not, or a
    style that it does not come in.
    """
    n, seed = whole_number(n, "How many examples"), whole_number(seed, "The seed")
    if family not in FAMILIES:
        raise EngineError(f"There is no family “{family!s:.40}”; there are {', '.join(FAMILIES)}.")
    if not 0 <= n <= MOST_EXAMPLES:
        raise EngineError(f"0 to {MOST_EXAMPLES:,} examples can be drawn, not {n:,}.")
    check_styled(family, style)
    return _drawn(family, n, seed, style)


@lru_cache(maxsize=48)
def _drawn(family: str, n: int, seed: int, style: str) -> tuple[Example, ...]:
    """The examples; kept, as pages that follow work ask for the same again and again."""
    draw = FAMILIES[family]
    if family in LADDERS:
        ladder = LADDERS[family]
        draw = partial(_sample_ladder, ladder, style=STYLES[style])
        runs = (ladder.run(start, ladder.shown + 1) for start in set(ladder.starts))
        n = min(n, sum(len(run) > ladder.shown for run in runs))  # there are no more
    rng = Random(seed)
    result: dict[Example, None] = {}
    for _ in range(50 * n):
        if len(result) == n:
            break
        result[draw(rng)] = None
    return tuple(result)
