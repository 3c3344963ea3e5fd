"""The dashboard with a slower model and a count of what its worker has read, at /read:
tokens in all, and how many there were when a generation was last called off."""

import time
from pathlib import Path

import streamlit as st
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from engine.generation.modes import Appending
from engine.model.work import Work

_read, _cancel = Appending.read, Work.cancel
_n, _called_off = [0], [0]


def slowly(self: Appending) -> None:
    _n[0] += 1
    time.sleep(0.12)
    _read(self)


def noted(self: Work) -> None:
    if not self.stopped:
        _called_off[0] = _n[0]
    _cancel(self)


async def told(_request: object) -> PlainTextResponse:
    return PlainTextResponse(f"{_n[0]} {_called_off[0]}")


Appending.read = slowly  # type: ignore[method-assign]
Work.cancel = noted  # type: ignore[method-assign]
app = st.App(str(Path(__file__).resolve().parents[2] / "app.py"), routes=[Route("/read", told)])
