"""The training text: an endless, seeded stream of short lines, and prompts it never holds.

The prompts the models are judged on are fixed first. Of ladders that are lists (months, letters),
whole styles are held out: training never writes that list with that separator in that case. Of
counted ladders, windows of consecutive terms are held out in every style, and a prompt ends in one;
of sentences, whole prompts are. A run that comes to a held-out window is cut before its last term,
without an end: what was dropped or ended there would teach that nothing follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from engine.tasks.families import (
    FAMILIES,
    LADDERS,
    Example,
    Ladder,
    age_line,
    date_line,
    done_in,
    shuffled,
)

SEPARATORS = (" ", ", ", "\n", " -> ", "; ", " / ")
_LINE_BREAKS = 2
"""How often line breaks are written beside any other separator: only after them are terms written
without a space, which makes them other tokens."""
_HELD_OUT_SEED = 20_000
_SENTENCES = 200
_WEIGHTS = {
    "numerals": 5.0,
    "number words": 2.0,
    "months": 1.5,
    "ordinal words": 1.5,
    "ordinals": 2.0,
    "steps of 2": 1.5,
    "steps of 3": 1.5,
    "steps of 5": 1.5,
    "descending": 3.0,
    "Fibonacci": 0.7,
}
_CASES = {
    "months": ("upper", "lower", "short"),
    "weekdays": ("upper", "lower", "short"),
    "number words": ("upper", "title"),
    "ordinal words": ("upper", "title"),
    "letters": ("lower",),
}
_CASINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper": str.upper,
    "lower": str.lower,
    "title": str.capitalize,
    "short": lambda term: term[:3],
}


@dataclass(frozen=True)
class Style:
    """How a run is written: what stands between its terms, and their case."""

    separator: str = " "
    case: str = "plain"

    def write(self, terms: list[str]) -> str:
        cased = _CASINGS[self.case]
        return self.separator.join(cased(t) for t in terms)


@dataclass(frozen=True)
class Line:
    """A line to train on; `ends` is false where it was broken off."""

    text: str
    ends: bool = True


@dataclass(frozen=True)
class HeldOut:
    """What training never sees: examples by family, the texts no line may hold (each with how many
    of its characters may stay, 0 where the line must go), and the styles a list is not written in.
    """

    examples: dict[str, list[Example]]
    texts: dict[str, int]
    styles: dict[str, tuple[Style, ...]]

    def spare(self, line: Line) -> Line | None:
        """What may stay of a line: all of it, its beginning, or nothing."""
        text = line.text
        found = [(text.find(held), stay) for held, stay in self.texts.items() if held in text]
        if not found:
            return line
        if not all(stay for _, stay in found):
            return None
        return Line(text[: min(at + stay for at, stay in found)], ends=False)


def held_out() -> HeldOut:
    """The prompts to judge by, the same every time."""
    rng = Random(_HELD_OUT_SEED)
    examples: dict[str, list[Example]] = {}
    texts: dict[str, int] = {}
    kept_out: dict[str, tuple[Style, ...]] = {}
    for name, ladder in LADDERS.items():
        kept_out[name] = () if ladder.counted else _styles_held_out(ladder, rng)
        found: list[Example] = []
        for style in kept_out[name] or styles(ladder):
            starts = [
                s for s in ladder.starts if len(ladder.run(s, ladder.shown + 1)) > ladder.shown
            ]
            if ladder.counted:
                starts = rng.sample(starts, len(starts) // 25)
            for start in starts:
                window = ladder.run(start, ladder.shown)
                texts[style.write(window)] = len(style.write(window[:-1]))
                found += [
                    example
                    for before in range(5)
                    if (example := _ending_in(ladder, style, start, before))
                ]
        examples[name] = found
    for name, sample in FAMILIES.items():
        if name not in LADDERS:
            drawn = {e.prompt: e for e in (sample(rng) for _ in range(_SENTENCES))}
            examples[name] = list(drawn.values())
            texts |= dict.fromkeys(drawn, 0)
    return HeldOut(examples, texts, kept_out)


def styles(ladder: Ladder) -> list[Style]:
    """The styles a ladder is written in."""
    cases = ("plain", *_CASES.get(ladder.name, ()))
    return [Style(s, c) for c in cases for s in SEPARATORS]


def lines(seed: int, held: HeldOut) -> Iterator[Line]:
    """Training lines without end, none of which holds a held-out text."""
    rng = Random(seed)
    written = {
        name: [
            s
            for s in styles(ladder)
            if s not in held.styles[name]
            for _ in range(_LINE_BREAKS if s.separator == "\n" else 1)
        ]
        for name, ladder in LADDERS.items()
    }
    weights = {name: _WEIGHTS.get(name, 1.0) for name in LADDERS}
    while True:
        line = held.spare(_line(rng, written, weights))
        if line is not None:
            yield line


def _styles_held_out(ladder: Ladder, rng: Random) -> tuple[Style, ...]:
    """Of each case a separator: commas or arrows.

    Not line breaks, the only style in which a term follows without a space, as another token; nor
    plain spaces, the first thing anyone types.
    """
    cases = dict.fromkeys(s.case for s in styles(ladder))
    return tuple(Style(rng.choice((", ", " -> ")), case) for case in cases)


def _ending_in(ladder: Ladder, style: Style, start: int, before: int) -> Example | None:
    """A prompt that ends in a held-out window, with so many terms before it."""
    for earlier in ladder.starts:
        run = ladder.run(earlier, before + ladder.shown + 1)
        if len(run) == before + ladder.shown + 1 and run[before:] == ladder.run(
            start, ladder.shown + 1
        ):
            prompt, whole = style.write(run[:-1]), style.write(run)
            joined = style.separator.rstrip(" ")
            cut = len(prompt) + len(joined)
            last = style.write(run[-2:-1])
            lead = " " if style.separator.endswith(" ") else ""
            return Example(ladder.name, whole[:cut], whole[cut:], lead + last)
    return None


def _line(rng: Random, written: dict[str, list[Style]], weights: dict[str, float]) -> Line:
    """A line; it ends where its sentence or its ladder does, and else is broken off."""
    kind = rng.random()
    if kind < 0.16:
        return _sentence(date_line(rng))
    if kind < 0.25:
        return _sentence(age_line(rng))
    if kind < 0.32:
        ladder = LADDERS[rng.choice(("numerals", "numerals", "number words", "months"))]
        terms = ladder.run(rng.choice(ladder.starts[:20]), rng.randint(4, 9))
        return Line(done_in(rng, terms, 0)[1], ends=False)
    name = rng.choices(list(weights), list(weights.values()))[0]
    ladder = LADDERS[name]
    style = rng.choice(written[name]) if rng.random() < 0.65 else Style()
    if rng.random() < 0.14:
        terms = shuffled(rng, ladder, rng.randint(3, 8))
        if len(terms) < 6 and rng.random() < 0.4:
            return Line(done_in(rng, terms, 0)[1], ends=False)
        return Line(style.write(terms), ends=False)
    n = rng.randint(20, 44) if rng.random() < 0.06 else rng.randint(5, 14)
    start = rng.choice(ladder.starts)
    if rng.random() < 0.15:
        start = ladder.starts[min(rng.randrange(4), len(ladder.starts) - 1)]
    terms = ladder.run(start, n)
    return Line(style.write(terms), ends=len(terms) < n)


def _sentence(example: Example) -> Line:
    return Line(example.prompt + example.answer + ".")
