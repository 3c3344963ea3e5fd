"""A head's pattern drawn."""

from __future__ import annotations

import numpy as np
import pytest

import engine

E = engine.Experiment("seq-gpt2", "1 2 1 2", ablations="0.1")


def test_a_pattern_is_drawn_as_it_is_and_what_cannot_be_seen_is_blank() -> None:
    some, every = engine.attention(E, "1.3 2.0"), engine.attention(E)
    for run in ("clean", "ablated"):
        figure, other = some.figure("2.0", run), every.figure(engine.Head(2, 0), run)
        meant = getattr(some, run).pattern[1]
        drawn = np.array(figure.data[0].z, float)
        np.testing.assert_allclose(drawn, np.array(other.data[0].z, float), rtol=1e-5)
        assert np.isnan(drawn[np.triu_indices(4, 1)]).all()
        np.testing.assert_array_equal(drawn[np.tril_indices(4)], meant[np.tril_indices(4)])
    with pytest.raises(engine.EngineError, match="none of the heads"):
        some.figure("0.0")
