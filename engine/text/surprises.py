"""What hides in a text: characters nobody sees that the model reads all the same."""

from __future__ import annotations

_HIDDEN = {
    "\u00a0": "no-break space",
    "\u00ad": "soft hyphen",
    "\u200b": "zero-width space",
    "\u2060": "word joiner",
    "\ufeff": "byte-order mark",
    **dict.fromkeys("\u200e\u200f\u202a\u202b\u202c\u202d\u202e", "direction mark"),
    **dict.fromkeys("\u2066\u2067\u2068\u2069", "direction mark"),
}


def hidden_characters(text: str) -> tuple[str, ...]:
    """A sentence for what a reader cannot see in a text, with where it is and what to do.

    Joiners within emoji, tabs and line feeds are ordinary; the rest of the controls are not.
    """
    told = []
    found = [(at, name) for at, c in enumerate(text) if (name := _name(c))]
    if found:
        named = ", ".join(
            f"U+{ord(text[at]):04X} ({name}) at character {at}" for at, name in found[:3]
        )
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        told.append(
            f"The prompt holds what cannot be seen: {named}{more}. The model reads it as tokens of "
            "its own; type the prompt anew if it came along by copying."
        )
    if "\r\n" in text:
        told.append(
            "Lines end in \\r\\n, as Windows writes them; models have mostly seen \\n alone. Save "
            "the prompt with \\n, unless \\r is meant."
        )
    return tuple(told)


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


def _name(c: str) -> str:
    if c in _HIDDEN:
        return _HIDDEN[c]
    return "control character" if (c < " " and c not in "\t\n\r") or "\x7f" <= c < "\xa0" else ""
