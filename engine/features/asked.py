"""What questions about features and an answer have in common: of whom they are asked, and what is
refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.method import Kind, Method
from ..experiment.sae import Sae
from ..experiment.sites import Feature
from ..model.model import Model
from ..scoring.prompts import Prompt
from ..tasks.pairs import Pair, experiments
from .readings import positions_of


def pairs_of(e: Experiment, pairs: tuple[Pair, ...] | None) -> tuple[Pair, ...]:
    """The pairs asked of: the experiment's own prompt without any."""
    return pairs or (Pair(e.prompt, e.corrupted, e.answer, e.distractor),)


def each_asked(e: Experiment, pairs: tuple[Pair, ...] | None) -> tuple[Experiment, ...]:
    """One experiment a pair; a method that nothing is ablated by is left out, and so are the
    references it would take."""
    return experiments(e if e.ablations else replace(e, method=Method()), pairs)


def check_ways(model: Model, what: str) -> None:
    """Refuse a model in which features were seen not to be changed. Raises: EngineError."""
    model.check_way("block by block", what)
    model.check_way("along directions", what)


def metric_for(prompts: Sequence[Prompt]) -> str:
    """The logit difference where every prompt has one, else the answer's log-probability."""
    return "log_prob" if any(p.target.distractor is None for p in prompts) else "logit_diff"


def notes_on(e: Experiment, prompts: Sequence[Prompt]) -> tuple[str, ...]:
    """What a reader must know of prompts whose features are changed."""
    notes = dict.fromkeys(note for prompt in prompts for note in prompt.target.notes)
    if not any(positions_of(prompt) for prompt in prompts):
        raise ExperimentError(
            f"Positions are “{e.positions}”: no feature is switched off in the prompts themselves, "
            "so none has an effect. Choose all, prompt or some of them."
        )
    without = sum(p.target.distractor is None for p in prompts)
    if 0 < without < len(prompts):
        notes[
            f"In {without} of {len(prompts)} pairs no token tells answer and distractor apart, so "
            "the effects are on the answer's log-probability in all."
        ] = None
    return tuple(notes)


def off_already(e: Experiment, sae: Sae) -> list[int]:
    """The features of an SAE that an experiment sets to 0 itself, at the same positions."""
    found = {
        site.index
        for change in e.every_change
        if change.becomes.kind is Kind.ZERO and change.positions == e.positions
        for site in change.sites.sites
        if isinstance(site, Feature) and site.layer == sae.layer
    }
    return sorted(found) if sae in e.saes else []
