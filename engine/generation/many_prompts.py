"""Many prompts at once, each clean and under several sets of ablations and their random controls.

Prompts are grouped by their number of tokens, never padded, and cut into batches that fit the byte
budget; all the runs of a prompt draw with the same luck. What the shares do not show: whether a
wrong text is nearly right, or a right one by luck; the controls tell how many other heads do as
much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..asking import begin
from ..circuits.controls import number_of_controls, random_controls
from ..errors import EngineError, ExperimentError
from ..experiment.ablations import Ablations, ablations
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.numbers import whole_number
from ..experiment.question import Question
from ..experiment.results import Tokens
from ..model.model import Model
from ..model.work import Answer, Work
from ..passes import forward
from ..passes.hooks import ablated_sites
from ..registry import model_of
from ..tasks.families import MOST_EXAMPLES, Example
from ..tasks.reading import as_examples
from .batches import ManyPlan, room, work
from .many_rows import ManyRows
from .results import GeneratedMany
from .runs import ManyRow, Run
from .sampling import Sampled

MOST_ROWS = 100_000
"""Texts that can be asked for at once: prompts times runs."""


@dataclass(frozen=True, kw_only=True)
class _GeneratingMany(Answer[ManyRow, GeneratedMany]):
    """The answer to many prompts, with what is known before the first row."""

    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    seed: int


class Many(Work[ManyRow, GeneratedMany]):
    """The rows of many prompts, handed out as they are done, shortest prompts first.

    `runs`: what each prompt is put through: "clean", each set, and behind it its controls.
    `notes`: what a reader must know, in sentences. `seed`: that of the controls, and the first
    prompt's; each prompt draws with a seed of its own, seed + its index. The three are there once
    the model is loaded.
    """

    answer: _GeneratingMany

    @property
    def runs(self) -> tuple[Run, ...]:
        return self.answer.runs

    @property
    def notes(self) -> tuple[str, ...]:
        return self.answer.notes

    @property
    def seed(self) -> int:
        return self.answer.seed


@dataclass(frozen=True)
class GenerateMany(Sampled, Question[ManyRow, GeneratedMany]):
    """The model going on after many prompts, clean and under each set of ablations.

    The model, method, positions and references are the experiment's, and so are its further
    changes, in every run but the clean one; a prompt's own answer, if it has one, is what is
    expected. `sets`: name → ablations, by itself the experiment's as "ablated". `controls`: how
    many random sets of the same size each set is held against, drawn without overlap with it, as
    many in each layer if `layer_matched`. `done`: the indices of prompts to leave out, so that what
    was stopped goes on: rows keep their index and their seed.
    The rest is as in `Generate`.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "generate_many"
    n_plain = 3
    work_kind = Many
    e: Experiment
    prompts: tuple[Example, ...]
    max_new_tokens: int = 20
    sets: tuple[tuple[str, Ablations], ...] | None = None
    controls: int = 0
    layer_matched: bool = True
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    done: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_experiment(self.e)
        n = whole_number(self.max_new_tokens, "How many tokens are generated")
        object.__setattr__(self, "max_new_tokens", n)
        object.__setattr__(self, "controls", number_of_controls(self.controls))
        if not self.prompts:
            raise ExperimentError("There are no prompts; give at least one.")
        if len(self.prompts) > MOST_EXAMPLES:
            raise ExperimentError(
                f"{len(self.prompts):,} prompts are given; at most {MOST_EXAMPLES:,}."
            )
        if self.max_new_tokens < 1:
            raise ExperimentError(
                f"{self.max_new_tokens} tokens are nothing to look at: ask for at least 1."
            )
        self.read_sampling()
        done = frozenset(self.done) & frozenset(range(len(self.prompts)))
        object.__setattr__(self, "done", tuple(sorted(done)))

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> _GeneratingMany:
        """Rows one by one; then GeneratedMany, which holds them all. A prompt that cannot be run
        says why in its row."""
        model.check_way("cached", "generation")
        named = {"ablated": self.e.ablations} if self.sets is None else dict(self.sets)
        runs, experiments = _runs(
            model, self.e, named, self.controls, self.layer_matched, self.seed
        )
        n = len(self.prompts)
        if len(runs) * n > MOST_ROWS:
            raise ExperimentError(
                f"{n:,} prompts in {len(runs):,} runs are {len(runs) * n:,} texts; at most "
                f"{MOST_ROWS:,}."
            )
        tokens = tuple(_tokens(model, one, self.e.prepend_bos) for one in self.prompts)
        plan = ManyPlan(
            tokens, runs, experiments, self.max_new_tokens, self.sampling, frozenset(self.done)
        )
        notes = tuple(_notes(model, plan, self.prompts, self.controls))

        def gather(some: list[ManyRow], _: object) -> GeneratedMany:
            rows = tuple(sorted(some, key=lambda row: row.index))
            return GeneratedMany(rows, runs, self.seed, notes)

        return _GeneratingMany(
            steps=lambda put: work(model, plan, put),
            show=ManyRows(model.tokenizer, self.prompts, tokens, model.ends, self.seed),
            newest=False,
            gather=gather,
            runs=runs,
            notes=notes,
            seed=self.seed,
        )


def generate_many(
    e: Experiment,
    prompts: Any,
    max_new_tokens: int = 20,
    *,
    view: str | None = None,
    **options: Any,
) -> Many:
    """Let the model go on after many prompts, clean and under each set of ablations.

    `prompts`: texts, `Example`s, pairs, or tuples of a prompt and its answer. `options`: the other
    fields of `GenerateMany`, such as `sets={"late": "a9"}`.
    Returns: Many, an iterator of rows; its `result()` holds all, with each run's totals.
    Raises: EngineError in words, here or from the iterator.
    """
    if options.get("sets") is not None:
        options["sets"] = _sets(options["sets"])
    done = tuple(options.pop("done", ()))
    question = GenerateMany(e, as_examples(prompts), max_new_tokens, done=done, **options)
    model_of(e)
    many: Many = begin(question, view)  # type: ignore[assignment]
    return many


def _sets(given: Any) -> tuple[tuple[str, Ablations], ...]:
    """Named sets of ablations, as a mapping or as its items."""
    named = given.items() if isinstance(given, Mapping) else given
    pairs = isinstance(named, Iterable) and not isinstance(named, str)
    each = list(named) if pairs else []
    if not pairs or not all(isinstance(one, tuple) and len(one) == 2 for one in each):
        raise ExperimentError("`sets` gives each set of ablations a name, as in {“late”: “a9”}.")
    return tuple((str(name), ablations(own)) for name, own in each)


def _runs(
    model: Model,
    e: Experiment,
    sets: Mapping[str, Ablations],
    controls: int,
    layer_matched: bool,
    seed: int,
) -> tuple[tuple[Run, ...], tuple[Experiment, ...]]:
    runs, experiments = [Run("clean", "")], [e.clean]
    for name, own in sets.items():
        ablated_sites(own, model.shape)
        drawn = random_controls(own.sites, model.shape, controls, seed, layer_matched)
        each = [(name, own, "")]
        each += [
            (f"{name}, control {i + 1}", replace(own, sites=sites), name)
            for i, sites in enumerate(drawn)
        ]
        for title, one, control_of in each:
            sentence = "; ".join(filter(None, (str(one), *map(str, e.changes))))
            runs.append(Run(title, sentence, control_of))
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


def _notes(model: Model, plan: ManyPlan, prompts: Sequence[Example], controls: int) -> list[str]:
    notes = []
    held = [t for t in plan.prompts if not isinstance(t, str)]
    cut = [t for t in held if room(model, len(t), plan.n_new) < plan.n_new]
    if cut:
        notes.append(
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
        notes.append(
            f"{len(longer)} of the answers have more than {plan.n_new} tokens, so they cannot come "
            "out right; ask for more."
        )
    if any(run.control_of for run in plan.runs):
        sets = [run.control_of for run in plan.runs if run.control_of]
        few = [f"only {sets.count(name)} of “{name[:40]}”" for name in dict.fromkeys(sets)
               if sets.count(name) < controls]  # fmt: skip
        notes.append(
            f"Controls are drawn without overlap with their set, with seed {plan.sampling.seed}"
            + (f"; of different ones there are {', '.join(few)}." if few else ".")
        )
    return notes
