"""What lies in a file's place and is not the file: pointers of large files, web pages, nothing."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import ModelError

_HEAD = 512


def check_file(path: Path) -> None:
    """Refuse what only stands for a file. Raises: ModelError saying what it is and what would help;
    not for a file that is simply missing."""
    if path.is_symlink() and not path.exists():
        raise ModelError(
            f"“{path.name}” is a link to a file that is not there ({str(path.readlink())[-80:]}). "
            "Fetch or copy the file itself."
        )
    if not path.is_file():
        return
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise ModelError(f"“{path.name}” is empty. Fetch or copy it again.")
    if head.startswith(b"version https://git-lfs"):
        size = re.search(rb"^size (\d{1,18})$", head, re.MULTILINE)
        whose = f"a file of {int(size[1]):,} bytes" if size else "the file"
        raise ModelError(
            f"“{path.name}” is a Git LFS pointer: a few lines that stand for {whose}. Run "
            "“git lfs pull” in its directory, or fetch it from where the model is published."
        )
    if head.startswith((b"/annex/objects/", b"../.git/annex/", b".git/annex/")):
        raise ModelError(
            f"“{path.name}” is a git-annex pointer, not the file. Run “git annex get” on it."
        )
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
        raise ModelError(
            f"“{path.name}” is a web page, such as a refused download leaves. Fetch it again."
        )
