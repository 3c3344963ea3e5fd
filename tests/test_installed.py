"""What `pip install .` gives: a command that opens the dashboard, and a door for notebooks."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
import switchboard
from tests.support.wheel import ROOT, Installed

ASKED: dict[str, Any] = {
    "prompt": "1 2 3 4",
    "answer": " 5",
    "distractor": " 4",
    "ablations": "1.3 m2",
}


def test_the_wheel_puts_one_folder_among_other_peoples_packages(installed: Installed) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    (about,) = {n.split("/")[0] for n in names} - {"switchboard"}
    assert about.endswith(".dist-info")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "switchboard", "app.py",
         "serve.py", "pages", "engine", "assets", ".streamlit"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\n")[:-1]  # fmt: skip
    expected = {f"switchboard/{n.removeprefix('switchboard/')}" for n in listed}
    assert {n for n in names if not n.startswith(about)} == expected


def test_the_installed_door_gives_the_engines_numbers_from_one_engine(installed: Installed) -> None:
    code = f"""if True:
        import json, sys
        from importlib.util import find_spec
        import switchboard
        assert not [m for m in sys.modules if m.split(".")[0] in ("torch", "engine")]
        ranked = switchboard.next_token(switchboard.Experiment(**{ASKED!r}))
        from switchboard import *
        print(json.dumps(dict(
            file=switchboard.__file__, names=dir(switchboard),
            logits=ranked.ablated.logits.tolist(), tokens=ranked.ablated.tokens[:5],
            same=Experiment is switchboard.engine.Experiment,
            strange=[n for n in ("engine", "pages", "app", "serve", "tests") if find_spec(n)],
        )))"""
    done = installed.run("python", "-c", code)
    assert not done.returncode, done.stderr
    told = json.loads(done.stdout)
    here = engine.next_token(engine.Experiment(**ASKED)).ablated
    assert Path(told["file"]).is_relative_to(installed.commands.parent)
    assert told["names"] == sorted(engine.__all__)
    assert told["same"] and not told["strange"]
    assert told["tokens"] == list(here.tokens[:5])
    np.testing.assert_allclose(told["logits"], here.logits, atol=1e-4)


def test_in_the_checkout_the_door_is_the_engine() -> None:
    assert all(getattr(switchboard, name) is getattr(engine, name) for name in engine.__all__)
    assert dir(switchboard) == sorted(engine.__all__) and not switchboard.INSTALLED
    for name in ("registry", "_door", "nothing"):
        with pytest.raises(AttributeError, match=f"'switchboard' has no attribute '{name}'"):
            getattr(switchboard, name)


def test_the_command_says_what_it_takes_without_reading_a_library(installed: Installed) -> None:
    done = installed.run("switchboard", "--help")
    assert not done.returncode and "--port" in done.stdout and "model" in done.stdout
    seen = "import switchboard.__main__, sys; print({'torch', 'streamlit'} & set(sys.modules))"
    assert installed.run("python", "-c", seen).stdout == "set()\n"


@pytest.mark.parametrize("port", ["0", "-1", "65536", "many", "taken"])
def test_a_port_that_cannot_be_served_is_refused_in_a_sentence(
    installed: Installed, port: str
) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        taken = str(listening.getsockname()[1])
        port = taken if port == "taken" else port
        done = installed.run("switchboard", f"--port={port}", "--no-browser")
    assert done.returncode == 2 and port in done.stderr and "Traceback" not in done.stderr
    if port == taken:
        assert "choose another with --port" in done.stderr


def test_the_command_serves_opens_the_browser_and_ends(
    installed: Installed, tmp_path: Path
) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> "{opened}"\n', "utf-8")
    browser.chmod(0o755)
    seen = {"DISPLAY": ":99", "BROWSER": f"{browser} %s", "PYTHONFAULTHANDLER": "1"}
    with installed.serving("my models/ä", **seen) as (process, at):
        end = time.monotonic() + 60
        while not opened.exists() and time.monotonic() < end:
            time.sleep(0.1)
        if not opened.exists():  # what each of its threads is at is then said
            process.send_signal(signal.SIGABRT)
            pytest.fail("no browser was opened in 60 seconds")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert opened.read_text("utf-8") == f"{at}/?model=my+models%2F%C3%A4\n"
    assert not list(installed.home.iterdir()) and not list(installed.folder.iterdir())
