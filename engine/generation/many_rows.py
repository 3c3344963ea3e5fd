"""From the ids of many prompts' runs to their texts, and whether these are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..experiment.results import Tokens
from ..tasks.families import Example
from ..text.rereading import Rereading
from ..text.tokens import Tokenizer
from .runs import Continuation, ManyRow


@dataclass(frozen=True)
class RawRow:
    """One prompt as the worker hands it over: of each run the ids taken and their joint
    log-probability, or None and why."""

    index: int
    runs: tuple[tuple[tuple[int, ...], float] | None, ...]
    errors: tuple[str, ...]


class ManyRows:
    """Makes a row of each prompt that is done."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        examples: Sequence[Example],
        prompts: Sequence[Tokens | str],
        ends: frozenset[int],
        seed: int,
    ) -> None:
        self._tokenizer, self._asked, self._prompts = tokenizer, examples, prompts
        self._ends, self._seed = ends, seed

    def __call__(self, done: RawRow) -> ManyRow:
        examples, prompt = self._asked[done.index], self._prompts[done.index]
        clean = done.runs[0][0] if done.runs[0] else None
        return ManyRow(
            done.index,
            examples.prompt,
            examples.answer,
            self._seed + done.index,
            tuple(
                None
                if run is None or isinstance(prompt, str)
                else self._continuation(prompt, examples.answer, *run, clean)
                for run in done.runs
            ),
            done.errors,
        )

    def _continuation(
        self,
        prompt: Tokens,
        answer: str,
        ids: tuple[int, ...],
        log_prob: float,
        clean: tuple[int, ...] | None,
    ) -> Continuation:
        ended = ids[-1] in self._ends
        text = Rereading(self._tokenizer, prompt, ids)
        anew = text.ids()
        said = ids[:-1] if ended else ids
        return Continuation(
            ids=ids,
            tokens=self._tokenizer.pieces(ids),
            text=text.generated,
            log_prob=log_prob,
            ended=ended,
            right=self._answers(prompt, said, answer) if answer else None,
            parts_at=None if clean is None else _parts_at(ids, clean),
            retokenizes=anew is not None and anew != [*prompt.ids, *ids],
            note=self._tokenizer.without_text(ids),
        )

    def _answers(self, prompt: Tokens, ids: tuple[int, ...], answer: str) -> bool:
        """Whether ids begin with an answer, by its text or by the ids it gets in place."""
        text = Rereading(self._tokenizer, prompt, ids).generated
        if is_right(text, answer):
            return True
        own, _ = self._tokenizer.in_place(prompt, answer)
        if not own or ids[: len(own)] != own or not self._tokenizer.writes(prompt, own, answer):
            return False
        rest = text[len(Rereading(self._tokenizer, prompt, own).generated) :]
        return not _goes_on(answer, rest)


def is_right(text: str, answer: str) -> bool:
    """Whether a text begins with an answer and does not go on with the same word or number."""
    return text.startswith(answer) and not _goes_on(answer, text[len(answer) :])


def _goes_on(answer: str, rest: str) -> bool:
    """Whether what follows an answer belongs to its last word or number."""
    return answer[-1:].isalnum() and rest[:1].isalnum()


def _parts_at(ids: tuple[int, ...], clean: tuple[int, ...]) -> int | None:
    if ids == clean:
        return None
    same = [a == b for a, b in zip(ids, clean, strict=False)]
    return same.index(False) if False in same else len(same)
