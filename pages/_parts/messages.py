"""What a browser's message says of widgets, when a newer one may cut in, and what is sent to it.

A message says the values of all widgets as the browser knows them. One that crosses a change made
here (a poll, or the next quick click, over a slow line) still says those from before it, which
Streamlit takes for the reader's and so undoes the change. And a newer message cuts off what is
being done wherever it touches the session's state, a button's callback half-way too. And of a page
that waits to be sent, Streamlit takes out what a part that runs again has drawn; what was drawn
behind that part then has no place in the browser, which shows nothing any more. A part's run that a
page asked for before it was left does the same: it is taken for a turn back to that page, or, where
the turn has not begun yet, undoes it. And a value is told with a widget once: of one that is drawn
anew before the browser had shown it, it is shown empty. Streamlit has no setting for any of them:
this is the one place that knows how it works inside.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.scriptrunner import RerunData, ScriptRunner, get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_requests import ScriptRequests, ScriptRequestType
from streamlit.runtime.state import SessionState
from streamlit.runtime.state.common import unpack_widget_state_value

_TRIGGERS = ("trigger_value", "string_trigger_value", "json_trigger_value", "chat_input_value")
_PLAIN = (
    "",
    *(f"{of}_value" for of in ("bool", "int", "double", "string")),
    *(f"{of}_array_value" for of in ("int", "double", "string")),
)
"""Kinds of values that can be set here, "" where the reader cleared one."""
_SETTABLE = (str, bool, int, float, list)
"""What such values are; a table's, which cannot be set, is none of these."""
_HEARD = "_heard"
_OF_PARTS = "fragment_ids_this_run"
_RELIED_ON = (
    "set_widgets_from_proto", "_call_callbacks", "_old_state", "_new_widget_state",
    "_key_id_mapper",
)  # fmt: skip


def install() -> None:
    """Have messages read, and callbacks run, as below; once for a server. A Streamlit that is made
    otherwise inside is left as it is."""
    known = all(hasattr(SessionState, name) for name in _RELIED_ON)
    if known and not hasattr(SessionState.set_widgets_from_proto, "__wrapped__"):
        SessionState.set_widgets_from_proto = _in_order(SessionState.set_widgets_from_proto)  # type: ignore[method-assign]
        SessionState._call_callbacks = _uncut(SessionState._call_callbacks)  # type: ignore[method-assign]
    run = getattr(ScriptRunner, "_run_script", None)
    if run is not None and not hasattr(run, "__wrapped__"):
        ScriptRunner._run_script = _where_it_is(run)  # type: ignore[method-assign]
    ask = getattr(ScriptRequests, "_request_rerun_locked", None)
    if ask is not None and not hasattr(ask, "__wrapped__"):
        ScriptRequests._request_rerun_locked = _where_it_turns(ask)  # type: ignore[method-assign]
    clear = ForwardMsgQueue.clear
    known = _OF_PARTS in inspect.signature(clear).parameters and hasattr(
        ForwardMsgQueue(), "_delta_index_map"
    )
    if known and not hasattr(clear, "__wrapped__"):
        ForwardMsgQueue.clear = _whole(clear)  # type: ignore[method-assign]


@contextlib.contextmanager
def uncut() -> Iterator[None]:
    """Do what belongs together as one: a newer message waits until it is done."""
    ctx = get_script_run_ctx()
    safe = None if ctx is None else ctx.session_state
    yields = None if safe is None else safe.__dict__.get("_yield_callback")
    if yields is None:
        yield
        return
    object.__setattr__(safe, "_yield_callback", lambda: None)
    try:
        yield
    finally:
        object.__setattr__(safe, "_yield_callback", yields)


def _uncut(run: Callable[..., None]) -> Callable[..., None]:
    def run_uncut(session: SessionState, **given: Any) -> None:
        with uncut():
            run(session, **given)

    return run_uncut


def _where_it_is(run: Callable[..., None]) -> Callable[..., None]:
    def run_where_it_is(runner: Any, asked: RerunData) -> None:
        pages = getattr(runner, "_pages_manager", None)
        here = getattr(pages, "current_page_script_hash", "")
        if here and asked.fragment_id_queue and asked.page_script_hash != here:
            asked = replace(asked, page_script_hash=here)
        run(runner, asked)

    run_where_it_is.__wrapped__ = run  # type: ignore[attr-defined]
    return run_where_it_is


def _where_it_turns(ask: Callable[..., bool]) -> Callable[..., bool]:
    def ask_where_it_turns(requests: ScriptRequests, new: RerunData) -> bool:
        waits = requests._rerun_data if requests._state == ScriptRequestType.RERUN else None
        taken = ask(requests, new)
        if (
            taken
            and waits
            and not waits.fragment_id_queue
            and (new.fragment_id or new.fragment_id_queue)
        ):
            requests._rerun_data = replace(
                requests._rerun_data,
                page_script_hash=waits.page_script_hash,
                page_name=waits.page_name,
                query_string=waits.query_string,
                is_auto_rerun=waits.is_auto_rerun and new.is_auto_rerun,
            )
        return taken

    ask_where_it_turns.__wrapped__ = ask  # type: ignore[attr-defined]
    return ask_where_it_turns


def _whole(clear: Callable[..., None]) -> Callable[..., None]:
    def clear_but_for_parts(
        queue: ForwardMsgQueue,
        retain_lifecycle_msgs: bool = False,
        fragment_ids_this_run: list[str] | None = None,
    ) -> None:
        if retain_lifecycle_msgs and fragment_ids_this_run:
            queue._delta_index_map = {}  # as if it had been sent just now: nothing joins it
        else:
            clear(queue, retain_lifecycle_msgs, fragment_ids_this_run)

    clear_but_for_parts.__wrapped__ = clear  # type: ignore[attr-defined]
    return clear_but_for_parts


def _in_order(take: Callable[..., None]) -> Callable[..., None]:
    def take_what_is_new(session: SessionState, message: WidgetStates) -> None:
        late = _late(session, message)
        kept = WidgetStates(widgets=[one for one in message.widgets if one.id not in late])
        take(session, kept)
        for key, value in (*late.values(), *_untold(session, message)):
            session[key] = value  # told once more, should it have been lost on its way

    take_what_is_new.__wrapped__ = take  # type: ignore[attr-defined]
    return take_what_is_new


def _untold(session: SessionState, message: WidgetStates) -> list[tuple[str, Any]]:
    """The keys and values of widgets that were drawn and of which a message says nothing: they have
    not come to the browser yet."""
    said, keys = {one.id for one in message.widgets}, session._key_id_mapper.id_key_mapping
    metadata = session._new_widget_state.widget_metadata
    return [
        (keys[at], value)
        for at, value in session._old_state.items()
        if at in keys and at not in said and isinstance(value, _SETTABLE)
        and at in metadata and metadata[at].value_type in _PLAIN
    ]  # fmt: skip


def _late(session: SessionState, message: WidgetStates) -> dict[str, tuple[str, Any]]:
    """The widgets, by id, of which a message says what they were before the server set them last,
    with their keys and the values set.

    Of each, what it has been is kept, from what the browser last said on: so a message tells how
    far the browser has come. One that says what it said before may also be of a reader who sets it
    back to that; but then that is all there is to the message.
    """
    before: dict[str, list[Any]] = session._old_state.get(_HEARD, {})
    heard = session[_HEARD] = {}
    keys = session._key_id_mapper.id_key_mapping
    late: dict[str, tuple[str, Any]] = {}
    again: dict[str, tuple[str, Any]] = {}
    acts = _is_poll()
    for one in message.widgets:
        at, kind, said = one.id, one.WhichOneof("value") or "", unpack_widget_state_value(one)
        metadata = session._new_widget_state.widget_metadata.get(at)
        if kind in _TRIGGERS:
            acts |= bool(said)
        elif kind not in _PLAIN or at not in keys or metadata is None:
            heard[at] = [str(one)]
            acts |= heard[at] != before.get(at, heard[at])
        else:
            value = metadata.deserializer(said)
            if at not in session._old_state:  # of a page that was left: there is nothing to tell
                heard[at] = [value]
                continue
            now = session._old_state[at]
            been = before.get(at, [])
            been = been if not been or been[-1] == now else [*been, now]
            passed = max((i for i, past in enumerate(been) if past == value), default=-1)
            heard[at] = [value] if passed < 0 else been[passed:]
            acts |= bool(been) and passed < 0
            if len(heard[at]) > 1:
                (late if passed else again)[at] = keys[at], now
    if acts:
        return late | again
    for at in again:  # it was set back
        heard[at] = heard[at][:1]
    return late


def _is_poll() -> bool:
    """Whether what is being run was asked for by a clock, not by the reader."""
    ctx = get_script_run_ctx()
    asked = getattr(ctx and ctx.script_requests, "_rerun_data", None)
    return bool(getattr(asked, "is_auto_rerun", False))
