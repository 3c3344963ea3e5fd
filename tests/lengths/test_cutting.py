"""Where a prompt's sequence is found in its text, and what each length shows of it."""

from __future__ import annotations

from random import Random

import pytest

import engine
from engine.lengths.cutting import sequence_of
from engine.tasks.drafts import DRAFTS
from engine.tasks.families import LADDERS

Texts = tuple[str, ...]
NO_SEQUENCES = ("dates", "ages", "indirect object", "greater than")


def shown(*texts: str) -> list[Texts]:
    """Prompt, corrupted prompt, answer and distractor at every length."""
    sequence = sequence_of(engine.Pair(*texts))
    pairs = [sequence.showing(n) for n in range(1, len(sequence) + 1)]
    return [(p.prompt, p.corrupted, p.answer, p.distractor) for p in pairs]


CUT: dict[str, tuple[Texts, list[Texts]]] = {
    "spaces": (
        ("1 2 3", "8 1 6", " 4", " 3"),
        [("1", "8", " 2", " 1"), ("1 2", "8 1", " 3", " 2")],
    ),
    "a space at the end": (
        ("1 2 3 ", "8 1 6 ", "4", "3"),
        [("1 ", "8 ", "2", "1"), ("1 2 ", "8 1 ", "3", "2")],
    ),
    "commas with the prompt": (
        ("May, June, July,", "June, May, April,", " August", " July"),
        [("May,", "June,", " June", " May"), ("May, June,", "June, May,", " July", " June")],
    ),
    "commas with the answer": (("7, 8", "1, 5", ", 9", ", 8"), [("7", "1", ", 8", ", 7")]),
    "no white space": (("1,2,", "7,5,", "3", "2"), [("1,", "7,", "2", "1")]),
    "signs between": (("1 -> 2 ->", "7 -> 5 ->", " 3", ""), [("1 ->", "7 ->", " 2", "")]),
    "lines": (("10\n20\n", "", "30", "20"), [("10\n", "", "20", "10")]),
    "a frame before": (
        ("Go on: 5 6", "Go on: 2 9", " 7", " 6"),
        [("Go on: 5", "Go on: 2", " 6", " 5")],
    ),
    "words of a list behind others": (
        ("They were May June", "", " July", " June"),
        [("They were May", "", " June", " May")],
    ),
    "words whose last is the distractor": (
        ("un deux", "", " trois", " deux"),
        [("un", "", " deux", " un")],
    ),
    "clauses": (
        ("Van done in 1. Hat done in 2. Ring done in", "Van done in 7. Hat done in 5. Ring done in",
         " 3", " 2"),
        [("Van done in 1. Hat done in", "Van done in 7. Hat done in", " 2", " 1")],
    ),
    "the next term begun": (
        ("18 19 1", "12 15 1", "20", "19"),
        [("18", "12", " 19", " 18")],
    ),
    "a corrupted prompt of other words": (
        ("1 2 3", "8 16", " 4", " 3"),
        [("1", "8 16", " 2", " 1"), ("1 2", "8 16", " 3", " 2")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CUT)
def test_each_length_is_the_text_up_to_the_next_term_and_the_whole_is_the_pair(kind: str) -> None:
    whole, before = CUT[kind]
    assert shown(*whole) == [*before, whole]


@pytest.mark.parametrize(
    "texts",
    [
        ("Hello", "", " 5", " 4"),
        ("1", "", " 2", " 1"),
        ("", "", "", ""),
        ("1 2 3 .", "", " 4", " 3"),
        ("1, 2, 3", "", " 4", " 3"),
        ("The cat sat on the", "", " mat", " dog"),
        ("1+1=", "", "2", "1"),
        (" \n", "", " 5", ""),
        ("一二三", "", "四", "三"),
    ],
)
def test_a_text_without_a_sequence_is_refused_in_words(texts: Texts) -> None:
    with pytest.raises(engine.NoSequence, match="no sequence that could be shown term by term"):
        shown(*texts)


@pytest.mark.parametrize("name", [name for name in DRAFTS if name not in NO_SEQUENCES])
def test_a_familys_pair_cut_is_what_the_family_writes_at_that_length(name: str) -> None:
    for seed in range(5):
        draft = DRAFTS[name](Random(seed))
        terms = [*draft.terms, draft.answer.strip()]
        whole = draft.write(draft.terms)
        each = shown(whole, "", draft.answer, draft.distractor)
        assert len(each) == len(draft.terms)
        for n, (prompt, _, answer, distractor) in enumerate(each, 1):
            assert whole.startswith(prompt)
            assert (answer, distractor) == (f" {terms[n]}", f" {terms[n - 1]}")
            if name in LADDERS:
                assert prompt == " ".join(terms[:n])
            elif n < len(each):
                assert whole.startswith(f"{prompt} {terms[n]}.")


@pytest.mark.parametrize("family", NO_SEQUENCES)
def test_families_that_are_no_sequences_are_not_cut(family: str) -> None:
    for seed in range(20):
        draft = DRAFTS[family](Random(seed))
        with pytest.raises(engine.NoSequence):
            shown(draft.write(draft.terms), "", draft.answer, draft.distractor)
