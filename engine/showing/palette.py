"""The one palette: every colour of a figure or a widget of the dashboard, by what it means."""

from __future__ import annotations

Scale = tuple[tuple[float, str], ...]
"""Colours from the least number, at 0, to the greatest, at 1."""

_INDIGO, _VIOLET, _NAVY, _MIST = "#4f46e5", "#6366f1", "#312e81", "#a5b4fc"
_ORANGE, _AMBER, _TEAL, _GREEN, _GREY = "#e8912d", "#f59e0b", "#2a9d8f", "#1a9f6a", "#8b90a3"
_BLUE, _RED = "#2563eb", "#dc4437"

PALETTE = {
    "clean": _INDIGO,
    "ablated": _ORANGE,
    "unswitched": _TEAL,
    "circuit": _INDIGO,
    "control": _GREY,
    "answer": _GREEN,
    "distractor": _ORANGE,
    "head": _VIOLET,
    "mlp": _TEAL,
    "rest": "#eceef6",
    "logits": "#a23b72",
    "only_a": _ORANGE,
    "only_b": _TEAL,
    "shared": _INDIGO,
    "tried": "#b9bdcc",
    "gone": "rgba(139, 144, 163, 0.16)",
    "more": _BLUE,
    "less": _RED,
    "more_on_dark": "#7daaff",
    "less_on_dark": "#ff8273",
    "better": _GREEN,
    "worse": "#e0483c",
    "up": "#15805a",
    "down": "#c03d32",
    "same": "#9a9eae",
    "odd": _AMBER,
    "on_pale": "#000000",
    "on_deep": "#ffffff",
    "ink": "#1f2333",
    "quiet": "#5b6072",
    "paper": "#ffffff",
    "line": "#e3e5ef",
    "frame": "#c9ccd8",
}
"""What stands for what. `ink`, `quiet`, `paper`, `line` and `frame` are those of a download, which
is drawn dark on white whatever theme the page has. On any colour one of `on_pale` and `on_deep` is
read at 4.58:1 or more."""

MORE: Scale = ((0.0, "#eef2ff"), (0.35, _MIST), (0.7, _VIOLET), (1.0, _NAVY))
"""Numbers from nothing up."""
KEPT: Scale = ((0.0, "#dbe1ff"), (0.3, _MIST), (0.65, _VIOLET), (1.0, _NAVY))
"""The same where nothing must still be told from what has gone."""
COUNTED: Scale = ((0.0, PALETTE["rest"]), (1e-9, "#c6d0fd"), *MORE[2:])
"""Counts, of which 0 stands apart."""
SIGNED: Scale = ((0.0, _RED), (0.5, "#f4f4f6"), (1.0, _BLUE))
"""Numbers below and above 0, which is in the middle: red is less, blue is more."""
ON_DARK = {
    "#eef2ff": "#1e2139",
    "#dbe1ff": "#2a2d52",
    "#c6d0fd": "#373a7c",
    _MIST: "#4744a3",
    _NAVY: "#dfe3ff",
    "#f4f4f6": "#262a3d",
    PALETTE["rest"]: "#2b2f42",
    _BLUE: PALETTE["more_on_dark"],
    _RED: PALETTE["less_on_dark"],
}
"""What these colours are on a dark page: what is nothing is dark there, what is most bright."""
STEPS = ("#c7d2fe", _VIOLET, _AMBER, "#b91c1c", "#581c87")
"""Counts from few to many, told apart on white and on black."""


def turned(scale: Scale) -> Scale:
    """The same colours the other way round: where less is better."""
    return tuple((1 - at, colour) for at, colour in reversed(scale))


def light(colour: str) -> float:
    """How light a colour #rrggbb is, 0 to 1: the relative luminance of WCAG 2.1."""
    shares = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def read_on(colour: str) -> str:
    """The text that is read best on a colour: at worst at 4.58:1."""
    return PALETTE["on_pale" if light(colour) > 0.179 else "on_deep"]
