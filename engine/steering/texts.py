"""How a model goes on with a direction added at every token, and how much it then repeats itself.

Too long an addition makes a model say one thing over and over, which the divergence of single
tokens does not tell. Of each text that is generated, the share of n-grams that have come before in
it (seq-rep-n, Welleck et al. 2020):

    repetition = 1 − different n-grams / n-grams

What it does not show: lists and counts repeat little and may be nonsense, refrains repeat and may
be meant; so the clean run's and those of random directions stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from ..asking import ask
from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.numbers import whole_number
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes import forward
from ..passes.decoding import Decoding
from ..passes.hooks import Edit
from ..passes.ordering import highest
from ..passes.overflow import check_numbers
from .neutral import as_neutral, neutral_texts
from .runs import directions_added
from .steer import checked, read_coefficient, steered_layers
from .text_results import N_GRAM, SteeredTexts

MOST_PROMPTS, MOST_NEW = 100, 200
_PROMPTS, _WORDS = 4, 4
"""How many of the neutral texts that ship are gone on from where none are said, and from how many
of their words."""


@dataclass(frozen=True)
class SteerTexts(Question[SteeredTexts, SteeredTexts]):
    """What comes greedily after prompts, clean, with a direction times `coefficient` added where
    the stream enters `layer`, and with random ones as long.

    `prompts`: by themselves the beginnings of neutral texts that ship. `new_tokens`: how many are
    taken at most, fewer where a text ends. What is added is so at the experiment's positions,
    generated ones among them. The rest is as in `SteeringMap`.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "steered_texts"
    n_plain = 4
    e: Experiment
    name: str
    layer: int
    coefficient: float
    prompts: tuple[str, ...] = ()
    new_tokens: int = 24
    controls: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for field, value in checked(self).items():
            object.__setattr__(self, field, value)
        object.__setattr__(self, "layer", whole_number(self.layer, "The layer"))
        object.__setattr__(self, "coefficient", read_coefficient(self.coefficient))
        object.__setattr__(self, "prompts", as_neutral(self.prompts))
        n = whole_number(self.new_tokens, "How many tokens are generated")
        object.__setattr__(self, "new_tokens", n)
        if not N_GRAM <= n <= MOST_NEW:
            raise ExperimentError(f"{N_GRAM} to {MOST_NEW} tokens are generated, not {n:,}.")
        if len(self.prompts) > MOST_PROMPTS:
            raise ExperimentError(f"At most {MOST_PROMPTS} prompts, not {len(self.prompts):,}.")

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> Answer[SteeredTexts, SteeredTexts]:
        """Snapshots, prompt by prompt."""
        model.check_way("cached", "generation")
        steered_layers(model, (self.layer,))
        return Answer(lambda put: _steps(model, self, put))


def steered_texts(
    e: Experiment,
    name: str,
    layer: int,
    coefficient: float,
    prompts: Iterable[str] | str = (),
    new_tokens: int = 24,
    controls: int = 4,
    seed: int = 0,
    view: str | None = None,
) -> SteeredTexts:
    """Ask `SteerTexts` and wait for the end. Raises: EngineError in words."""
    texts = as_neutral(prompts)
    return ask(SteerTexts(e, name, layer, coefficient, texts, new_tokens, controls, seed), view)


def _steps(
    model: Model, asked: SteerTexts, put: Callable[[SteeredTexts], None]
) -> Steps[SteeredTexts]:
    e = asked.e
    yield 0.0
    added = yield from directions_added(model, e, asked.name, asked.controls, asked.seed)
    values = [None, *(asked.coefficient * one for one in added)]
    shipped = [" ".join(one.split()[:_WORDS]) for one in neutral_texts(model)[:_PROMPTS]]
    prompts = asked.prompts or tuple(shipped)
    texts: list[tuple[str, ...]] = []
    ids: list[tuple[tuple[int, ...], ...]] = []

    def known(share: float) -> SteeredTexts:
        result = SteeredTexts(
            e, asked.name, asked.layer, asked.coefficient, prompts[: len(texts)], asked.seed,
            tuple(texts), tuple(ids), share,
        )  # fmt: skip
        put(result)
        return result

    for i, prompt in enumerate(prompts):
        tokens = model.tokenizer.encode(prompt, e.prepend_bos)
        forward.check_ids(model, tokens.ids)
        e.positions.at(len(tokens), len(tokens))  # says what is past the prompt's end
        taken: list[list[int]] = [[] for _ in values]
        for n in _generated(model, asked, tokens.ids, values, taken):
            yield (i + n / asked.new_tokens) / len(prompts)
        ids.append(tuple(map(tuple, taken)))
        said = [one[:-1] if one[-1] in model.ends else one for one in taken]
        texts.append(tuple(map(model.tokenizer.decode, said)))
        result = known((i + 1) / len(prompts))
    return result


def _generated(
    model: Model,
    asked: SteerTexts,
    prompt: tuple[int, ...],
    values: Sequence[torch.Tensor | None],
    taken: list[list[int]],
) -> Steps[None]:
    """Take the likeliest tokens after a prompt, each run's own, until all have ended. Yields: how
    many so far."""
    decoding, n_prompt = Decoding(model), len(prompt)
    room = asked.new_tokens
    if model.shape.n_ctx is not None:
        room = min(room, model.shape.n_ctx - n_prompt + 1)

    def changes(first: int, stop: int) -> list[tuple[Edit, ...]]:
        at = tuple(p - first for p in asked.e.positions.at(n_prompt, stop, first))
        return [
            ()
            if value is None or not at
            else (Edit("resid_pre", asked.layer, None, at, value, adds=True),)
            for value in values
        ]

    ids = torch.tensor([prompt] * len(values), device=model.device)
    for step in range(room):
        logits = decoding.read(ids, changes)[:, -1]
        check_numbers(model, logits, "generate from")
        best = highest(logits)
        for own, token in zip(taken, best.tolist(), strict=True):
            if not (own and own[-1] in model.ends):
                own.append(token)
        if all(own[-1] in model.ends for own in taken):
            return
        ids = best[:, None]
        yield step + 1
