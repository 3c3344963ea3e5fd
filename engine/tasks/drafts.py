"""Prompts with gaps, as pure text: what a clean prompt has there, and what a corrupted one may.

A corrupted prompt keeps every word but those in the gaps, and leaves nothing to continue: terms of
the same kind, none the neighbour of the one before it and none where the clean prompt has it, for
the ladders (as in Lan, Torr & Barez 2023); the start year's last digits 01 (Hanna, Liu & Variengien
2023); a third name where the second is repeated (the ABC prompts of Wang et al. 2022).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from .families import (
    AGE,
    DATE,
    LADDERS,
    MONTHS,
    NAMES,
    UNITS,
    VERBS,
    Ladder,
    days_after,
    done_in,
    ordinal,
)
from .styles import SPACES, STYLES, Style

_DONE_IN = ("numerals", "number words", "months")
_NEAR = 10
"""How far beyond the clean prompt's numbers those of its corrupted twin may go."""
EVENTS = (
    "war siege strike journey famine plague voyage reign drought revolt feud trial quest battle "
    "campaign conflict expedition occupation rebellion dynasty alliance marriage project exhibition"
).split()
PEOPLE = (
    "Mary John Tom James Dan Sarah Anna David Mark Paul Peter Alice Robert Michael William Kate "
    "Laura Susan Jack Henry George Emma Lisa Martin Rachel Richard Thomas Frank Steve Kevin Amy"
).split()
PLACES = "store garden restaurant school hospital office house station park market".split()
THINGS = "drink book ring kiss bone basketball computer necklace ticket letter".split()
MEETINGS = (
    "When {} and {} went to the {}, {} gave a {} to",
    "After {} and {} went to the {}, {} gave a {} to",
    "While {} and {} were at the {}, {} gave a {} to",
    "Then, {} and {} went to the {}. {} gave a {} to",
)


@dataclass(frozen=True)
class Draft:
    """A clean prompt, and what else its gaps may hold.

    `terms`: what the clean prompt has in its gaps; `write`: the prompt with other terms in them.
    `others`: for each gap, the terms a corrupted prompt may have; `fits`: whether such terms
    together leave nothing to continue. `exact`: whether tokens must begin and end at the same
    characters in both prompts. `between`: what stands before each term but the first.
    """

    terms: tuple[str, ...]
    write: Callable[[Sequence[str]], str]
    others: tuple[tuple[str, ...], ...]
    fits: Callable[[Sequence[str]], bool]
    answer: str
    distractor: str
    exact: bool = False
    between: str = " "


def _ladder_draft(ladder: Ladder, done: bool, rng: Random, style: Style = STYLES[SPACES]) -> Draft:
    shown = 3 if done else ladder.shown
    run: list[str] = []
    while len(run) <= shown:
        run = ladder.run(rng.choice(ladder.starts[:20] if done else ladder.starts), shown + 1)
    *terms, answer = run
    line, verb = rng.randrange(2**32), rng.choice(VERBS)

    def write(others: Sequence[str]) -> str:
        if not done:
            return style.prompt(others)
        return done_in(Random(line), [*others, answer], shown, verb)[0]

    counts = answer.isdigit()
    pool = _numbers_near(run) if counts else list(dict.fromkeys(ladder.run(0, 60)))
    pool = [term for term in pool if term != answer]
    nothing_goes_on = _no_numbers_go_on if counts else _no_terms_go_on
    return Draft(
        terms=tuple(terms),
        write=write,
        others=tuple(tuple(p for p in pool if p != term) for term in terms),
        fits=partial(nothing_goes_on, terms if counts else ladder.run(0, 60)),
        answer=style.following(answer),
        distractor=style.following(terms[-1]),
        between=style.between,
    )


def _numbers_near(run: Sequence[str]) -> list[str]:
    numbers = [int(term) for term in run]
    return [str(n) for n in range(max(0, min(numbers) - _NEAR), max(numbers) + _NEAR + 1)]


def _no_numbers_go_on(clean: Sequence[str], terms: Sequence[str]) -> bool:
    """No number is next to the one before it or a step of the clean run away, no step comes twice
    in a row, and none is the sum of the two before."""
    numbers = [int(term) for term in terms]
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    known = {abs(int(b) - int(a)) for a, b in itertools.pairwise(clean[:2])} | {0, 1}
    return (
        not any(abs(step) in known for step in steps)
        and not any(a == b for a, b in itertools.pairwise(steps))
        and not any(a + b == c for a, b, c in zip(numbers, numbers[1:], numbers[2:], strict=False))
        and len(set(numbers)) == len(numbers)
    )


def _no_terms_go_on(ladder: Sequence[str], terms: Sequence[str]) -> bool:
    """All differ, and none is the neighbour of the one before it, the list's ends included."""
    order = {term: i for i, term in enumerate(dict.fromkeys(ladder))}
    places = [order[term] for term in terms]
    beside = (1, len(order) - 1)
    return len(set(places)) == len(places) and not any(
        abs(a - b) in beside for a, b in itertools.pairwise(places)
    )


def _date_draft(rng: Random) -> Draft:
    month, day, days = rng.choice(MONTHS), rng.randint(1, 28), rng.randint(2, 20)
    then, later = days_after(month, day, days)

    def fits(terms: Sequence[str]) -> bool:
        return days_after(terms[0], int(terms[1][:-2]), int(terms[2])) != (then, later)

    terms = (month, ordinal(day), str(days))
    pools = (MONTHS, [ordinal(n) for n in range(1, 29)], [str(n) for n in range(2, 21)])
    return Draft(
        terms=terms,
        write=lambda others: DATE.format(*others),
        others=tuple(
            tuple(p for p in pool if p != t) for pool, t in zip(pools, terms, strict=True)
        ),
        fits=fits,
        answer=f" {then} {ordinal(later)}",
        distractor=f" {month} {ordinal(day)}",
    )


def _age_draft(rng: Random) -> Draft:
    a, b = rng.sample(NAMES, 2)
    years, younger = rng.randint(2, 9), rng.randint(1, 40)
    older_first = rng.random() < 0.5
    ages = (younger + years, younger) if older_first else (younger, younger + years)
    word, sign = ("older", -1) if older_first else ("younger", 1)

    def fits(terms: Sequence[str]) -> bool:
        age = int(terms[1]) + sign * (UNITS.index(terms[0]) + 1)
        return age > 0 and age not in ages

    words = tuple(u for u in UNITS[1:9] if u != UNITS[years - 1])
    near = tuple(str(n) for n in range(1, 51) if n not in ages)
    return Draft(
        terms=(UNITS[years - 1], str(ages[0])),
        write=lambda terms: AGE.format(a, terms[0], "years", word, b, a, terms[1], b),
        others=(words, near),
        fits=fits,
        answer=f" {ages[1]}",
        distractor=f" {ages[0]}",
    )


def _later_year_draft(rng: Random) -> Draft:
    event, century, year = rng.choice(EVENTS), rng.randint(11, 17), rng.randint(4, 97)
    away = rng.randint(1, min(99 - year, year - 2))
    first = f"{century}{year:02d}"
    return Draft(
        terms=(first,),
        write=lambda terms: f"The {event} lasted from the year {terms[0]} to the year {century}",
        others=((f"{century}01",),),
        fits=lambda _: True,
        answer=f"{year + away:02d}",
        distractor=f"{year - away:02d}",
        exact=True,
    )


def _indirect_object_draft(rng: Random) -> Draft:
    meeting, place, thing = (rng.choice(some) for some in (MEETINGS, PLACES, THINGS))
    receiver, giver = names = rng.sample(PEOPLE, 2)
    a, b = names if rng.random() < 0.5 else names[::-1]
    return Draft(
        terms=(giver,),
        write=lambda terms: meeting.format(a, b, place, terms[0], thing),
        others=(tuple(name for name in PEOPLE if name not in names),),
        fits=lambda _: True,
        answer=f" {receiver}",
        distractor=f" {giver}",
    )


DRAFTS: dict[str, Callable[[Random], Draft]] = {
    **{name: partial(_ladder_draft, ladder, False) for name, ladder in LADDERS.items()},
    **{f"done in ({name})": partial(_ladder_draft, LADDERS[name], True) for name in _DONE_IN},
    "dates": _date_draft,
    "ages": _age_draft,
    "greater than": _later_year_draft,
    "indirect object": _indirect_object_draft,
}
"""Family name → a way to draw a clean prompt with its gaps."""


def draft_of(family: str, style: str, rng: Random) -> Draft:
    """Draw a clean prompt of a family with its gaps, in a style that it comes in."""
    if family in LADDERS:
        return _ladder_draft(LADDERS[family], False, rng, STYLES[style])
    return DRAFTS[family](rng)


def pair_families() -> tuple[str, ...]:
    """The names of the families that tasks of clean and corrupted pairs can be drawn of."""
    return tuple(DRAFTS)
