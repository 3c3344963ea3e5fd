"""What would surprise in a text's tokens, in sentences: what hides in it, what is lost of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

from .characters import bare, code, counted, listed, named
from .round_trip import Difference, Fate

_HIDDEN = {
    "\u00a0": "no-break space",
    "\u00ad": "soft hyphen",
    "\u200b": "zero-width space",
    "\u2060": "word joiner",
    "\ufeff": "byte-order mark",
    **dict.fromkeys("\u200e\u200f\u202a\u202b\u202c\u202d\u202e", "direction mark"),
    **dict.fromkeys("\u2066\u2067\u2068\u2069", "direction mark"),
}


def hidden_characters(text: str, lost: Collection[int] = ()) -> tuple[str, ...]:
    """A sentence for what a reader cannot see in a text, with where it is and what to do.

    Joiners within emoji, tabs and line feeds are ordinary; the rest of the controls are not.
    `lost`: the characters no token spells, of which nothing is said here.
    """
    notes = []
    result = [(at, name) for at, c in enumerate(text) if at not in lost and (name := _name(c))]
    if result:
        places = ", ".join(
            f"{code(text[at])} ({name}) at character {at}" for at, name in result[:3]
        )
        more = f" and {len(result) - 3} more" if len(result) > 3 else ""
        notes.append(
            f"The prompt holds what cannot be seen: {places}{more}. The model reads it as tokens "
            "of its own; type the prompt anew if it came along by copying."
        )
    if any(
        text.startswith("\r\n", at) and at not in lost for at, c in enumerate(text) if c == "\r"
    ):
        notes.append(
            "Lines end in \\r\\n, as Windows writes them; models have mostly seen \\n alone. Save "
            "the prompt with \\n, unless \\r is meant."
        )
    return tuple(notes)


def nothing_left(text: str) -> str:
    """A sentence for a text of which no token is left."""
    return (
        f"“{clip(text)}” gives no tokens: this tokenizer has nothing for {_each(text)}. Write it "
        "with characters of its vocabulary."
    )


def unreadable(text: str, characters: Sequence[str], why: str) -> str:
    """A sentence for a text a tokenizer fails on, as it cannot tell what is unknown to it.

    `characters`: those it fails on, as far as they can be named. `why`: its own words.
    """
    them = listed(map(named, characters)) if characters else "all of it"
    return (
        f"This tokenizer cannot read “{clip(text)}”: it has no token for {them}, and none to stand "
        f"for what is unknown ({why}). Write it with characters of its vocabulary."
    )


def swallowed(text: str, result: Sequence[Difference]) -> tuple[str, ...]:
    """A sentence for each marker that takes in white space beside it."""
    notes = []
    eaten = [one for one in result if one.fate is Fate.SWALLOWED]
    for marker in dict.fromkeys(one.read for one in eaten):
        ours = [one for one in eaten if one.read == marker]
        sides: Counter[tuple[bool, str]] = Counter()
        for one in ours:
            behind = text[: one.start].endswith(marker)
            sides.update((behind, c) for c in text[one.start : one.end])
        parts = [
            f"{counted(n, c)} {'behind' if behind else 'in front of'} it"
            for (behind, c), n in sides.items()
        ]
        notes.append(
            f"{marker} swallows {listed(parts, most=len(parts))}: the marker's one token is the "
            "same with or without, and the model does not see them."
        )
    return tuple(notes)


def not_read_back(
    text: str,
    decoded: str,
    result: Sequence[Difference] | None,
    same_ids: bool,
    first_space: bool,
) -> str:
    """A sentence for tokens that do not spell their text, naming the characters.

    `decoded`: what they spell. `result`: where they differ; None where that is not known.
    `same_ids`: whether these are the tokens of what they spell, unknown characters aside.
    `first_space`: whether the tokenizer puts a space in front of every prompt.
    """
    sentence = f"The tokens read back as “{clip(decoded)}”, not as the prompt: "
    if first_space and text.startswith(" ") and decoded.strip(" ") == text.strip(" "):
        return sentence + (
            "this tokenizer puts a space in front of every prompt by itself, and drops or merges "
            "the prompt's own. Write the prompt without spaces in front."
        )
    if result is None:
        return sentence + (
            "part of it is not in this vocabulary, or is normalized away. What the model reads is "
            "what stands here; write the prompt with characters it knows."
        )
    clauses = [
        c for c in (_unknown(text, result), *_spelt(text, result, same_ids, first_space)) if c
    ]
    if not clauses:
        return sentence + (
            "a marker takes in what stands beside it."
            if any(one.fate is Fate.SWALLOWED for one in result)
            else "its decoder writes them otherwise. No character of the prompt is lost."
        )
    fates = {one.fate for one in result}
    if fates <= {Fate.ADDED, Fate.SWALLOWED}:
        end = "No other character is lost" if Fate.SWALLOWED in fates else "No character is lost"
        return f"{sentence}{'; '.join(clauses)}. {end}."
    if Fate.UNKNOWN in fates or any(_matters(text, one) for one in result):
        clauses[-1] += ". Write the prompt with characters the tokenizer knows if they matter"
    return f"{sentence}{'; '.join(clauses)}."


def without_text(token: int, highest: int) -> str:
    """A sentence for an id that a model puts out and its tokenizer has no token for.

    `highest`: the last id the tokenizer has.
    """
    why = (
        f"this tokenizer's ids end at {highest:,}, and the model has outputs beyond them (a padded "
        "vocabulary)"
        if token > highest
        else "it is a hole in this tokenizer's vocabulary"
    )
    return (
        f"Id {token:,} has no token: {why}. It adds no text, and where the text is tokenized anew "
        "nothing of it is left to feed."
    )


def clip(text: str, most: int = 60) -> str:
    """A text, or the beginning of a long one."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _unknown(text: str, result: Sequence[Difference]) -> str:
    ours = [one for one in result if one.fate is Fate.UNKNOWN]
    if not ours:
        return ""
    each = list(dict.fromkeys(text[one.start : one.end] for one in ours))
    many = len(each) > 1
    return (
        f"{listed(map(named, each))} {'are' if many else 'is'} not in this vocabulary, and the "
        f"model reads {ours[0].read} instead"
    )


def _spelt(text: str, result: Sequence[Difference], same_ids: bool, first_space: bool) -> list[str]:
    """What the tokens spell otherwise, not at all, or beyond the text."""
    changed = [(text[d.start : d.end], d.read) for d in result if d.fate is Fate.CHANGED]
    dropped = "".join(text[d.start : d.end] for d in result if d.fate is Fate.DROPPED)
    added = [d for d in result if d.fate is Fate.ADDED]
    clauses = []
    if changed:
        verb = "read as" if same_ids else "spelt as"
        pairs = listed(f"{named(own)} is {verb} {_read(read)}" for own, read in changed)
        clauses.append(pairs)
    if dropped:
        many = len(set(dropped)) > 1 or len(dropped) > 1
        verb = ("leave no token" if many else "leaves no token") if same_ids else "not spelt"
        be = "" if same_ids else ("are " if many else "is ")
        clauses.append(f"{_each(dropped)} {be}{verb}")
    if added and first_space and (added[0].start, added[0].read) == (0, " "):
        clauses.append("this tokenizer puts a space in front of every prompt by itself")
        added = added[1:]
    if added:
        counts = Counter("".join(one.read for one in added))
        put = listed(counted(n, c) for c, n in counts.items())
        clauses.append(f"the decoder writes {put} that the prompt does not have")
    return clauses


def _matters(text: str, one: Difference) -> bool:
    """Whether more than white space is lost."""
    return one.fate is Fate.DROPPED and bool(text[one.start : one.end].strip())


def _each(text: str) -> str:
    """The characters of a text by name and number."""
    return listed(
        counted(n, c) if n > 1 else f"{bare(c)} ({code(c)})" for c, n in Counter(text).items()
    )


def _read(read: str) -> str:
    return named(read) if len(read) == 1 and not read.isalnum() else f"“{clip(read, 20)}”"


def _name(c: str) -> str:
    if c in _HIDDEN:
        return _HIDDEN[c]
    return "control character" if (c < " " and c not in "\t\n\r") or "\x7f" <= c < "\xa0" else ""


def unreadable_parts(text: str, reads: Callable[[str], bool]) -> list[str]:
    """The characters that cannot be read by themselves; else the words."""
    for parts in (dict.fromkeys(text), dict.fromkeys(text.split())):
        failing = [part for part in parts if not reads(part)]
        if failing and (len(failing) < len(parts) or len(parts) == 1):
            return failing
    return []
