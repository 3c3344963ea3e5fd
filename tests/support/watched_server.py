"""The dashboard with a slower model and a count of what its worker has read, at /read:
tokens in all, and how many there were when a generation was last called off. Behind /hold
a search shows its next part and stays there until /go."""

import threading
import time
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from engine.generation.modes import Appending
from engine.model.work import Work
from engine.search.arrays import SearchArrays
from engine.search.results import Discovery

_read, _cancel, _snapshot = Appending.read, Work.cancel, SearchArrays.snapshot
_gate = threading.Event()
_gate.set()
_shown = [0]
_n, _called_off = [0], [0]


def slowly(self: Appending) -> None:
    _n[0] += 1
    time.sleep(0.12)
    _read(self)


def noted(self: Work) -> None:
    if not self.stopped:
        _called_off[0] = _n[0]
    _cancel(self)


def held(self: SearchArrays, *args: Any, **kwargs: Any) -> Discovery:
    _shown[0] += 1
    if _shown[0] > 1:
        _gate.wait(60)
    return _snapshot(self, *args, **kwargs)


async def told(_request: object) -> PlainTextResponse:
    return PlainTextResponse(f"{_n[0]} {_called_off[0]}")


async def hold(_request: object) -> PlainTextResponse:
    _shown[0] = 0
    _gate.clear()
    return PlainTextResponse("")


async def go(_request: object) -> PlainTextResponse:
    _gate.set()
    return PlainTextResponse("")


Appending.read = slowly  # type: ignore[method-assign]
Work.cancel = noted  # type: ignore[method-assign]
SearchArrays.snapshot = held  # type: ignore[method-assign]
app = st.App(
    str(Path(__file__).resolve().parents[2] / "app.py"),
    routes=[Route("/read", told), Route("/hold", hold), Route("/go", go)],
)
