"""The pages there are, as the dashboard's own navigation names them."""

from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from pages._parts import frame


@dataclass(frozen=True)
class Named:
    """A page: its file, its title, and its path in an address."""

    file: str
    title: str
    path: str


def _named() -> dict[str, Named]:
    def page(file: str, title: str, default: bool = False, **_: object) -> Named:
        return Named(file, title, "" if default else Path(file).stem)

    with patch.object(frame.st, "Page", page):
        return {Path(each.file).stem: each for each in frame._pages()}


PAGES = _named()
