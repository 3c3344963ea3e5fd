"""How numbers and texts are written."""

import pytest

from pages._parts.text import percent, plain, signed, visible


@pytest.mark.parametrize(
    ("p", "written"),
    [(1, "100%"), (0.9994, "99.9%"), (0.5, "50.0%"), (0.0987, "9.87%"), (0.001, "0.10%"),
     (0.00054, "0.054%"), (0.000083, "0.0083%"), (0.00001, "0.0010%"), (1e-6, "<0.001%"),
     (0, "<0.001%")],
)  # fmt: skip
def test_a_probability(p: float, written: str) -> None:
    assert percent(p) == written


def test_a_signed_number_has_a_real_minus() -> None:
    assert signed(-1.234) == "−1.23" and signed(2) == "+2.00"


def test_what_others_wrote_is_no_markdown() -> None:
    assert plain("![x](http://a.b/c.png)") == r"\!\[x\]\(http\:\/\/a\.b\/c\.png\)"
    assert plain("é “5” −1") == "é “5” −1"


def test_white_space_and_control_characters_are_visible() -> None:
    assert visible(" a\n\t\u200b\x00") == "␣a⏎⇥⟨200B⟩⟨0000⟩"
    assert visible("é中😀") == "é中😀"
