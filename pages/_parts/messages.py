"""What a browser's message says of widgets, and when a newer one may cut in.

A message says the values of all widgets as the browser knows them. One that crosses a change made
here (a poll, or the next quick click, over a slow line) still says those from before it, which
Streamlit takes for the reader's and so undoes the change. And a newer message cuts off what is
being done wherever it touches the session's state, a button's callback half-way too. Streamlit has
no setting for either: this is the one place that knows how it works inside.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.state import SessionState
from streamlit.runtime.state.common import unpack_widget_state_value

_TRIGGERS = ("trigger_value", "string_trigger_value", "json_trigger_value", "chat_input_value")
_PLAIN = (
    "",
    *(f"{of}_value" for of in ("bool", "int", "double", "string")),
    *(f"{of}_array_value" for of in ("int", "double", "string")),
)
"""Kinds of values that can be set here, "" where the reader cleared one."""
_HEARD = "_heard"


def install() -> None:
    """Have messages read, and callbacks run, as below; once for a server."""
    if not hasattr(SessionState.set_widgets_from_proto, "__wrapped__"):
        SessionState.set_widgets_from_proto = _in_order(SessionState.set_widgets_from_proto)  # type: ignore[method-assign]
        SessionState._call_callbacks = _uncut(SessionState._call_callbacks)  # type: ignore[method-assign]


@contextlib.contextmanager
def uncut() -> Iterator[None]:
    """Do what belongs together as one: a newer message waits until it is done."""
    ctx = get_script_run_ctx()
    safe = None if ctx is None else ctx.session_state
    if safe is None:
        yield
        return
    yields = safe._yield_callback
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


def _in_order(take: Callable[..., None]) -> Callable[..., None]:
    def take_what_is_new(session: SessionState, message: WidgetStates) -> None:
        late = _late(session, message)
        kept = WidgetStates(widgets=[one for one in message.widgets if one.id not in late])
        take(session, kept)
        for key, value in late.values():
            session[key] = value  # told once more, should it have been lost on its way

    take_what_is_new.__wrapped__ = take  # type: ignore[attr-defined]
    return take_what_is_new


def _late(session: SessionState, message: WidgetStates) -> dict[str, tuple[str, Any]]:
    """The widgets, by id, of which a message says what the last one said, though the server has set
    them otherwise since, with their keys and the values set.

    They are as the reader left them only if that is all there is to the message: somebody who sets
    one back to what it was does nothing else in it.
    """
    heard: dict[str, WidgetState] = session._old_state.get(_HEARD, {})
    said = session[_HEARD] = {one.id: one for one in message.widgets}
    keys = session._key_id_mapper.id_key_mapping
    late, acts = {}, _is_poll()
    for at, one in said.items():
        kind = one.WhichOneof("value") or ""
        now = session._old_state.get(at)
        if kind in _TRIGGERS:
            acts |= bool(unpack_widget_state_value(one))
        elif at in heard and at in keys and kind in _PLAIN:
            metadata = session._new_widget_state.widget_metadata.get(at)
            if metadata and metadata.deserializer(unpack_widget_state_value(one)) != now:
                if one == heard[at]:
                    late[at] = (keys[at], now)
                else:
                    acts = True
        else:
            acts |= at in heard and one != heard[at]
    return late if acts else {}


def _is_poll() -> bool:
    """Whether what is being run was asked for by a clock, not by the reader."""
    ctx = get_script_run_ctx()
    requests = ctx and ctx.script_requests
    return bool(requests and requests._rerun_data.is_auto_rerun)
