"""Colours are written once, in the palette, and mean the same wherever they are used."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.showing.palette import COUNTED, KEPT, MORE, SIGNED, turned
from pages._parts import components

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for folder, kinds in (
        ("engine", ("py",)),
        ("pages", ("py",)),
        ("training", ("py",)),
        ("benchmarks", ("py",)),
        ("assets", ("js", "css", "html")),
    )
    for kind in kinds
    for path in sorted((ROOT / folder).rglob(f"*.{kind}"))
    if path != ROOT / "engine/showing/palette.py"
] + [ROOT / "app.py", ROOT / "serve.py"]
LITERAL = re.compile(
    r"""(?<![&\w])#(?:[0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})\b"""
    r"""|\b(?:rgb|hsl)a?\(\s*[\d.]"""
    r"""|["']color["']\s*:\s*["'][a-z]|colorscale["']?\s*[=:]\s*["']|_bgcolor\s*=\s*["'](?!t)"""
)
"""Numbers of colours, and names of them where plotly takes one. A page's `color="gray"` is a word
of Streamlit's, which its theme fills."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_colour_is_written_outside_the_palette(path: Any) -> None:
    assert not LITERAL.findall(path.read_text("utf-8"))


def test_a_colour_written_elsewhere_would_be_seen() -> None:
    for wrong in (
        '"#fff"',
        "color: #1f2333;",
        "rgba(0, 0, 0, .2)",
        "'color': 'red'",
        "colorscale='RdBu'",
    ):
        assert LITERAL.search(wrong), wrong
    for right in (
        "var(--sb-ink)",
        "&#${c.charCodeAt(0)};",
        "`rgba(${channels(x)},1)`",
        "# 1 a note",
    ):
        assert not LITERAL.search(right), right


@pytest.mark.parametrize("path", sorted((ROOT / "assets/components").glob("*.[cj]s*")), ids=str)
def test_what_the_widgets_ask_of_the_palette_is_there(path: Any) -> None:
    text = path.read_text("utf-8")
    asked = re.findall(r"PALETTE\.(\w+)|--sb-(\w+)", text)
    assert {name for pair in asked for name in pair if name} <= set(engine.PALETTE)


def test_the_widgets_are_given_the_whole_palette() -> None:
    for name, colour in engine.PALETTE.items():
        assert f"--sb-{name}: {colour};" in components.PALETTE_CSS
        assert f'"{name}": "{colour}"' in components.PALETTE_JS


def test_the_themes_own_colours_are_the_palettes() -> None:
    theme = tomllib.loads((ROOT / ".streamlit/config.toml").read_text("utf-8"))["theme"]["light"]
    for theirs, ours in (
        ("primaryColor", "clean"),
        ("textColor", "ink"),
        ("backgroundColor", "paper"),
        ("borderColor", "line"),
    ):
        assert theme[theirs] == engine.PALETTE[ours], theirs


@pytest.mark.parametrize("scale", [MORE, KEPT, COUNTED, SIGNED])
def test_a_scale_goes_from_nothing_to_all_and_back(scale: tuple[tuple[Any, ...], ...]) -> None:
    places = [at for at, _ in scale]
    assert places == sorted(places) and (places[0], places[-1]) == (0.0, 1.0)
    assert [colour for _, colour in turned(scale)] == [colour for _, colour in reversed(scale)]
    assert [at for at, _ in turned(turned(scale))] == pytest.approx(places)
