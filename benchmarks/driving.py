"""The dashboard on a port of its own, and a Chromium to drive it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
HEADLESS_SHELL = "chromium-headless-shell"
"""Chromium without the windows around a page, which cost a third of what it takes to open one."""
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", HEADLESS_SHELL)
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def serving(
    script: str | Path = "serve.py", command: Sequence[str] | None = None, tree: Path = ROOT
) -> Iterator[str]:
    """Serve a Streamlit script, or run a command that serves one on $PORT, from within a checkout's
    `tree`. Yields: its address."""
    port = free_port()
    command = command or [
        sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port),
    ]  # fmt: skip
    env = {**os.environ, "STREAMLIT_SERVER_HEADLESS": "true", "PORT": str(port)}
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def wait_until_up(address: str, seconds: float = 180) -> None:
    """Wait for the server to answer at all."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=1)
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def launch(playwright: Playwright, *preferred: str) -> Browser:
    """A headless Chromium: of this machine's the first of those preferred, else one as readers
    have it, else Playwright's own. Raises: playwright's Error where there is none."""
    path = next((path for path in map(shutil.which, (*preferred, *_NAMES)) if path), None)
    return playwright.chromium.launch(executable_path=path, args=list(_FLAGS))


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium for the length of a block."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        try:
            yield browser
        finally:
            browser.close()
