"""Changes that cannot be made: why, what would let them be made, and the clean run regardless."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import streamlit as st

import engine
from pages._parts import state
from pages._parts.pairs_form import Chosen
from pages._parts.text import decimal, plain

T = TypeVar("T")
_MENDED = {
    "ablations": "Clear the sites",
    "method": "Use zero",
    "positions": "Act at all positions",
    "changes": "Clear the further changes",
    "corrupted": "Clear the corrupted prompt",
    "references": "Clear the reference prompts",
}
"""What a button does for a field that cannot be read."""


@dataclass(frozen=True)
class Answered(Generic[T]):
    """The answer to a question of `e`: of the experiment asked about, or, where its changes were
    `refused`, of the clean one."""

    e: engine.Experiment
    result: T
    refused: bool

    @property
    def run(self) -> str:
        """The run that the page's widget says; the clean one where there is no other."""
        return "clean" if self.refused else str(st.session_state["run"])


def answered(reading: state.Reading, ask: Callable[[engine.Experiment], T]) -> Answered[T]:
    """Ask of the experiment read; where its changes cannot be made, say why, with what would mend
    it, and ask of the clean one.

    Raises: the EngineError of what cannot be asked of the clean one either.
    """
    e = reading.experiment
    if reading.unread:  # which is told above the page
        return Answered(e.clean, ask(e.clean), True)
    try:
        return Answered(e, ask(e), False)
    except engine.Cancelled:
        raise
    except engine.EngineError as wrong:
        if not e.every_change:
            raise
        try:
            clean = ask(e.clean)
        except engine.EngineError:
            raise wrong from None
        refused(wrong, e)
        return Answered(e.clean, clean, True)


def refused(wrong: engine.EngineError, e: engine.Experiment) -> None:
    """Say why changes of an experiment cannot be made, with its remedies.

    Raises: EngineError where the prompt itself cannot be read.
    """
    mended = engine.remedies(e)
    st.warning(plain(wrong))
    _buttons(e, mended)


def remedies(
    e: engine.Experiment,
    key: str = "",
    further: Callable[[engine.Remedy], None] | None = None,
    goes: Callable[[engine.Remedy], bool] = lambda _: True,
) -> None:
    """Draw a button for each remedy that `goes` of an experiment whose changes are refused, which
    does what is `further` to be done too. `key`: of which of a page's refusals these are."""
    _buttons(e, filter(goes, engine.remedies(e)), key, further)


def _buttons(
    e: engine.Experiment,
    mended: Iterable[engine.Remedy],
    key: str = "",
    further: Callable[[engine.Remedy], None] | None = None,
) -> None:
    def take(remedy: engine.Remedy) -> None:
        state.turn_into(e, remedy.experiment)
        if further is not None:
            further(remedy)

    with st.container(horizontal=True, gap="small"):
        for remedy in mended:
            st.button(remedy.does, key=f"_mend{key} {remedy.does}", on_click=take, args=(remedy,))


def unread(reading: state.Reading) -> None:
    """Say which fields of the changes cannot be read, each with a button that clears it."""
    for name, sentence in reading.unread.items():
        st.warning(plain(sentence))
        st.button(_MENDED[name], key=f"_clear {name}", on_click=_clear, args=(name,))


def _clear(name: str) -> None:
    state.fill_in(engine.Experiment(), [name])


def refused_of_pairs(
    wrong: engine.EngineError,
    e: engine.Experiment,
    chosen: Chosen,
    key: str,
    further: Callable[[engine.Remedy], None] | None = None,
) -> None:
    """Say why changes of pairs cannot be made, with their remedies and what stands: how the model
    does with nothing changed. `e` has the changes, or, where it names no sites, the method by which
    any are made.
    """
    if chosen.score is None:  # then no change is the reason
        st.error(plain(wrong))
        return
    shape: engine.Shape = st.session_state["_shape"]
    written = st.session_state["over"] == "prompt"  # and its corrupted prompt can be another
    pair, named = chosen.task.pairs[0], e.ablations or engine.Ablations((shape.heads[0],))
    asked = replace(
        e,
        prompt=pair.prompt,
        corrupted=pair.corrupted,
        ablations=named,
        references=e.references or (() if written else chosen.task.references),
    )

    def goes(remedy: engine.Remedy) -> bool:
        own = written or remedy.experiment.corrupted == pair.corrupted
        return own and bool(e.ablations or remedy.experiment.ablations)

    st.warning(plain(wrong))
    remedies(asked, key, further, goes)
    mean = chosen.score.clean.mean_logit_diff
    if mean is not None:
        st.metric("Clean logit difference", decimal(mean, 3), width="content")
