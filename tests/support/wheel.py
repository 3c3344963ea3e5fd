"""The wheel, built and installed where nothing of the checkout can be imported."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.driving import free_port, wait_until_up

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Installed:
    """An environment that has the wheel, the home of who uses it, and an empty folder to be in."""

    wheel: Path
    commands: Path
    home: Path
    folder: Path

    def environ(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "STREAMLIT"))}
        return {**kept, "HOME": str(self.home), **more}

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its commands to the end."""
        return subprocess.run(
            [self.commands / command, *arguments],
            cwd=self.folder, env=self.environ(), capture_output=True, text=True,
        )  # fmt: skip

    @contextmanager
    def serving(self, *arguments: str, **environ: str) -> Iterator[tuple[subprocess.Popen, str]]:
        """`switchboard` on a port of its own, once it answers. Yields: it, and its address."""
        port = free_port()
        process = subprocess.Popen(
            [self.commands / "switchboard", *arguments, "--port", str(port)],
            cwd=self.folder,
            env=self.environ(**environ),
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_until_up(f"http://127.0.0.1:{port}")
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def install(root: Path) -> Installed:
    """Build the wheel and install it into an empty environment below `root`.

    Of this environment it sees the libraries alone: a path that is added by a .pth file is not
    looked through for further ones, so a checkout that is installed to be edited is not seen.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--quiet"]
    made = ["wheel", str(ROOT), "--no-build-isolation", "--wheel-dir", str(root / "wheel")]
    subprocess.run([*pip, *made, *offline], check=True)
    (wheel,) = (root / "wheel").glob("*.whl")
    venv.create(root / "env")
    scheme = sysconfig.get_preferred_scheme("prefix")
    paths = sysconfig.get_paths(scheme, vars={"base": str(root / "env")})
    python = Path(paths["scripts"]) / "python"
    subprocess.run([*pip, "--python", python, "install", str(wheel), *offline], check=True)
    here = sysconfig.get_path("purelib")
    (Path(paths["purelib"]) / "libraries.pth").write_text(f"{here}\n", "utf-8")
    for empty in ("home", "folder"):
        (root / empty).mkdir()
    return Installed(wheel, python.parent, root / "home", root / "folder")
