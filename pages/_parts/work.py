"""Questions that take a while, kept beside a page while no script runs: asked when they change or
by a button, followed, stopped, begun again."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

import engine
from pages._parts import state
from pages._parts.layout import held
from pages._parts.text import plain

EVERY = 0.4
"""Seconds between what the browser is told while work goes on."""
AT_FIRST = 0.6
"""Seconds that a page waits for work it has begun: most on small models ends in that."""
_LOOK = 5.0
"""Seconds between looks at whose browser is still there."""
_KEYS = "_keys_asked"
"""Where a session keeps under which keys it has asked anything."""
_open: weakref.WeakKeyDictionary[engine.Work[Any, Any], str] = weakref.WeakKeyDictionary()
_watch = threading.Lock()


@dataclass
class Asked:
    """A question and what is known of its answer by now: the newest of what is known while it
    goes on, then the result. `failed`: why there is none; `stopped`: it was called off."""

    question: engine.Question[Any, Any]
    going: engine.Work[Any, Any] | None
    result: Any = None
    failed: engine.EngineError | None = None
    stopped: bool = False

    @property
    def answered(self) -> bool:
        """Whether `result` is the whole result."""
        return self.going is None and not (self.failed or self.stopped)

    def known(self) -> Any:
        """What is known of the answer. Raises: EngineError where it ended without."""
        if self.failed is not None:
            raise self.failed.with_traceback(None)
        return self.result

    def follow(self, seconds: float = 0.0) -> None:
        """Take over what has come since, and what comes within so many seconds; not all there ever
        is, where it comes faster than it is taken over."""
        going = self.going
        if going is None:
            return
        until = time.monotonic() + seconds
        try:
            for part in going.within(min(seconds, EVERY)):
                over = time.monotonic() - until
                if over >= (0.0 if part is None else EVERY):
                    break
            else:
                self.result, self.going = going.result(0), None
                return
        except engine.Cancelled:
            self.stopped, self.going = True, None
        except engine.EngineError as wrong:
            self.failed, self.going = wrong, None
        self.result = going.so_far or self.result


def ask(key: str, question: engine.Question[Any, Any], wait: bool = True) -> Asked:
    """The answer to this question, kept under that key: what is there, or begun now and, with
    `wait`, waited for a moment.

    Raises: EngineError for a question that cannot be asked.
    """
    result = find(key)
    if result is None or result.question != question:
        if result is not None and result.going is not None:
            result.going.cancel()
        result = _begun(key, question)
        result.follow(AT_FIRST if wait else 0.0)
    result.follow()
    return result


def go_on(key: str) -> None:
    """Begin again what was stopped, from what is known of its answer."""
    one = find(key)
    if one is not None and one.going is None:
        _begun(key, one.question, one.result)


def _begun(key: str, question: engine.Question[Any, Any], so_far: Any = None) -> Asked:
    st.session_state[key] = None
    st.session_state.setdefault(_KEYS, set()).add(key)
    work = engine.begin(question, f"{state.view()} {key}", so_far=so_far)
    _keep_open(work)
    asked = st.session_state[key] = Asked(question, work, so_far)
    return asked


def result_of(key: str, question: engine.Question[Any, Any]) -> Any:
    """What is known of the answer to this question, kept under that key; None while nothing is.

    Raises: EngineError for a question that has none.
    """
    return ask(key, question).known()


def find(key: str) -> Asked | None:
    """The question kept under that key, if there is one."""
    result = st.session_state.get(key)
    return result if isinstance(result, Asked) else None


def forget(key: str) -> None:
    """Let go of what is kept under that key, and end it."""
    result = find(key)
    if result is not None and result.going is not None:
        result.going.cancel()
    st.session_state[key] = None


def is_over(key: str) -> bool:
    """Whether no more comes of the question kept under that key."""
    one = find(key)
    return one is None or one.going is None


def seconds_left(key: str) -> float | None:
    """How long the rest of the answer kept under that key takes, where that can be told."""
    one = find(key)
    return None if one is None or one.going is None else one.going.seconds_left


def is_going() -> bool:
    """Whether anything that this session has asked still goes on."""
    return not all(map(is_over, st.session_state.get(_KEYS, ())))


def progress(
    key: str,
    detail: str = "",
    *,
    first: str = "",
    again: str = "Begin again",
    stopped: str = "Stopped before there was a result.",
    before: float = 0.0,
    anew: Callable[[str], None] = forget,
    refused: Callable[[engine.EngineError], None] | None = None,
) -> None:
    """Draw how far the work is, `first` in front of the share and `detail` behind, with a way to
    stop it; once it is over without a result, how it ended, with a way to begin it `anew`.
    `before`: the share that was known when it was gone on with, 0 to 1.
    `refused` says why where nothing is known of an answer."""
    one = find(key)
    with held(one is not None and not one.answered):
        if one is None:
            return
        if one.going is not None:
            share = before + (1 - before) * min(1.0, one.going.progress)
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button(
                    "Stop", key=f"_stop{key}", on_click=one.going.cancel, icon=":material/stop:"
                )
                done = f"{share:.0%}" if share >= 0.005 else "begun"
                says = f"{first}: {done}" if first else done
                st.progress(share, plain(f"{says}, {detail}" if detail else says))
        elif one.stopped:
            with st.container(horizontal=True, vertical_alignment="center"):
                icon = ":material/replay:" if anew is forget else ":material/play_arrow:"
                st.button(again, key=f"_again{key}", on_click=anew, args=(key,), icon=icon)
                st.caption(plain(stopped))
        elif one.failed is not None:
            if refused is not None and one.result is None:
                refused(one.failed)
            else:
                st.error(plain(one.failed))
            if anew is not forget:
                st.button("Try again", key=f"_again{key}", on_click=anew, args=(key,))


def _keep_open(work: engine.Work[Any, Any] | None) -> None:
    """Have work go on while the browser that asked for it is there, also where its tab is hidden
    and so asks for nothing."""
    script = get_script_run_ctx()
    if work is None or script is None or not runtime.exists():
        return
    with _watch:
        begins = not _open
        _open[work] = script.session_id
    if begins:
        threading.Thread(target=_watched, name="open browsers", daemon=True).start()


def _watched() -> None:
    while True:
        time.sleep(_LOOK)
        with _watch:
            each = [(work, session) for work, session in _open.items() if not work.is_over]
            if not each:
                _open.clear()
                return
        for work, session in each:
            if runtime.exists() and runtime.get_instance().is_active_session(session):
                work.look()


def exact(
    key: str,
    told: tuple[int, int, float | None] | None,
    refused: Callable[[engine.EngineError], None] | None = None,
    are: str = "exact",
) -> None:
    """Draw how far work is that is gone on with where it was stopped. `told`: how many numbers
    `are` so, of how many, and the seconds left, where any is known."""
    known, left = "", seconds_left(key)
    if told is not None:
        known, left = f"{told[0]:,} of {told[1]:,} {are}", told[2]
    progress(
        key,
        ", ".join(filter(None, (known, f"{left:.0f} s left" if left else ""))),
        again="Go on" if known else "Begin again",
        stopped=f"Stopped: {known}." if known else "Stopped before anything was known.",
        anew=go_on,
        refused=refused,
    )
