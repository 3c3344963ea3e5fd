"""Many prompts at once, each clean and under several sets of ablations and their random controls.

Prompts are grouped by their number of tokens, never padded, and cut into batches that fit the byte
budget; all the runs of a prompt draw with the same luck. What the shares do not show: whether a
wrong text is nearly right, or a right one by luck; the controls tell how many other heads do as
much.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..circuits.controls import random_controls
from ..errors import EngineError, ExperimentError
from ..experiment.ablations import Ablations, ablations
from ..experiment.experiment import Experiment
from ..experiment.numbers import whole_number
from ..experiment.results import Tokens
from ..model.model import Model
from ..model.streaming import Stream
from ..model.worker import SWEEP
from ..passes import forward
from ..passes.hooks import ablated_sites
from ..registry import model_of
from ..tasks.families import MOST_EXAMPLES, Example, as_examples
from .batches import Plan, room, work
from .many_telling import ManyTelling
from .results import GeneratedMany, ManyRow, Run, RunTotals
from .sampling import Sampling

MOST_ROWS = 100_000
"""Texts that can be asked for at once: prompts times runs."""


class Many(Stream[ManyRow]):
    """The rows of many prompts, handed out as they are done, shortest prompts first.

    `runs`: what each prompt is put through: "clean", each set, and behind it its controls.
    `notes`: what a reader must know, in sentences. `seed`: that of the controls, and the first
    prompt's; each prompt draws with a seed of its own, seed + its index.
    """

    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    seed: int

    def collected(self) -> GeneratedMany:
        """Wait for the rest. Returns: all rows in the prompts' order, with each run's totals.

        Raises: as the iterator does. Rows that were read before are not among these.
        """
        rows = tuple(sorted(self, key=lambda row: row.index))
        return GeneratedMany(rows, run_totals(self.runs, rows), self.seed, self.notes)


def generate_many(
    e: Experiment,
    prompts: Any,
    max_new_tokens: int = 20,
    *,
    sets: Mapping[str, str | Ablations] | None = None,
    controls: int = 0,
    layer_matched: bool = True,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    done: Collection[int] = (),
    view: str | None = None,
) -> Many:
    """Let the model go on after many prompts, clean and under each set of ablations.

    `prompts`: texts, `Example`s, pairs, or tuples of a prompt and its answer.
    The model, method, positions and references are the experiment's, and so are its further
    changes, in every run but the clean one; a prompt's own answer, if it has one, is what is
    expected. `sets`: name → ablations, by itself the experiment's as "ablated". `controls`: how
    many random sets of the same size each set is held against, drawn without overlap with it, as
    many in each layer if `layer_matched`. `done`: the indices of prompts to leave out, so that what
    was stopped goes on: rows keep their index and their seed.
    The rest is as in `generate`.
    Returns: Many, an iterator of rows. A prompt that cannot be run says why in its row.
    Raises: EngineError in words, here or from the iterator.
    """
    prompts = as_examples(prompts)
    max_new_tokens = whole_number(max_new_tokens, "How many tokens are generated")
    controls = whole_number(controls, "How many controls")
    if not prompts:
        raise ExperimentError("There are no prompts; give at least one.")
    if len(prompts) > MOST_EXAMPLES:
        raise ExperimentError(f"{len(prompts):,} prompts are given; at most {MOST_EXAMPLES:,}.")
    if max_new_tokens < 1:
        raise ExperimentError(
            f"{max_new_tokens} tokens are nothing to look at: ask for at least 1."
        )
    sampling = Sampling(temperature, top_k, top_p, seed)
    model = model_of(e)
    model.check_way("cached", "generation")
    named = {"ablated": e.ablations} if sets is None else sets
    if not isinstance(named, Mapping):
        raise ExperimentError("`sets` gives each set of ablations a name, as in {“late”: “a9”}.")
    runs, experiments = _runs(model, e, named, controls, layer_matched, seed)
    if len(runs) * len(prompts) > MOST_ROWS:
        raise ExperimentError(
            f"{len(prompts):,} prompts in {len(runs):,} runs are {len(runs) * len(prompts):,} "
            f"texts; at most {MOST_ROWS:,}."
        )
    tokens = tuple(_tokens(model, one, e.prepend_bos) for one in prompts)
    left_out = frozenset(done) & frozenset(range(len(prompts)))
    plan = Plan(tokens, runs, experiments, max_new_tokens, sampling, left_out)
    stream = Many(
        model.worker,
        lambda put: work(model, plan, put),
        ManyTelling(model.tokenizer, prompts, tokens, model.ends, seed),
        priority=SWEEP,
        view=view,
    )
    stream.runs, stream.seed = runs, seed
    stream.notes = tuple(_notes(model, plan, prompts))
    return stream


def run_totals(runs: Sequence[Run], rows: Iterable[ManyRow]) -> tuple[RunTotals, ...]:
    """What each run came to over these rows, which may be some of them or all."""
    rows = list(rows)
    found = []
    for r, run in enumerate(runs):
        mine = [(row.continuations[r], row.continuations[0]) for row in rows]
        verdicts = [one.right for one, _ in mine if one is not None and one.right is not None]
        same = [a.ids == b.ids for a, b in mine if a is not None and b is not None]
        found.append(
            RunTotals(
                run,
                len(verdicts),
                sum(verdicts),
                sum(verdicts) / len(verdicts) if verdicts else None,
                len(same),
                sum(same) / len(same) if same else None,
            )
        )
    return tuple(found)


def _runs(
    model: Model,
    e: Experiment,
    sets: Mapping[str, str | Ablations],
    controls: int,
    layer_matched: bool,
    seed: int,
) -> tuple[tuple[Run, ...], tuple[Experiment, ...]]:
    runs, experiments = [Run("clean", "")], [e.clean]
    for name, written in sets.items():
        own = ablations(written)
        ablated_sites(own, model.shape)
        drawn = random_controls(own.sites, model.shape, controls, seed, layer_matched)
        each = [(name, own, "")]
        each += [
            (f"{name}, control {i + 1}", replace(own, sites=sites), name)
            for i, sites in enumerate(drawn)
        ]
        for title, one, control_of in each:
            told = "; ".join(filter(None, (str(one), *map(str, e.changes))))
            runs.append(Run(title, told, control_of))
            experiments.append(replace(e, ablations=one))
    return tuple(runs), tuple(experiments)


def _tokens(model: Model, example: Example, prepend_bos: bool | None) -> Tokens | str:
    """A prompt's tokens, or why it has none that can be run."""
    try:
        tokens = model.tokenizer.encode(example.prompt, prepend_bos)
        forward.check_ids(model, tokens.ids)
        return tokens
    except EngineError as wrong:
        return str(wrong)


def _notes(model: Model, plan: Plan, prompts: Sequence[Example]) -> list[str]:
    told = []
    held = [t for t in plan.prompts if not isinstance(t, str)]
    cut = [t for t in held if room(model, len(t), plan.n_new) < plan.n_new]
    if cut:
        told.append(
            f"{len(cut)} of the prompts leave no room for {plan.n_new} tokens: this model reads at "
            f"most {model.shape.n_ctx}, and their texts end there."
        )
    longer = [
        one
        for one, tokens in zip(prompts, plan.prompts, strict=True)
        if one.answer
        and not isinstance(tokens, str)
        and len(model.tokenizer.in_place(tokens, one.answer)[0]) > plan.n_new
    ]
    if longer:
        told.append(
            f"{len(longer)} of the answers have more than {plan.n_new} tokens, so they cannot come "
            "out right; ask for more."
        )
    if any(run.control_of for run in plan.runs):
        told.append(
            f"Controls are drawn without overlap with their set, with seed {plan.sampling.seed}."
        )
    return told
