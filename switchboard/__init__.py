"""The engine's door under the name it is installed by: `import switchboard` in a notebook.

The names are read from the engine when one is first asked for: the command, which only starts a
server, needs neither them nor PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
INSTALLED = (_HERE / "engine").is_dir()
"""Whether the engine and the pages lie in this package, as in a wheel, or beside it."""
HOUSE = _HERE if INSTALLED else _HERE.parent
"""Where app.py, serve.py, pages, engine and assets are."""


def __getattr__(name: str) -> Any:
    if name != "__all__" and name.startswith("_"):  # what tools ask of any module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    engine = import_module(f"{__name__}.engine" if INSTALLED else "engine")
    if name not in ("__all__", *engine.__all__):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(engine, name)


def __dir__() -> list[str]:
    return sorted(__getattr__("__all__"))
