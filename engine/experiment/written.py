"""Values as plain JSON values and back: each type by the one form it is written in.

Dataclasses are written field by field, only what differs from the defaults; what has a text of its
own (sites, methods, positions, ablations) by that; what writes itself (experiments, circuits) does.
"""

from __future__ import annotations

from typing import Any, TypeVar

from cattrs import Converter

from ..errors import EngineError, LinkError
from .ablations import Ablations, ablations
from .sites import MLP, Feature, Head, HeadPart, Heads, Neuron, Site, Stream, parse_sites

T = TypeVar("T")

_converter = Converter(omit_if_default=True, forbid_extra_keys=True, detailed_validation=False)


def to_plain(value: Any) -> Any:
    """The plain JSON value of a question, or of any value in one."""
    return _converter.unstructure(value)


def from_plain(plain: Any, kind: type[T]) -> T:
    """The value of that kind which `to_plain` has written.

    Raises: LinkError (or the EngineError of a part) saying what cannot be read.
    """
    try:
        return _converter.structure(plain, kind)
    except EngineError:
        raise
    except RecursionError as wrong:
        raise LinkError("This cannot be read: it is nested too deeply.") from wrong
    except Exception as wrong:
        raise LinkError(f"This cannot be read: {str(wrong)[:200]}.") from wrong


def _as_it_is(value: Any, kind: Any) -> Any:
    """A plain value of just that type: a number is no text, and true no number."""
    if type(value) is kind or (kind is float and type(value) is int):
        return kind(value)
    raise LinkError(f"{str(value)[:60]!r} is of the wrong type: {kind.__name__} is meant.")


def _writes_itself(kind: Any) -> bool:
    """Whether a type has a plain form of its own; a question's is made here."""
    return hasattr(kind, "from_dict") and not hasattr(kind, "asks")


def _site(value: Any, _kind: Any) -> Site:
    result = parse_sites(value if isinstance(value, str) else str(value))
    if len(result) != 1:
        raise LinkError(f"“{value!s:.40}” is not one site.")
    return result[0]


for _plain in (str, int, float, bool):
    _converter.register_structure_hook(_plain, _as_it_is)
for _place in (Head, Heads, MLP, Neuron, HeadPart, Stream, Feature):
    _converter.register_structure_hook(_place, _site)
    _converter.register_unstructure_hook(_place, str)
_converter.register_structure_hook_func(lambda kind: kind == Site, _site)
_converter.register_unstructure_hook_func(lambda kind: kind == Site, str)
_converter.register_structure_hook(Ablations, lambda value, _: ablations(value))
_converter.register_unstructure_hook(Ablations, str)
_converter.register_structure_hook_func(
    lambda kind: hasattr(kind, "parse"), lambda value, kind: kind.parse(value)
)
_converter.register_unstructure_hook_func(lambda kind: hasattr(kind, "parse"), str)
_converter.register_structure_hook_func(_writes_itself, lambda value, kind: kind.from_dict(value))
_converter.register_unstructure_hook_func(_writes_itself, lambda value: value.to_dict())
