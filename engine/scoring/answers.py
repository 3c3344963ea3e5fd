"""Answer and distractor as the tokens they get in place, and the token that tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from ..experiment.experiment import Experiment
from ..experiment.results import Tokens
from ..model.model import Model
from ..passes import forward
from ..text.shown import token_text


@dataclass(frozen=True)
class Answers:
    """An experiment's prompt and what is scored after it.

    `answer` and `distractor`: their ids in place, empty without one or where it cannot be written.
    `moves`: whether writing each would change the prompt's own tokens. `decided`: how many of the
    answer's (or distractor's) tokens come before the one that is compared. `notes`: sentences.
    `regime`: the same for lengths of a text that the model reads alike.
    """

    prompt: Tokens
    answer: tuple[int, ...]
    distractor: tuple[int, ...]
    moves: tuple[bool, bool]
    decided: int
    notes: tuple[str, ...]
    regime: Callable[[int], Hashable] = lambda n_tokens: ()

    def after(self, at: str) -> tuple[int, ...]:
        """The ids between the prompt and the token asked for, `at` "prompt" or "answer"."""
        return (self.answer or self.distractor)[: self.decided] if at == "answer" else ()


def answers_of(model: Model, e: Experiment) -> Answers:
    """Work out what an experiment asks for.

    Raises: TokenError for a prompt, or a prompt with its answer, that the model cannot read.
    """
    prompt = model.tokenizer.encode(e.prompt, e.prepend_bos)
    forward.check_ids(model, prompt.ids)
    notes: list[str] = []
    answer, answer_moves = _in_place(model, prompt, e.answer, "answer", notes)
    distractor, distractor_moves = _in_place(model, prompt, e.distractor, "distractor", notes)
    decided = _decided(model, prompt, answer, distractor)
    notes += _compared(model, prompt, answer, distractor, decided)
    regime = model.rotaries.regime
    notes += lengths_note(regime, len(prompt), len(prompt) + max(len(answer), len(distractor)) - 1)
    moves = (answer_moves, distractor_moves)
    return Answers(prompt, answer, distractor, moves, decided, tuple(notes), regime)


def lengths_note(
    regime: Callable[[int], Hashable],
    n_prompt: int,
    n_tokens: int,
    then: str = "each token is scored after the text as it is read at that length",
) -> list[str]:
    """A sentence for a text that grows past the length up to which its model reads alike. `then`:
    what is done there."""
    border = next((n for n in range(n_prompt, n_tokens) if regime(n + 1) != regime(n)), None)
    if border is None:
        return []
    return [
        f"Past {border} tokens this model reads a text with other frequencies (its rotary "
        f"embeddings follow the length): {then}."
    ]


def _in_place(
    model: Model, prompt: Tokens, text: str, what: str, notes: list[str]
) -> tuple[tuple[int, ...], bool]:
    if not text:
        return (), False
    ids, moves = model.tokenizer.in_place(prompt, text)
    if not model.tokenizer.writes(prompt, ids, text):
        notes.append(
            f"The {what} “{text[:40]}” is not scored: this tokenizer cannot write it (its tokens "
            f"read “{model.tokenizer.decode(ids)[:40]}”)."
        )
        return (), False
    if moves:
        notes.append(
            f"Writing “{text[:40]}” right after this prompt would change the prompt's own last "
            f"tokens, so the model has never seen the two joined like this. The {what} is scored "
            "as tokens of its own; a prompt without its last space usually mends it."
        )
    forward.check_ids(model, prompt.ids + ids[:-1], f"prompt with its {what}")
    forward.check_ids(model, ids[-1:])
    return ids, moves


def _decided(
    model: Model, prompt: Tokens, answer: tuple[int, ...], distractor: tuple[int, ...]
) -> int:
    if answer and distractor:
        shared = next(
            (i for i, (a, d) in enumerate(zip(answer, distractor, strict=False)) if a != d), None
        )
        return 0 if shared is None else shared
    texts = model.tokenizer.texts(answer or distractor, prompt.ids)
    return next((i for i, text in enumerate(texts) if text.strip()), 0)


def _compared(
    model: Model,
    prompt: Tokens,
    answer: tuple[int, ...],
    distractor: tuple[int, ...],
    decided: int,
) -> list[str]:
    if not answer or not distractor:
        return []
    if answer == distractor:
        return ["Answer and distractor are the same tokens: there is nothing to compare."]
    if answer[decided] == distractor[decided]:
        return [
            "One of answer and distractor begins with the whole of the other, so no single token "
            "tells them apart: compare their joint probabilities."
        ]
    if decided:
        both, tokenizer = answer[:decided], model.tokenizer
        shared = " ".join(
            map(token_text, tokenizer.texts(both, prompt.ids), tokenizer.pieces(both))
        )
        return [
            f"Answer and distractor both begin with {shared}: they are compared at the next token."
        ]
    return []
