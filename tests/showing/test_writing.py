"""Numbers as people read them."""

from __future__ import annotations

import engine


def test_a_signed_number_has_a_real_minus_and_a_zero_no_sign() -> None:
    assert [engine.signed(x) for x in (1.5, -1.5, 0.0, -0.0, -0.004, 0.004)] == [
        "+1.50", "−1.50", "0.00", "0.00", "0.00", "0.00"
    ]  # fmt: skip
    assert (engine.signed(-12.87, 1), engine.signed(0.0004, 3)) == ("−12.9", "0.000")
    assert engine.signed(float("nan")) == "+nan"
