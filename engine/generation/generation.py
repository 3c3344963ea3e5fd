"""Generation, clean and ablated side by side: one batch, one cache, token by token.

Token ids are appended, never re-tokenized unless asked, and where the two runs part each goes on
from its own. What one text does not show: how often it would come out so; a token that wins by a
hair parts the texts as surely as one that wins by much, so look at the probabilities too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..asking import begin
from ..errors import ExperimentError
from ..experiment.ablations import Ablations, ablations
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.numbers import whole_number, whole_or_none
from ..experiment.question import Question
from ..experiment.results import Tokens
from ..model.model import Model
from ..model.work import Answer, Work
from ..model.worker import INTERACTIVE
from ..passes.hooks import ablated_sites
from ..registry import model_of
from .modes import GenerationPlan
from .results import Generated
from .runs import Step
from .sampling import Sampled, Sampling
from .schedule import spans
from .steps import apart, notes_of, room, work
from .transcript import Transcript

_BEST = 10
"""Best tokens a step keeps, where the vocabulary has as many."""


@dataclass(frozen=True, kw_only=True)
class _Generating(Answer[Step, Generated]):
    """The answer to a generation, with what is known before its first step."""

    prompt: Tokens
    sampling: Sampling
    notes: tuple[str, ...]


class Generation(Work[Step, Generated]):
    """The steps of a generation, handed out as they are made; iterate once.

    `prompt`: its tokens. `sampling`: how tokens are taken, the seed included. `notes`: what a
    reader must know, in sentences. `ended`: how it ended, once it has. `cancel()` ends it within a
    token, and so does letting go of it. The three are there once the model is loaded.
    """

    answer: _Generating

    @property
    def prompt(self) -> Tokens:
        return self.answer.prompt

    @property
    def sampling(self) -> Sampling:
        return self.answer.sampling

    @property
    def notes(self) -> tuple[str, ...]:
        return self.answer.notes


@dataclass(frozen=True)
class Generate(Sampled, Question[Step, Generated]):
    """The model going on after the prompt, clean and ablated together.

    Greedy, unless there is a temperature; both runs draw with the same seed and the same luck.
    `prefix`: ids generated before, or chosen, to go on from (`ablated_prefix`: the ablated run's
    own, as many); they come first as forced steps, beside `max_new_tokens`. The changes act
    from step `from_step` on, until before step `until_step`; `switches` says at which steps what
    takes the place of `ablations`, and a third run then goes on from the same text
    without the last of the switches (`unswitched_prefix`: its own ids, else the ablated run's).
    `retokenize`: after every token the whole text is
    tokenized anew, and where that gives other ids the run goes on from those. `k`: how many of the
    best tokens each step keeps; 10 where it is not said, or the whole of a smaller vocabulary.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "generate"
    n_plain = 2
    work_kind = Generation
    e: Experiment
    max_new_tokens: int = 20
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    prefix: tuple[int, ...] = ()
    ablated_prefix: tuple[int, ...] | None = None
    unswitched_prefix: tuple[int, ...] | None = None
    from_step: int = 0
    until_step: int | None = None
    switches: tuple[tuple[int, Ablations], ...] = ()
    retokenize: bool = False
    k: int | None = None

    def __post_init__(self) -> None:
        check_experiment(self.e)
        for name, what, read in (
            ("max_new_tokens", "How many tokens are generated", whole_number),
            ("from_step", "The first step", whole_number),
            ("until_step", "The last step", whole_or_none),
            ("k", "k", whole_or_none),
        ):
            object.__setattr__(self, name, read(getattr(self, name), what))
        self.read_sampling()
        if self.max_new_tokens < (not self.prefix):
            raise ExperimentError(
                f"{self.max_new_tokens} tokens are nothing to look at: ask for at least 1."
            )
        if self.retokenize and (self.from_step or self.until_step is not None or self.switches):
            raise ExperimentError(
                "Steps at which an ablation is switched are counted in tokens, which tokenizing "
                "the text anew renumbers: choose one of the two."
            )
        for name, one in zip(("ablated", "unswitched"), self.prefixes[1:], strict=False):
            if len(self.prefix) != len(one):
                raise ExperimentError(
                    f"The clean run would go on from {len(self.prefix)} tokens and the {name} one "
                    f"from {len(one)}: give both as many."
                )

    @property
    def model_name(self) -> str:
        return self.e.model

    @property
    def prefixes(self) -> tuple[tuple[int, ...], ...]:
        """The ids that each run goes on from: clean, ablated, and, where there are switches, the
        one without the last."""
        ablated = self.prefix if self.ablated_prefix is None else self.ablated_prefix
        last = ablated if self.unswitched_prefix is None else self.unswitched_prefix
        return (self.prefix, ablated, *((last,) if self.switches else ()))

    def answered(self, model: Model) -> _Generating:
        """Steps one by one; then Generated, which holds them all."""
        switches = dict(self.switches)
        when = [(), spans(self.e, self.from_step, self.until_step, switches)]
        if switches:
            others = dict(self.switches[:-1])
            when.append(spans(self.e, self.from_step, self.until_step, others))
        model.check_way("cached", "generation")
        k = min(_BEST, model.shape.d_vocab) if self.k is None else self.k
        if not 1 <= k <= model.shape.d_vocab:
            raise ExperimentError(f"A step can show 1 to {model.shape.d_vocab:,} tokens, not {k}.")
        for span in when[1]:
            for change in span.e.every_change:
                ablated_sites(change.sites, model.shape)
        prompt = model.tokenizer.encode(self.e.prompt, self.e.prepend_bos)
        given = self.prefixes
        n_new = room(model, prompt, given, self.max_new_tokens)
        which = apart(when, given, len(prompt), len(prompt) + len(given[0]) + n_new)
        runs = {run: (given[i], when[i]) for i, run in reversed([*enumerate(which)])}
        prefixes, spans_of = zip(*(runs[run] for run in range(len(runs))), strict=True)
        clipped = n_new < self.max_new_tokens
        plan = GenerationPlan(
            prompt, prefixes, spans_of, which[1], n_new, clipped, self.sampling, k, self.retokenize
        )
        notes = notes_of(model, plan, when[1], self.max_new_tokens)
        return _Generating(
            steps=lambda put: work(model, plan, put),
            show=Transcript(model.tokenizer, prompt, model.ends, which),
            newest=False,
            priority=INTERACTIVE,
            gather=lambda steps, ended: Generated(tuple(steps), prompt, ended, notes),
            prompt=prompt,
            sampling=self.sampling,
            notes=notes,
        )


def generate(
    e: Experiment, max_new_tokens: int = 20, *, view: str | None = None, **options: Any
) -> Generation:
    """Let the model go on after the prompt, clean and ablated together.

    `options`: the other fields of `Generate`, such as `temperature=0.8`; `switches` maps a step to
    the ablations that take their place from there.
    Returns: Generation, an iterator of Steps.
    Raises: EngineError in words, here or from the iterator.
    """
    for name in ("prefix", "ablated_prefix", "unswitched_prefix"):
        if options.get(name) is not None:
            options[name] = _ids(options[name], name)
    given = options.pop("switches", None) or ()
    each = given.items() if isinstance(given, Mapping) else given
    switches = tuple(sorted((whole_number(at, "A step"), ablations(own)) for at, own in each))
    question = Generate(e, max_new_tokens, switches=switches, **options)
    model_of(e)
    stream: Generation = begin(question, view)  # type: ignore[assignment]
    return stream


def _ids(given: Any, what: str) -> tuple[int, ...]:
    if isinstance(given, str):
        raise ExperimentError(f"`{what}` is a list of token ids, not a text.")
    return tuple(whole_number(token, "A token id") for token in given)
