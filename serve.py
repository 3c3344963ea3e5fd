"""The dashboard as a server that reads its libraries and first model while the browser opens.

`streamlit run serve.py` serves app.py; `streamlit run app.py` does the same without the head start,
and with a page that is blank until Streamlit draws it.
"""

import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import streamlit as st
from starlette.middleware import Middleware

from pages._parts.shell import Kept, Shell


def _warm_up() -> None:
    gc.disable()  # else a fifth of the time goes into looking for garbage among what libraries keep
    try:
        import engine

        engine.load(engine.Experiment().model)
    finally:
        gc.enable()


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """Start reading in the background as soon as the server is up."""
    threading.Thread(target=_warm_up, name="warm up", daemon=True).start()
    yield


app = st.App("app.py", lifespan=lifespan, middleware=[Middleware(Shell), Middleware(Kept)])
