"""A clean prompt and its corrupted one, two runs that are compared place by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import EngineError, ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.method import Kind
from ..model.model import Model
from ..passes import forward
from ..passes.references import reference_texts
from .scorer import Target


def exchanged(e: Experiment) -> Experiment:
    """The same with prompt and corrupted prompt in each other's place."""
    return replace(e, prompt=e.corrupted, corrupted=e.prompt)


def check_corrupted(model: Model, each: Sequence[Experiment], what: str) -> None:
    """Refuse a pair of which the two prompts are no twins. `what`: what is between the two."""
    for e in each:
        tokens = model.tokenizer.encode(e.prompt, e.prepend_bos)
        forward.check_ids(model, tokens.ids)
        if not e.corrupted:
            raise ExperimentError(
                f"“{e.prompt[:60]}” has no corrupted prompt, and {what} is between the two. Give "
                "one with as many tokens."
            )
        if e.corrupted == e.prompt:
            raise ExperimentError(
                f"The corrupted prompt is the prompt, “{e.prompt[:60]}”: both runs are the same, "
                f"so {what} has nothing to compare."
            )
        reference_texts(model, e, Kind.RESAMPLE, tokens)  # says how long each is


def check_alike(e: Experiment, one: Target, other: Target) -> None:
    """Refuse a pair in which not the same tokens are scored after both prompts."""
    asked = [(t.answer, t.decided, t.distractor) for t in (one, other)]
    if asked[0] != asked[1] or len(one.prompt) != len(other.prompt):
        raise EngineError(
            f"After “{e.corrupted[:60]}” answer and distractor have other tokens than after "
            f"“{e.prompt[:60]}”, so the two runs cannot be scored alike. Take a corrupted prompt "
            "that ends as the prompt does."
        )
