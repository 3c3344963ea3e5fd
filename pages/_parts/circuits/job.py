"""Work about a circuit, kept beside the page: begun when its question changes, or stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

import engine
from pages._parts import state
from pages._parts.following import AT_FIRST
from pages._parts.text import plain

KEYS = ("_evaluation", "_third", "_edges", "_path_patch")
"""Where a session keeps such work."""


@dataclass
class Kept:
    """Work as it was asked for, and what became of it. `failed`: why there is no result."""

    asked: object
    going: engine.Job | None
    found: Any = None
    failed: str = ""
    stopped: bool = False

    def follow(self, seconds: float = 0.0) -> None:
        """Take over the result, if it comes within so many seconds."""
        if self.going is None:
            return
        try:
            self.found = self.going.result(seconds)
        except TimeoutError:
            return
        except engine.Cancelled:
            self.stopped = True
        except engine.EngineError as wrong:
            self.failed = str(wrong)
        self.going = None


def kept(key: str, asked: object, begin: Callable[[str], engine.Job]) -> Kept:
    """The work of this question: what is there, or begun now, `begin` getting the view's name.

    Raises: EngineError for a question that cannot be asked.
    """
    ss = st.session_state
    found = ss.get(key)
    if not isinstance(found, Kept) or found.asked != asked:
        if isinstance(found, Kept) and found.going is not None:
            found.going.cancel()
        ss[key] = None
        found = ss[key] = Kept(asked, begin(f"{state.view()} {key}"))
        found.follow(AT_FIRST)
    found.follow()
    return found


def is_going() -> bool:
    """Whether any of the work kept still runs."""
    found = [st.session_state.get(key) for key in KEYS]
    return any(isinstance(one, Kept) and one.going is not None for one in found)


def progress(key: str) -> None:
    """How far the work is, with a way to stop it; once it is over, how it ended."""
    one = st.session_state.get(key)
    if not isinstance(one, Kept):
        return
    if one.going is not None:
        share = min(1.0, one.going.progress)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Stop", key=f"_stop{key}", on_click=one.going.cancel, icon=":material/stop:")
            st.progress(share, f"{share:.0%}")
    elif one.stopped:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Begin again",
                key=f"_again{key}",
                on_click=_forget,
                args=(key,),
                icon=":material/replay:",
            )
            st.caption("Stopped before there was a result.")
    elif one.failed:
        st.error(plain(one.failed))


def _forget(key: str) -> None:
    st.session_state[key] = None
