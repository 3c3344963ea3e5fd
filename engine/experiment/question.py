"""A question is a value: what is asked, with its options, before anybody answers it.

Like an experiment it is the cache key, the JSON to save, the link and the Python to copy, and what
a worker elsewhere is sent. Only what differs from the defaults is written.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints
from urllib.parse import parse_qsl, urlencode

from ..errors import LinkError
from .ablations import Ablations
from .written import from_plain, to_plain

MOST_WRITTEN = 40_000_000
"""Characters the JSON or the link of a question may have."""

P = TypeVar("P")
T = TypeVar("T")


class Question(Generic[P, T]):
    """What is asked; the base of frozen dataclasses, each of which is one kind of question.

    `P`: what is known by and by; `T`: the result. `asks`: the function at the door that asks it,
    by which it is told from others; `n_plain`: how many of its fields that function takes by place.
    """

    asks: ClassVar[str] = ""
    n_plain: ClassVar[int] = 1
    work_kind: ClassVar[Any] = None
    """What `begin` gives where that is more than a Work."""
    _kinds: ClassVar[dict[str, type[Question[Any, Any]]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        Question._kinds[cls.asks] = cls

    @property
    def model_name(self) -> str | None:
        """The model that answers it; None where that takes none."""
        raise NotImplementedError

    def answered(self, model: Any) -> Any:
        """How the loaded model (None where none is needed) answers it: an Answer.

        Raises: EngineError for what cannot be asked of it.
        """
        raise NotImplementedError

    def answered_after(self, model: Any, so_far: P) -> Any:
        """How it is answered by one who knows that much already; by itself, all of it anew."""
        return self.answered(model)

    def to_dict(self) -> dict[str, Any]:
        """What is asked and every option that differs from its default, as plain JSON values."""
        return {"asks": self.asks, **to_plain(self)}

    @staticmethod
    def from_dict(plain: Any) -> Question[Any, Any]:
        """The inverse of `to_dict`. Raises: LinkError for what is no question."""
        if not isinstance(plain, dict):
            raise LinkError("The JSON of a question is an object with its fields.")
        rest = {name: value for name, value in plain.items() if name != "asks"}
        return from_plain(rest, _kind(plain.get("asks")))

    def to_json(self) -> str:
        """JSON text, the same for equal questions."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Question[Any, Any]:
        """The inverse of `to_json`. Raises: EngineError in words for a text that is none."""
        if not isinstance(text, str) or len(text) > MOST_WRITTEN:
            raise LinkError(
                f"The JSON of a question is a text of at most {MOST_WRITTEN:,} letters."
            )
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as wrong:
            raise LinkError(f"This is not JSON: {str(wrong)[:200]}.") from wrong
        return Question.from_dict(plain)

    def to_url(self) -> str:
        """The query of a link to this question, beginning with `?`: `asks`, then each field, as its
        text or as JSON."""
        pairs = [
            (name, value if isinstance(value, str) else json.dumps(value))
            for name, value in self.to_dict().items()
        ]
        return "?" + urlencode(pairs, errors="surrogatepass")

    @staticmethod
    def from_url(url: str) -> Question[Any, Any]:
        """The inverse of `to_url`. Raises: LinkError saying which part cannot be read."""
        if not isinstance(url, str) or len(url) > MOST_WRITTEN:
            raise LinkError(f"A question's link is a text of at most {MOST_WRITTEN:,} letters.")
        try:
            pairs = parse_qsl(url.partition("?")[2], keep_blank_values=True, errors="surrogatepass")
        except ValueError as wrong:
            raise LinkError(f"This link cannot be read: {str(wrong)[:200]}.") from wrong
        given = dict(pairs)
        hints = get_type_hints(_kind(given.get("asks")))
        return Question.from_dict(
            {name: _read(value, hints.get(name, str)) for name, value in given.items()}
        )

    def to_python(self, **named: str) -> str:
        """The Python that asks this, for `import engine`; `named`: fields that have a name already,
        as in `task="task"`."""
        shown: list[str] = []
        for place, field in enumerate(fields(self)):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if field.name not in named and value == _default(field):
                continue
            written = named.get(field.name) or python_of(value)
            plain = place == len(shown) and place < self.n_plain
            shown.append(written if plain else f"{field.name}={written}")
        return f"engine.{self.asks}({', '.join(shown)})"


def python_of(value: Any) -> str:
    """The Python that makes a value, for `import engine`."""
    if isinstance(value, Question):
        return value.to_python()
    if hasattr(value, "to_python"):
        return str(value.to_python())
    if isinstance(value, tuple):
        if value and all(hasattr(one, "layer") for one in value):  # sites have a text of their own
            return repr(" ".join(map(str, value)))
        inside = ", ".join(map(python_of, value))
        return f"({inside},)" if value else "()"
    if isinstance(value, Ablations):
        return f"engine.ablations({str(value)!r})"
    if hasattr(value, "__dataclass_fields__"):
        if isinstance(to_plain(value), str):
            return repr(to_plain(value))
        shown = [
            f"{f.name}={python_of(getattr(value, f.name))}"
            for f in fields(value)
            if getattr(value, f.name) != _default(f)
        ]
        return f"engine.{type(value).__name__}({', '.join(shown)})"
    return repr(value)


def _kind(asks: Any) -> type[Question[Any, Any]]:
    kinds = {name: kind for name, kind in Question._kinds.items() if name}
    if not isinstance(asks, str) or asks not in kinds:
        raise LinkError(f"“{asks!s:.40}” is no question; there are {', '.join(sorted(kinds))}.")
    return kinds[asks]


def _read(text: str, hint: Any) -> Any:
    if hint in (str, str | None):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text  # a text, where the field may be one; else the field says what is wrong


def _default(field: Any) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING
