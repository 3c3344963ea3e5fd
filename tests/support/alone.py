"""Scripts run in a process of their own, which has the engine imported and has done nothing else.

The import takes most of such a process's time: it is done once, in a process that is then forked.
Of the tests it knows the environment as it is when the script starts, and nothing else.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["engine"])


def started(script: str, out: Path | str = os.devnull) -> BaseProcess:
    """A process that runs a script in the checkout; what it prints and how it fails is in `out`."""
    process = _FORKS.Process(target=_run, args=(script, str(out), dict(os.environ)), daemon=True)
    # A page that ran in this process is its __main__ from then on, and would run there first.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
        process.start()
    return process


def printed(script: str, seconds: float = 120.0) -> str:
    """What a script prints. Raises: AssertionError with what it says where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        process = started(script, out)
        process.join(seconds)
        text = out.read_text("utf-8")
        if process.exitcode is None:
            process.kill()
        assert process.exitcode == 0, text[-2000:]
        return text


def _run(script: str, out: str, environment: dict[str, str]) -> None:
    os.chdir(_ROOT)
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(out, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})
