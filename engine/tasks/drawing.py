"""Tasks drawn for the model at hand: every prompt, clean and corrupted, has as many tokens.

Drafts are read with the model's own tokenizer, BOS as it does by itself, and corrupted by terms of
as many tokens each (where there are none, all together), so that a word's tokens have the same
positions in both prompts. Pairs are then grouped by count, and the commonest count that gives
enough is kept. What answer and distractor both begin with stands at the prompt's end, so that the
next token decides and is read where methods by position have values. What that does not show: how
the model does with other counts, such as longer numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, replace
from random import Random

from ..errors import EngineError
from ..experiment.numbers import whole_number
from ..experiment.question import Question
from ..model.work import Answer
from ..model.worker import Steps, beside_others, finished
from ..tokenizers.vocabularies import find_tokenizer
from .corrupting import Halves, Lengths, with_twin
from .drafts import DRAFTS, draft_of
from .families import check_styled
from .pairs import Pair, Task
from .styles import SPACES, task_name

MOST_PAIRS = 1_000
_DRAFTS_EACH = 40
"""Drafts looked at for each pair asked for, before it is said that there are not so many."""
_FRESH_DRAWS = 8
"""Draws that are looked through for pairs a task does not have."""


@dataclass(frozen=True)
class DrawTask(Question[None, Task]):
    """n pairs of a family drawn for a model: clean and corrupted prompt, answer and distractor, in
    one of STYLES (`styles_of` tells which families come in them).

    All prompts have the same number of tokens for that model, and a token tells answer and
    distractor apart; the corrupted prompt has other terms of as many tokens in the same places.
    Only the model's tokenizer is read. A family with few prompts repeats some, corrupted otherwise.
    Raises: EngineError for a family there is not or a style that it does not come in, and, once it
    is drawn, for one that has not so many pairs for this model, with the number it has.
    """

    asks = "task"
    n_plain = 2
    family: str
    model: str
    n: int = 12
    seed: int = 0
    style: str = SPACES

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole_number(self.n, "How many pairs"))
        object.__setattr__(self, "seed", whole_number(self.seed, "The seed"))
        if self.family not in DRAFTS:
            raise EngineError(
                f"There is no family “{self.family!s:.40}”; there are {', '.join(DRAFTS)}."
            )
        check_styled(self.family, self.style)
        if not 1 <= self.n <= MOST_PAIRS:
            raise EngineError(f"1 to {MOST_PAIRS:,} pairs can be drawn, not {self.n:,}.")

    @property
    def model_name(self) -> None:
        return None

    @property
    def name(self) -> str:
        """What the task is called: the family, and its style where that is not the default."""
        return task_name(self.family, self.style)

    def answered(self, model: None) -> Answer[None, Task]:
        """The task, a few drafts a step."""
        return Answer(lambda _: beside_others(draw(self)))


def task(family: str, model: str, n: int = 12, seed: int = 0, style: str = SPACES) -> Task:
    """Ask `DrawTask` and wait for the task. Raises: EngineError in words."""
    return finished(draw(DrawTask(family, model, n, seed, style)))


@dataclass(frozen=True)
class DrawFresh(Question[None, Task | None]):
    """Pairs of a drawn task's family, in its style, whose prompts it does not have, with as many
    tokens: to judge what was found on the task.

    `n`: how many at most, by itself as many as the task has.
    """

    asks = "fresh_task"
    drawn: Task
    n: int | None = None

    @property
    def model_name(self) -> None:
        return None

    def answered(self, model: None) -> Answer[None, Task | None]:
        """The task; None where the task was not drawn, or its family has no others."""
        return Answer(lambda _: beside_others(_fresh_pairs(self.drawn, self.n)))


def fresh_task(drawn: Task, n: int | None = None) -> Task | None:
    """Ask `DrawFresh` and wait for the task."""
    return finished(_fresh_pairs(drawn, n))


def draw(question: DrawTask) -> Steps[Task]:
    """The task, a draft a step."""
    family, model, n = question.family, question.model, question.n
    tokenizer = find_tokenizer(model)
    lengths = Lengths(tokenizer)
    rng = Random(question.seed)
    known: Halves = {}
    for in_step in (True, False):
        alike: _Groups = {}
        counted: _Groups = {}
        prompts: dict[Hashable, set[str]] = {}
        for i in range(most := _DRAFTS_EACH * n):
            draft = draft_of(family, question.style, rng)
            result = with_twin(tokenizer, lengths, draft, rng, in_step, known)
            if result is not None:
                for groups, key in ((alike, result.places), (counted, result.n_tokens)):
                    groups.setdefault(key, {})[result.pair] = None
                seen = prompts.setdefault(result.places, set())
                seen.add(result.pair.prompt)
                enough = len(seen) / n
                if enough >= 1:
                    break
                yield max(i / most, enough)
            else:
                yield i / most
        kept = _largest(alike, n) or _largest(counted, n)
        if kept is not None:
            break
    else:
        raise EngineError(_too_few(question.name, model, n, counted))
    uniform = any(kept is group for group in alike.values())
    pairs = _most_different(list(kept), n)
    n_tokens = len(tokenizer.encode(pairs[0].prompt))
    return Task(
        name=question.name,
        pairs=tuple(pairs),
        family=family,
        model=model,
        seed=question.seed,
        n_tokens=n_tokens,
        notes=tuple(_notes(pairs, in_step, uniform)),
        style=question.style,
    )


def _fresh_pairs(drawn: Task, n: int | None) -> Steps[Task | None]:
    seen = {pair.prompt for pair in drawn.pairs}
    most = len(drawn.pairs) if n is None else n
    result: dict[str, Pair] = {}
    if drawn.family not in DRAFTS:
        return None
    for i in range(1, _FRESH_DRAWS + 1):
        seed, n_pairs = (drawn.seed or 0) + 1_000 * i, len(drawn.pairs)
        try:
            question = DrawTask(drawn.family, drawn.model, n_pairs, seed, drawn.style)
            other = yield from draw(question)
        except EngineError:
            return None
        for pair in other.pairs if other.n_tokens == drawn.n_tokens else ():
            if pair.prompt not in seen:
                result.setdefault(pair.prompt, pair)
        if len(result) >= most:
            break
    if not result:
        return None
    name = f"{drawn.name}, fresh pairs"
    return replace(drawn, name=name, pairs=tuple(result.values())[:most], notes=())


_Groups = dict[Hashable, dict[Pair, None]]


def _n_prompts(pairs: dict[Pair, None]) -> int:
    return len({pair.prompt for pair in pairs})


def _largest(groups: _Groups, n: int) -> dict[Pair, None] | None:
    """The group of at least n pairs with the most prompts, the first of those."""
    enough = [group for group in groups.values() if len(group) >= n]
    return max(enough, key=_n_prompts, default=None)


def _most_different(pairs: list[Pair], n: int) -> list[Pair]:
    """n of the pairs: each prompt once before any comes twice, and so on."""
    seen: Counter[str] = Counter()
    rounds: list[int] = []
    for pair in pairs:
        rounds.append(seen[pair.prompt])
        seen[pair.prompt] += 1
    order = sorted(range(len(pairs)), key=lambda i: rounds[i])
    return [pairs[i] for i in order[:n]]


def _too_few(name: str, model: str, n: int, counted: _Groups) -> str:
    if not counted:
        return (
            f"No pair of “{name}” can be drawn for {model}: its tokenizer gives no corrupted "
            "prompt as many tokens as the clean one, or does not keep the answer apart from the "
            "prompt. Choose another family."
        )
    count, most = max(((c, len(group)) for c, group in counted.items()), key=lambda one: one[1])
    return (
        f"{n} pairs of “{name}” with equal numbers of tokens are asked for; for {model} at most "
        f"{most} were found, of {count} tokens each. Ask for at most {most}, or for another family."
    )


def _notes(pairs: list[Pair], in_step: bool, uniform: bool) -> list[str]:
    notes = []
    n_prompts = len({pair.prompt for pair in pairs})
    if n_prompts < len(pairs):
        notes.append(
            f"The family has {n_prompts} different prompts of this many tokens; some come again "
            "with another corrupted prompt."
        )
    if any(pair.prompt.endswith(" ") for pair in pairs):
        notes.append(
            "Prompts end in a space: for this tokenizer it is a token of its own, with which every "
            "answer begins."
        )
    if not in_step:
        notes.append(
            "No corrupted terms have as many tokens one by one, only all together: within a pair, "
            "a position may be one word in the clean and another in the corrupted prompt."
        )
    elif not uniform:
        notes.append(
            "The same word does not have as many tokens in every prompt, so a position is not the "
            "same word in all of them; within a pair it is."
        )
    return notes
