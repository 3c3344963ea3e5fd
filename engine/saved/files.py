"""Where what is kept lies, and files put in their place as a whole."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..errors import EngineError


def kept_folder(variable: str, name: str) -> Path:
    """The directory that a variable of the environment names, else ~/.cache/switchboard/`name`;
    where nobody's home is known, one that cannot be written."""
    named = os.environ.get(variable)
    try:
        return Path(named) if named else Path.home() / ".cache" / "switchboard" / name
    except RuntimeError:
        return Path(os.devnull)


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in place of what was there, at once: whatever ends the process leaves one that can
    be read. Raises: OSError, ValueError."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            draft.unlink(missing_ok=True)
        raise


def keep_file(path: Path, content: bytes, what: str, variable: str) -> None:
    """Put a file in its place at once. Raises: EngineError where it cannot be written, telling by
    which variable of the environment another directory is named for `what` is kept."""
    try:
        replace_file(path, content)
    except (OSError, ValueError) as wrong:
        raise EngineError(
            f"{shown_path(path)} cannot be written ({reason(wrong)}). To keep {what}, set "
            f"{variable} to a directory that can be written to."
        ) from wrong


def shown_path(path: Path) -> str:
    """A path as it can be printed, whatever bytes its name has."""
    return str(path).encode("utf-8", "replace").decode()


def reason(wrong: Exception) -> str:
    """What the system says was wrong, in few words."""
    return (isinstance(wrong, OSError) and wrong.strerror) or str(wrong)[:200]
