"""What is asked at each length: pairs with so many terms shown, as experiments of their own."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Several
from dataclasses import replace
from functools import cache

from ..experiment.experiment import Experiment
from ..model.model import Model
from ..model.worker import Steps
from ..tasks.corrupting import clean_half
from ..tasks.pairs import Pair, asked_of
from .cutting import Sequence


def experiments(
    model: Model, e: Experiment, sequences: Several[Sequence]
) -> Steps[list[list[Experiment]]]:
    """An experiment for each sequence with 1, 2, … of its terms shown; the last asks the pair as it
    stands, with the references of all. Where a method averages by position, references are cut
    alike: those given as the prompt is, the pairs' corrupted prompts each as its own, and of these
    are taken those with as many tokens as the prompt, where any has."""
    corrupted = (s.pair.corrupted for s in sequences)
    references = e.references or tuple(dict.fromkeys(filter(None, corrupted)))
    kinds = [change.becomes.kind for change in e.every_change]
    cuts = any(kind.takes == "references" and kind.by_position for kind in kinds)
    ends: list[list[str]] = []
    shown: list[list[Pair]] = []
    for sequence in sequences:
        ends.append([_shared(model, sequence, n) for n in range(1, len(sequence) + 1)])
        shown.append([sequence.showing(n, end) for n, end in enumerate(ends[-1], 1)])
        yield 0.0
    cut = _cut_alike(model, e, shown)
    result = []
    for sequence, shared, pairs in zip(sequences, ends, shown, strict=True):
        each = [asked_of(e, pair, references) for pair in pairs]
        if cuts:
            for k, end in enumerate(shared[:-1]):
                own = tuple(sequence.cut(text, k + 1, end) for text in e.references)
                each[k] = replace(each[k], references=own or cut(k, pairs[k].prompt))
        result.append(each)
        yield 0.0
    return result


def _shared(model: Model, sequence: Sequence, n: int) -> str:
    """What answer and distractor both begin with at a length, where the pair's own prompt holds
    what comes before the token that decides; else nothing."""
    pair = sequence.showing(n)
    if n == len(sequence) or not (sequence.begun and pair.distractor):
        return ""
    half = clean_half(model.tokenizer, pair.prompt, pair.answer, pair.distractor)
    return half.shared if half is not None else ""


def _cut_alike(
    model: Model, e: Experiment, shown: Several[Several[Pair]]
) -> Callable[[int, str], tuple[str, ...]]:
    """What gives the corrupted prompts with k + 1 terms that have as many tokens as a prompt; all
    of them, where none has."""

    def count(text: str) -> int:
        return len(model.tokenizer.encode(text, e.prepend_bos))

    @cache
    def by_count(k: int) -> dict[int, tuple[str, ...]]:
        texts = dict.fromkeys(one[k].corrupted for one in shown if k < len(one))
        result: dict[int, tuple[str, ...]] = {}
        for text in filter(None, texts):
            n = count(text)
            result[n] = (*result.get(n, ()), text)
        return result

    def cut(k: int, prompt: str) -> tuple[str, ...]:
        groups = by_count(k)
        return groups.get(count(prompt)) or tuple(text for some in groups.values() for text in some)

    return cut
