"""What the Hugging Face hub has of a model: looked at first, fetched by name of file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelError

_DISK_LEFT = 2**30
"""Bytes that fetching a model leaves free on the disk."""


@dataclass(frozen=True)
class Listing:
    """What lies in a model's directory on the hub, not in folders within it.

    `sizes`: bytes of each file by its name. `stored`: how many numbers the safetensors hold, by
    dtype (`F32`, `BF16`); empty where the hub does not say.
    """

    sizes: dict[str, int]
    stored: dict[str, int]


def look(name: str) -> Listing:
    """Ask the hub what there is of a model. Raises: what huggingface_hub raises."""
    from huggingface_hub import HfApi

    result = HfApi().model_info(name, files_metadata=True, timeout=10)
    files = result.siblings or []
    sizes = {f.rfilename: f.size or 0 for f in files if "/" not in f.rfilename}
    return Listing(sizes, dict(result.safetensors.parameters) if result.safetensors else {})


def reaches(name: str) -> bool:
    """Whether the hub can be asked of a model now; the answer comes within some seconds."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        HfApi().model_info(name, timeout=3)
    except Exception:  # of many kinds, all of them meaning that it cannot
        return False
    return True


def cached(name: str, wanted: Sequence[str]) -> Path | None:
    """The directory of a model in the cache; None where it is not, or is known to lack some of the
    files wanted."""
    try:
        return _snapshot(name, wanted, local_files_only=True)
    except Exception:  # of many kinds, all of them meaning that it is not there
        return None


def fetch(name: str, wanted: Sequence[str]) -> Path:
    """Fetch files by their names or patterns of them, never from folders within the model's.

    Returns: the directory in the cache. Raises: what huggingface_hub raises.
    """
    return _snapshot(name, wanted, etag_timeout=5)


def check_disk(name: str, n_bytes: int) -> None:
    """Raises: ModelError where so many bytes more would not fit in the cache."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE).expanduser()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if n_bytes + _DISK_LEFT > free:
        raise ModelError(
            f"“{name}” has {n_bytes / 2**30:.1f} GiB of weights to fetch; {free / 2**30:.1f} GiB "
            f"are free on the disk of “{folder}”. Free some, or set HF_HOME to a larger disk."
        )


def _snapshot(name: str, wanted: Sequence[str], **more: object) -> Path:
    from huggingface_hub import snapshot_download

    result: str = snapshot_download(  # type: ignore[call-overload]
        name, allow_patterns=list(wanted), ignore_patterns=["*/*"], **more
    )
    return Path(result)
