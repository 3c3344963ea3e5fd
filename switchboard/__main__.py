"""`switchboard`: serve the dashboard on this machine and open it in the browser."""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import sys
import threading
import time
import urllib.request
import webbrowser
from contextlib import suppress
from urllib.parse import urlencode

from . import HOUSE

HOST = "127.0.0.1"


def main(arguments: list[str] | None = None) -> None:
    """Serve the dashboard until Ctrl+C. Raises: SystemExit where the options cannot be served."""
    parser = argparse.ArgumentParser(
        "switchboard",
        description="Open Switchboard: switch parts of a transformer language model off, and see "
        "what it would say instead.",
    )
    parser.add_argument("model", nargs="?", help="what to open: a bundled or hub name, or a path")
    parser.add_argument("--port", type=int, default=8501, help="where to listen (8501)")
    parser.add_argument("--no-browser", action="store_true", help="only serve, open no browser")
    chosen = parser.parse_args(arguments)
    if reason := _unusable(chosen.port):
        parser.error(reason)
    root = f"http://{HOST}:{chosen.port}"
    link = f"{root}/?{urlencode({'model': chosen.model})}" if chosen.model else root
    sys.stdout.write(f"Switchboard: {link} (Ctrl+C ends it)\n")
    sys.stdout.flush()
    if not chosen.no_browser and _has_screen():
        threading.Thread(target=_open_when_up, args=(root, link), daemon=True).start()
    _serve(chosen.port)


def _serve(port: int) -> None:
    import click
    from streamlit.web import cli

    run = ["run", str(HOUSE / "serve.py"), f"--server.address={HOST}", f"--server.port={port}"]
    with suppress(click.Abort):  # Ctrl+C is how it ends, not a failure
        cli.main(run, prog_name="streamlit", standalone_mode=False)


def _unusable(port: int) -> str:
    """Why nothing can be served on a port; empty where it can."""
    if not 1 <= port <= 65535:
        return f"a port is a number from 1 to 65535, not {port}."
    with socket.socket() as one:
        if os.name == "posix":  # a port that was just let go is free
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError as wrong:
            return f"port {port} cannot be used ({wrong.strerror}); choose another with --port."
    return ""


def _has_screen() -> bool:
    """Whether a browser would have a window: without one, a text browser takes the terminal."""
    return not sys.platform.startswith("linux") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _open_when_up(root: str, link: str) -> None:
    while True:
        try:
            urllib.request.urlopen(f"{root}/_stcore/health", timeout=1).close()
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        else:
            webbrowser.open(link)
            return


if __name__ == "__main__":
    main()
