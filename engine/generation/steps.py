"""The steps of one generation: how many fit, which of its runs are alike, and the job itself."""

from __future__ import annotations

from collections.abc import Sequence

from ..experiment.method import prompt_only
from ..experiment.results import Tokens
from ..model.model import Model
from ..model.work import Put
from ..model.worker import Steps
from ..passes import forward
from ..passes.prepare import prepare
from ..scoring.answers import lengths_note
from .modes import Appending, GenerationPlan, Rewriting
from .schedule import Schedule, Span
from .step_numbers import summarize
from .transcript import RawStep

MOST_TOKENS = 100_000
"""Tokens that can be asked for at once, where the model itself sets no limit."""


def room(
    model: Model, prompt: Tokens, prefix: Sequence[tuple[int, ...]], max_new_tokens: int
) -> int:
    """How many of the tokens asked for fit. Raises: TokenError where not even one does."""
    forward.check_ids(model, prompt.ids)
    for run in prefix:
        what = "prompt with what was generated" if run else "prompt"
        forward.check_ids(model, prompt.ids + run, what)
    most = MOST_TOKENS
    if model.shape.n_ctx is not None:  # the last token taken need not be read any more
        most = min(most, model.shape.n_ctx - len(prompt) - len(prefix[0]) + 1)
    return min(max_new_tokens, most)


def apart(
    when: Sequence[tuple[Span, ...]], given: Sequence[tuple[int, ...]], n_prompt: int, n: int
) -> tuple[int, ...]:
    """Which of the runs that are made each is: one in which nothing ever acts is the clean one."""
    result, made = [0], 1
    for spans_of, prefix in zip(when[1:], given[1:], strict=True):
        own = prefix != given[0] or any(span.changes(n_prompt, n) for span in spans_of)
        result.append(made if own else 0)
        made += own
    return tuple(result)


def work(model: Model, plan: GenerationPlan, put: Put) -> Steps[str]:
    """The job: hands over what each step gave, and returns how it ended."""
    prepared = {}
    for e in dict.fromkeys(span.e for when in plan.when for span in when):
        prepared[e] = yield from prepare(model, e, plan.prompt)
    schedules = [
        Schedule(len(plan.prompt), [(span, prepared[span.e]) for span in when])
        for when in plan.when
    ]
    going = (Rewriting if plan.retokenize else Appending)(model, plan, schedules)
    total = plan.first + plan.n_new
    step = 0
    for logits, taken in going.forced():
        result = summarize(model, logits, taken, plan.k, plan.against)
        put(RawStep(step, result, (True,) * len(schedules), forced=True))
        step += 1
        yield step / total
    alive = [True] * len(schedules)
    while step < total:
        taken = plan.sampling.take(going.logits, step)
        result = summarize(model, going.logits, taken, plan.k, plan.against)
        rewritten = going.append(result)
        put(RawStep(step, result, tuple(alive), rewritten=rewritten))
        on = [int(token) not in model.ends for token in result.taken]
        alive = [a and b for a, b in zip(alive, on, strict=True)]
        step += 1
        if not any(alive):
            return _ended_itself(model, step, plan.first)
        yield step / total
        if step < total:
            if not going.fits:
                break
            going.read()
    if plan.clipped or step < total:
        return f"The text has reached all that this model reads: {model.shape.n_ctx} tokens."
    return f"The {plan.n_new} tokens asked for are there."


def _ended_itself(model: Model, steps: int, forced: int) -> str:
    names = " or ".join(model.tokenizer.pieces(sorted(model.ends)))
    if steps == forced + 1:
        return (
            f"The text ends at once: the first token taken is its end, {names}. There is nothing "
            "to go on with; another prompt, or another token to branch with, may."
        )
    return f"Every run has ended its text with {names}."


_READ_ANEW = "there the whole text is read anew, as without a cache"


def notes_of(
    model: Model, plan: GenerationPlan, when: tuple[Span, ...], wanted: int
) -> tuple[str, ...]:
    """What a reader must know of a generation before it begins, in sentences."""
    notes = list(plan.prompt.warnings)
    n = len(plan.prompt)
    end = n + plan.first + plan.n_new - 1
    notes += lengths_note(model.rotaries.regime, n, end, _READ_ANEW)
    if plan.clipped:
        most = model.shape.n_ctx
        notes.append(
            f"{plan.first + plan.n_new:,} of the {plan.first + wanted:,} tokens fit behind the "
            f"prompt's {n:,}: "
            + (f"this model reads at most {most:,}, and need not read the last." if most else
               f"no more than {MOST_TOKENS:,} are made at once.")
        )  # fmt: skip
    notes += _where_notes(when, n, n + plan.first + plan.n_new)
    if plan.sampling.temperature:
        notes.append(
            f"Sampled at temperature {plan.sampling.temperature:g} with seed {plan.sampling.seed}; "
            "both runs draw with the same luck, so where they part, the ablation has parted them."
        )
    return tuple(notes)


def _where_notes(when: Sequence[Span], n_prompt: int, n_tokens: int) -> list[str]:
    """What a reader must know of where the changes act, and where they cannot."""
    every = dict.fromkeys(change for span in when for change in span.e.every_change)
    acting = {change for span in when for change in span.changes(n_prompt, n_tokens)}
    idle = [one for one in every if one not in acting]
    notes = prompt_only(
        [one.becomes for one in acting if one.positions.which == "all"], "generated"
    )
    if idle:
        each = dict.fromkeys(f"{one.becomes} at positions “{one.positions}”" for one in idle)
        where = f"{' and '.join(each)} {'has' if len(each) == 1 else 'have'} nowhere to act"
        notes.append(
            f"{where[:1].upper()}{where[1:]} in these steps."
            if acting
            else f"Nothing is changed: {where} in these steps, so both runs are the clean one."
        )
    return notes
