"""The pages there are, as the dashboard's own navigation names them."""

from dataclasses import dataclass

from pages._parts.page import declared_pages


@dataclass(frozen=True)
class Named:
    """A page: its file, its title, and its path in an address."""

    file: str
    title: str
    path: str


PAGES = {
    name: Named(f"pages/{name}.py", page.title, name if at else "")
    for at, (name, page) in enumerate(declared_pages().items())
}
