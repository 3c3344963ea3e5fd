"""The grammar of sites: what is printed reads back, and what is no site is said to be none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine import MLP, Feature, Head, Heads, Neuron

SHAPE = engine.Shape(12, 12, 12, 768, 64, 3072, 50257, 1024)
numbers = st.integers(0, 999)
sites = st.one_of(
    st.builds(Head, numbers, numbers), st.builds(Heads, numbers), st.builds(MLP, numbers),
    st.builds(Neuron, numbers, st.integers(0, 99_999)),
    st.builds(Feature, st.integers(0, 1), st.integers(0, 5)),
)  # fmt: skip


@given(st.lists(sites, unique=True))
def test_what_is_printed_reads_back(found: Any) -> None:
    assert engine.parse_sites(engine.print_sites(found)) == tuple(found)


def test_features_that_count_on_are_written_as_a_range() -> None:
    text = "f3.0-11 m2 f3.13 f4.14-15 f4.0"
    assert engine.print_sites(engine.parse_sites(text)) == text
    assert str(*engine.changes("zero f2.0 f2.1 f2.2 f2.4")) == "zero f2.0-2 f2.4"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("9.1", [Head(9, 1)]),
        ("L9H1 l9h1", [Head(9, 1)]),
        ("m9, MLP9; mlp10", [MLP(9), MLP(10)]),
        ("n9.123", [Neuron(9, 123)]),
        ("a9 9.*", [Heads(9)]),
        ("0-2.5", [Head(0, 5), Head(1, 5), Head(2, 5)]),
        ("9.1-3", [Head(9, 1), Head(9, 2), Head(9, 3)]),
        ("m0-1 a1-2", [MLP(0), MLP(1), Heads(1), Heads(2)]),
        ("", []),
    ],
)
def test_every_way_to_write_a_site(text: str, meant: list[Any]) -> None:
    assert list(engine.parse_sites(text)) == meant


@given(st.text(max_size=30))
def test_junk_raises_a_site_error_or_reads(text: Any) -> None:
    try:
        engine.parse_sites(text)
    except engine.SiteError as wrong:
        assert str(wrong).endswith(".")


@pytest.mark.parametrize(
    "text", ["9", "x9", "9.", "5-3.1", "0-99999.0-99999", "n1", "<script>", "1.1.1"]
)
def test_what_is_no_site_is_refused_in_words(text: str) -> None:
    with pytest.raises(engine.SiteError):
        engine.parse_sites(text)


def test_a_site_the_model_does_not_have_is_named_with_what_it_has() -> None:
    with pytest.raises(engine.SiteError, match=r"13\.40 is in layer 13.*layers are 0 to 11"):
        engine.resolve_sites(engine.parse_sites("13.40"), SHAPE)
    with pytest.raises(engine.SiteError, match=r"no head 3\.40.*heads 0 to 11"):
        engine.resolve_sites(engine.parse_sites("3.40"), SHAPE)
    with pytest.raises(engine.SiteError, match="neurons 0 to 3071"):
        engine.resolve_sites(engine.parse_sites("n3.4000"), SHAPE)


@given(
    st.lists(
        st.sampled_from([Head(i, h) for i in range(3) for h in range(12)] + [MLP(1)]), unique=True
    )
)
def test_folding_loses_nothing(found: Any) -> None:
    folded = engine.fold_sites(found, SHAPE)
    assert set(engine.resolve_sites(folded, SHAPE)) == set(found)
