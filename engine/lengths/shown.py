"""What is asked at each length: pairs with so many terms shown, as experiments of their own."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import replace
from functools import cache

from ..experiment.experiment import Experiment
from ..model.model import Model
from ..tasks.corrupting import clean_half
from ..tasks.pairs import asked_of
from .cutting import Sequence


def experiments(
    model: Model, e: Experiment, sequences: Several[Sequence]
) -> list[list[Experiment]]:
    """An experiment for each sequence with 1, 2, … of its terms shown; the last asks the pair as it
    stands, with the references of all. Where a method averages by position, references are cut
    alike: those given as the prompt is, the pairs' corrupted prompts each as its own, and of these
    are taken those with as many tokens as the prompt, where any has."""
    corrupted = (s.pair.corrupted for s in sequences)
    references = e.references or tuple(dict.fromkeys(filter(None, corrupted)))
    kinds = [change.becomes.kind for change in e.every_change]
    cuts = any(kind.takes == "references" and kind.by_position for kind in kinds)
    shared = [[_shared(model, s, n) for n in range(1, len(s) + 1)] for s in sequences]
    shown = [
        [s.showing(n, end) for n, end in enumerate(ends, 1)]
        for s, ends in zip(sequences, shared, strict=True)
    ]
    result = [[asked_of(e, pair, references) for pair in each] for each in shown]
    if cuts:
        count = cache(lambda text: len(model.tokenizer.encode(text, e.prepend_bos)))
        for s, ends, each in zip(sequences, shared, result, strict=True):
            for k, end in enumerate(ends[:-1]):
                if e.references:
                    cut = [s.cut(text, k + 1, end) for text in e.references]
                else:
                    cut = [other[k].corrupted for other in shown if k < len(other)]
                    alike = [text for text in cut if text and count(text) == count(each[k].prompt)]
                    cut = alike or [text for text in cut if text]
                each[k] = replace(each[k], references=tuple(dict.fromkeys(cut)))
    return result


def _shared(model: Model, sequence: Sequence, n: int) -> str:
    """What answer and distractor both begin with at a length, where the pair's own prompt holds
    what comes before the token that decides; else nothing."""
    pair = sequence.showing(n)
    if n == len(sequence) or not (sequence.begun and pair.distractor):
        return ""
    half = clean_half(model.tokenizer, pair.prompt, pair.answer, pair.distractor)
    return half.shared if half is not None else ""
