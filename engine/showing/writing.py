"""How texts and numbers are written for people, and tables for files."""

Rows = list[dict[str, object]]
"""A table in plain values, a row a dict, as a CSV holds it."""


def visible(text: str) -> str:
    """A token's text with its white space to be seen: ␣, ⏎, ⇥; control characters as U+…."""
    shown = text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
    return "".join(c if c.isprintable() else f"⟨{ord(c):04X}⟩" for c in shown)


def percent(p: float) -> str:
    """A probability from 0 to 1 as a percentage of two or three figures that matter."""
    if p >= 0.9995:
        return "100%"
    if p >= 0.0995:
        return f"{100 * p:.1f}%"
    if p < 0.00001:
        return "<0.001%"
    return f"{100 * p:.{2 if p >= 0.00095 else 3 if p >= 0.000095 else 4}f}%"


def points(change: float) -> str:
    """A change of a probability in percentage points, with its sign and a real minus."""
    x = 100 * change
    if abs(x) < 0.0005:
        return "0"
    return f"{x:+.{1 if abs(x) >= 9.95 else 2 if abs(x) >= 0.095 else 3}f}".replace("-", "−")


def signed(x: float, digits: int = 2) -> str:
    """A number with its sign and so many decimals, with a real minus; without a sign where nothing
    is left of it."""
    text = f"{x:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else text[1:]
