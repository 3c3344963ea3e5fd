"""Writes requirements.txt, requirements-dev.txt and requirements.lock from pyproject.toml.

The two hold what pyproject.toml asks for, the lock one exact version of all that pip takes for it,
whatever needs it. `make run` and `make test` install the one within the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent
NOTE = "# Written by `make lock` from pyproject.toml; to be changed there.\n"


def asked() -> dict[str, str]:
    """The texts of the two requirements files, by their names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    dev = ["-r requirements.txt", *project["optional-dependencies"]["dev"]]
    return {
        "requirements.txt": NOTE + "\n".join(project["dependencies"]) + "\n",
        "requirements-dev.txt": NOTE + "\n".join(dev) + "\n",
    }


def locked(report: dict) -> str:
    """The text of the lock, from what pip reports it would install into an empty environment."""
    chosen = sorted(
        (each["metadata"]["name"].lower().replace("_", "-"), each["metadata"]["version"])
        for each in report["install"]
    )
    # Of torch any build of that version will do: +cpu, +cu130, or the index's own.
    return NOTE + "".join(f"{name}=={version.split('+')[0]}\n" for name, version in chosen)


def main() -> None:
    """Write the three files. Raises: CalledProcessError where pip finds no versions that fit."""
    for name, text in asked().items():
        (ROOT / name).write_text(text, "utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    dry = ["--dry-run", "--ignore-installed", "--report=-", "-r", "requirements-dev.txt"]
    done = subprocess.run([*pip, *dry], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    (ROOT / "requirements.lock").write_text(locked(json.loads(done.stdout)), "utf-8")


if __name__ == "__main__":
    main()
