"""A slow line between a tab and its server: what the server says comes late, or what a clock of the
tab asks."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, WebSocketRoute
from streamlit.proto.BackMsg_pb2 import BackMsg

SLOW_LINE = """(() => { const Plain = window.WebSocket; let late = 0, last = 0;
  window.slowLine = milliseconds => { late = milliseconds; };
  window.WebSocket = class extends Plain { constructor(...given) { super(...given);
    let take = null;
    Object.defineProperty(this, "onmessage", { get: () => take, set: f => { take = f; } });
    this.addEventListener("message", told => { const now = performance.now();
      last = Math.max(now + late, last);
      setTimeout(() => take && take.call(this, told), last - now); }); } }; })()"""
"""A script for a tab to begin with; `slowLine(milliseconds)` then holds back each message as long,
in order."""


class Polls:
    """What the clocks of a tab ask its server, held back while `held` and said later by `say`; of a
    tab that is not open yet."""

    def __init__(self, page: Page) -> None:
        self.held = False
        self._late: list[Callable[[], None]] = []
        page.route_web_socket("**/*", self._join)

    @property
    def n_late(self) -> int:
        """How many wait to be said."""
        return len(self._late)

    def say(self) -> None:
        """Say now what was held back, and hold nothing more."""
        self.held = False
        for say in self._late:
            say()
        self._late.clear()

    def _join(self, tab: WebSocketRoute) -> None:
        server = tab.connect_to_server()

        def send(message: str | bytes) -> None:
            asked = BackMsg()
            if self.held and isinstance(message, bytes):
                asked.ParseFromString(message)
            if asked.rerun_script.is_auto_rerun:
                self._late.append(lambda: server.send(message))
            else:
                server.send(message)

        tab.on_message(send)
