"""The dashboard served by a process that has read its libraries already, which takes most of what a
server takes to start. What a cold server does is seen on one of `benchmarks.driving.serving`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.driving import free_port, wait_until_up
from tests.support.alone import started


@contextmanager
def served(script: Path | str = "serve.py") -> Iterator[str]:
    """Serve a Streamlit script of the checkout. Yields: its address, once it is up."""
    port = free_port()
    process = started(
        "import os, sys\n"
        "os.environ['STREAMLIT_SERVER_HEADLESS'] = 'true'\n"
        f"sys.argv = ['streamlit', 'run', {str(script)!r}, '--server.port', '{port}']\n"
        "from streamlit.web.cli import main\n"
        "main()\n"
    )
    try:
        wait_until_up(address := f"http://127.0.0.1:{port}")
        yield address
    finally:
        process.terminate()
        process.join(20)
