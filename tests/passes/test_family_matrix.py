"""Every family that transformers and TransformerLens share, made tiny: every place that the engine
offers, read and changed, against plain hooks on the Hugging Face model
(tests/support/family_reference)."""

from __future__ import annotations

import operator
import random
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine import registry
from engine.errors import EngineError
from engine.model.model import Model
from engine.passes import forward
from engine.passes.hooks import Edit
from tests.support.families import LEFT_OUT, MEMBERS, VOCAB, shared_families
from tests.support.family_reference import PLACES, Change, FamilyReference

CLOSE: dict[str, Any] = {"atol": 1e-4, "rtol": 1e-4}

_NO_HEADS = "has no attention heads that can be reached one by one"
REFUSED: dict[str, str] = {
    **dict.fromkeys(["falcon_mamba", "mamba", "mamba2", "rwkv"], _NO_HEADS),  # it has none
    "jetmoe": _NO_HEADS,  # its heads are experts'
    "deepseek_v4": _NO_HEADS,  # its heads are joined by two projections
    "hrm_text": "The blocks of HrmTextForCausalLM are not where they are looked for",
}
"""Families that cannot be loaded, and what is said."""

_EXPERTS = {"post": "some layers are mixtures of experts, and the others have no name for it"}
_FURTHER = {"attn_out": "it goes through an MLP and a projection before it is added"}
_SUM_NORMED = {"resid_mid": "the sum is normed before the block goes on"}
NOT_OFFERED: dict[str, dict[str, str]] = {
    **dict.fromkeys(
        ["afmoe", "deepseek_v2", "deepseek_v3", "ernie4_5_moe", "glm4_moe", "glm4_moe_lite",
         "glm_moe_dsa", "jamba", "laguna", "lfm2_moe", "llama4_text", "qwen3_next", "sarvam_mla",
         "sarvam_moe"],
        _EXPERTS,
    ),
    **dict.fromkeys(["bert", "openai-gpt", "opt, norms behind"], _SUM_NORMED),
    "recurrent_gemma": {"resid_mid": "TransformerLens has no name for its norms"},
    **dict.fromkeys(["zamba2", "zamba2, two layers share attention"], _FURTHER),
    "granitemoehybrid, no experts": {
        "mlp_out": "TransformerLens has no name for its MLP",
        "post": "TransformerLens has no name for its MLP",
    },
}  # fmt: skip
"""Places that a family has and the engine does not offer in any layer, and why."""

SERVED = [name for name in MEMBERS if name not in REFUSED]


@pytest.fixture(scope="module")
def pair(member: Any) -> Any:
    """`pair("gpt2")` gives the engine's model and the reference's."""

    @cache
    def give(name: str) -> tuple[Model, FamilyReference]:
        directory = member(name)
        return registry.load(str(directory)), FamilyReference(name, directory)

    return give


def test_every_shared_family_is_in_the_matrix_or_left_out_for_a_reason() -> None:
    kinds = {member.model_type for member in MEMBERS.values()}
    assert kinds | set(LEFT_OUT) == shared_families()
    assert not kinds & set(LEFT_OUT)


@pytest.mark.parametrize("name", REFUSED)
def test_a_family_that_cannot_be_served_is_refused_in_words(name: str, member: Any) -> None:
    with pytest.raises(EngineError, match=REFUSED[name]):
        registry.load(str(member(name)))


@pytest.mark.parametrize("name", [name for name in MEMBERS if name not in REFUSED])
def test_what_is_offered_is_what_the_family_has(name: str, pair: Any) -> None:
    model, reference = pair(name)
    lacking = set(NOT_OFFERED.get(name, ()))
    for layer in range(model.shape.n_layers):
        theirs = [p for p in PLACES if reference.has(p, layer) and p not in lacking]
        ours = [p for p in PLACES if model.reaches(p, layer)]
        assert ours == theirs, f"layer {layer}"
        for place in set(PLACES) - set(ours):
            with pytest.raises(EngineError, match=f"{place} in layer {layer}"):
                run(model, forward.Row((1, 5), captures=frozenset([(place, layer)])))


@pytest.mark.parametrize("name", SERVED)
def test_a_clean_pass_and_all_that_is_read_in_it_are_the_plain_models(name: str, pair: Any) -> None:
    model, reference = pair(name)
    ids = prompt(random.Random(name), model)
    places = [(p, i) for i in range(model.shape.n_layers) for p in PLACES if model.reaches(p, i)]
    row = forward.Row(ids, logits_at=tuple(range(len(ids))), captures=frozenset(places))
    (found,) = run(model, row)
    torch.testing.assert_close(found.logits, reference.logits(ids), **CLOSE)
    theirs = reference.values(ids, places)
    for place, layer in places:
        ours = found.captured[place, layer]
        if place == "pattern":
            ours = ours.transpose(0, 1)
        wanted = theirs[place, layer]
        size = reference.size(place, layer)
        if size is not None:
            wanted = wanted.reshape(len(ids), size, *wanted.shape[2:])
        torch.testing.assert_close(
            ours, wanted, **CLOSE, msg=partial(operator.add, f"{place, layer}: ")
        )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", SERVED)
def test_a_change_of_a_place_is_that_of_plain_hooks_alone_and_among_others(
    name: str, place: str, pair: Any
) -> None:
    model, reference = pair(name)
    layers = [i for i in range(model.shape.n_layers) if model.reaches(place, i)]
    if not layers:
        assert place in NOT_OFFERED.get(name, ()) or not any(
            reference.has(place, i) for i in range(model.shape.n_layers)
        )
        return

    @settings(max_examples=2)
    @given(st.integers(0, 2**32))
    def changes_agree(seed: int) -> None:
        chance = random.Random(seed)
        ids = prompt(chance, model)
        drawn = [chance.choice(layers) for _ in range(4)]
        texts = [text(chance, model, reference, ids, [(place, i)]) for i in drawn]
        agree(model, reference, Case.each(reference, texts))

    changes_agree()


@pytest.mark.parametrize("name", SERVED)
def test_rows_with_several_changes_share_a_pass_and_do_not_touch(name: str, pair: Any) -> None:
    model, reference = pair(name)
    places = [
        (place, layer)
        for layer in range(model.shape.n_layers)
        for place in PLACES
        if model.reaches(place, layer)
    ]

    @settings(max_examples=3)
    @given(st.integers(0, 2**32))
    def changes_agree(seed: int) -> None:
        chance = random.Random(seed)
        length = chance.randint(2, longest(model))
        texts = [
            text(
                chance, model, reference, prompt(chance, model, length),
                chance.sample(places, chance.randint(0, 3)),
            )
            for _ in range(5)
        ]  # fmt: skip
        agree(model, reference, Case.each(reference, texts))

    changes_agree()


@dataclass(frozen=True)
class Case:
    """A text with changes, said to the engine and to the reference."""

    ids: tuple[int, ...]
    edits: tuple[Edit, ...]
    changes: tuple[Change, ...]

    @property
    def row(self) -> forward.Row:
        return forward.Row(self.ids, self.edits, logits_at=tuple(range(len(self.ids))))

    @classmethod
    def each(cls, reference: FamilyReference, texts: list[Text]) -> list[Case]:
        """Texts of one length with their changes, of whose other texts each is read once."""
        others = [one for _, drawn in texts for one in drawn if one.other]
        looked = [(one.other, [(one.place, one.layer)]) for one in others]
        values = iter(reference.each_values(looked) if looked else ())
        cases = []
        for ids, drawn in texts:
            both = [one.said(next(values) if one.other else {}) for one in drawn]
            cases.append(cls(ids, tuple(edit for edit, _ in both), tuple(c for _, c in both)))
        return cases


@dataclass(frozen=True)
class Drawn:
    """A change of some heads at some positions: to a value, by a factor, or to what is there in
    another text."""

    place: str
    layer: int
    index: tuple[int, ...] | None
    positions: tuple[int, ...]
    value: float = 0.0
    scales: bool = False
    other: tuple[int, ...] = ()

    def said(self, seen: dict[tuple[str, int], Tensor]) -> tuple[Edit, Change]:
        """The same to the engine and to the reference, with what is `seen` in the other text."""
        value: Tensor | float = self.value
        if self.other:
            value = seen[self.place, self.layer][list(self.positions)]
            if self.index is not None:
                value = value[:, list(self.index)]

        def become(old: Tensor) -> Tensor:
            if self.scales:
                return old * value
            return value if isinstance(value, Tensor) else torch.full_like(old, value)

        at = (self.place, self.layer, self.index, self.positions)
        return Edit(*at, value, scales=self.scales), Change(*at, become)


Text = tuple[tuple[int, ...], list[Drawn]]
"""A text and what is changed in it."""


def text(
    chance: random.Random, model: Model, reference: FamilyReference,
    ids: tuple[int, ...], places: list[tuple[str, int]],
) -> Text:  # fmt: skip
    """A text with random changes at places, each of its own kind."""
    return ids, [_change(chance, model, reference, ids, *at) for at in places]


def _change(
    chance: random.Random, model: Model, reference: FamilyReference,
    ids: tuple[int, ...], place: str, layer: int,
) -> Drawn:  # fmt: skip
    positions = tuple(sorted(chance.sample(range(len(ids)), chance.randint(1, len(ids)))))
    size = reference.size(place, layer)
    index = None
    if size is not None and (place == "post" or chance.random() < 0.8):
        index = tuple(sorted(chance.sample(range(size), chance.randint(1, min(size, 4)))))
    drawn = Drawn(place, layer, index, positions)
    match chance.choice(["zero", "set", "scale", "resample", "resample"]):
        case "zero":
            return drawn
        case "set":
            value = chance.uniform(-2, 2) if place != "pattern" else chance.random()
            return replace(drawn, value=value)
        case "scale":
            return replace(drawn, value=chance.uniform(-2, 3), scales=True)
    return replace(drawn, other=prompt(chance, model, len(ids)))


def agree(model: Model, reference: FamilyReference, rows: list[Case]) -> None:
    """Rows of one pass give what plain hooks give, each as if it were alone."""
    together = run(model, *(one.row for one in rows))
    (alone,) = run(model, rows[-1].row)
    every = reference.each_logits([(one.ids, one.changes) for one in rows])
    for one, found, wanted in zip(rows, together, every, strict=True):
        far = (found.logits - wanted).abs().max()
        if one is rows[-1]:
            far = max(far, (alone.logits - wanted).abs().max())
        if not far <= 1e-4:  # some changes are such that the last digits become the first
            trusted = reference.trusted(one.ids, one.changes)
            assert far <= 4 * trusted, (
                f"{far:.2g} off, {trusted:.2g} by rounding alone: "
                f"{[(e.point, e.layer, e.index, e.positions, e.value) for e in one.edits]}"
            )


def run(model: Model, *rows: forward.Row) -> list[Any]:
    return model.worker.run(lambda: forward.run(model, rows))


def longest(model: Model) -> int:
    """The longest text drawn: beyond every window, and beyond LongRoPE's border where there is
    one."""
    return min(model.shape.n_ctx or 9, 18 if model.rotaries else 9)


def prompt(chance: random.Random, model: Model, length: int | None = None) -> tuple[int, ...]:
    length = length or chance.randint(2, longest(model))
    return (1, *(chance.randrange(3, VOCAB) for _ in range(length - 1)))
