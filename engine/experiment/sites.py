"""Sites: the places in a model that can be switched off, and the grammar they are written in.

| written | means |
|---|---|
| `9.1`, `L9H1` | head 1 of layer 9 |
| `m9`, `MLP9` | the MLP of layer 9 |
| `n9.123` | neuron 123 of layer 9's MLP |
| `f9.123` | feature 123 of the experiment's SAE of layer 9 |
| `a9`, `9.*` | every head of layer 9 |
| `9.1.q`, `9.1.k`, `9.1.v` | what a head's query, key or value projection gives |
| `9.1.pattern` | a head's attention after the softmax |
| `r9`, `r9.mid` | the residual stream entering layer 9, and between its attention and its MLP |
| `0-3.5`, `9.0-3`, `m0-3` | ranges of layers, heads, MLPs |

Layers, heads and neurons count from 0; `r12` of 12 layers is the stream past the last. Sites are
separated by spaces, commas or semicolons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import SiteError

MOST_SITES = 20_000
"""More sites than this in one text is a mistake or an attack, not an experiment."""


@dataclass(frozen=True, order=True)
class Head:
    """One attention head: acts on `hook_z`, before the output projection, per query head."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}"


@dataclass(frozen=True, order=True)
class Heads:
    """Every attention head of one layer."""

    layer: int

    def __str__(self) -> str:
        return f"a{self.layer}"


@dataclass(frozen=True, order=True)
class MLP:
    """What one MLP adds to the residual stream, after its post-norm where there is one."""

    layer: int

    def __str__(self) -> str:
        return f"m{self.layer}"


@dataclass(frozen=True, order=True)
class Neuron:
    """One neuron of an MLP, after the activation function."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"n{self.layer}.{self.index}"


PARTS = ("q", "k", "v", "pattern")


@dataclass(frozen=True, order=True)
class HeadPart:
    """A part of one head: its query, key or value as its projection gives it, before any norm or
    rotation, or its attention pattern after the softmax. Query heads that share a key-value head
    share its key and value."""

    layer: int
    head: int
    part: str

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}.{self.part}"


@dataclass(frozen=True, order=True)
class Stream:
    """The residual stream entering a layer (of the number of layers: leaving the last), or between
    its attention and its MLP."""

    layer: int
    mid: bool = False

    def __str__(self) -> str:
        return f"r{self.layer}.mid" if self.mid else f"r{self.layer}"


@dataclass(frozen=True, order=True)
class Feature:
    """One feature of a sparse autoencoder: of the one that the experiment has of that layer. What
    the autoencoder does not say of the activation stays as it is."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"f{self.layer}.{self.index}"


Site = Head | Heads | MLP | Neuron | HeadPart | Stream | Feature
AsSites = Site | str | Iterable[Site | str | tuple[int, int]]
"""What `parse_sites` reads."""


@dataclass(frozen=True)
class Shape:
    """How big a model is: what decides which sites, prompts and ids it has.

    `d_mlp` is None where single neurons cannot be reached (mixtures of experts).
    `n_ctx` is None where the architecture sets no limit. `without_heads` and `without_mlp`: the
    layers of a hybrid that have none that can be switched.
    """

    n_layers: int
    n_heads: int
    n_key_value_heads: int
    d_model: int
    d_head: int
    d_mlp: int | None
    d_vocab: int
    n_ctx: int | None
    without_heads: tuple[int, ...] = ()
    without_mlp: tuple[int, ...] = ()

    @property
    def heads(self) -> tuple[Head, ...]:
        """Every head there is, in order."""
        layers = [i for i in range(self.n_layers) if i not in self.without_heads]
        return tuple(Head(i, h) for i in layers for h in range(self.n_heads))

    @property
    def mlps(self) -> tuple[MLP, ...]:
        """Every MLP there is, in order."""
        return tuple(MLP(i) for i in range(self.n_layers) if i not in self.without_mlp)


_RANGE = r"(\d{1,5})(?:-(\d{1,5}))?"
_GRAMMAR = (
    (Head, re.compile(rf"{_RANGE}\.(?:{_RANGE}|(\*))")),
    (Head, re.compile(rf"l{_RANGE}h(?:{_RANGE}|(\*))")),
    (MLP, re.compile(rf"(?:mlp|m){_RANGE}")),
    (Heads, re.compile(rf"a{_RANGE}")),
    (HeadPart, re.compile(rf"{_RANGE}\.{_RANGE}\.({'|'.join(PARTS)})")),
    (HeadPart, re.compile(rf"l{_RANGE}h{_RANGE}\.({'|'.join(PARTS)})")),
    (Stream, re.compile(rf"r{_RANGE}(\.mid)?")),
    (Neuron, re.compile(r"n(\d{1,5})(?:-(\d{1,5}))?\.(\d{1,6})(?:-(\d{1,6}))?")),
    (Feature, re.compile(r"f(\d{1,5})(?:-(\d{1,5}))?\.(\d{1,7})(?:-(\d{1,7}))?")),
)


def parse_sites(given: Any) -> tuple[Site, ...]:
    """Read sites from text such as `"9.1 m9 a3 0-3.5 L9H1"`, or from a list of such words, of
    sites, or of (layer, head).

    Returns: the sites in the order written, each once.
    Raises: SiteError for what is no site, naming it.
    """
    sites: dict[Site, None] = {}
    named = 0
    for one in _each_site(given):
        for result in [(one,)] if isinstance(one, Site) else map(_expand, one.split()):
            named += len(result)
            if named > MOST_SITES:
                raise SiteError(f"More than {MOST_SITES} sites are named; name whole layers (a9).")
            sites.update(dict.fromkeys(result))
    return tuple(sites)


def _each_site(given: Any) -> Iterator[Site | str]:
    """Sites, and words that are read as some."""
    if isinstance(given, str):
        yield re.sub(r"[,;]", " ", given)
    elif isinstance(given, Site):
        yield given
    elif isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise SiteError(f"{given!r:.60} names no sites: write them as in “9.1 m9”.")
    else:
        for one in given:
            pair = isinstance(one, tuple | list) and len(one) == 2
            if pair and all(isinstance(i, int) and not isinstance(i, bool) for i in one):
                yield f"{one[0]}.{one[1]}"
            else:
                yield from _each_site(one)


def print_sites(sites: Iterable[Site]) -> str:
    """Write sites so that `parse_sites` reads the same ones back, e.g. `"9.1 m9"`; features that
    count on as a range, `"f9.0-11"`."""
    words: list[str] = []
    run: list[Site] = []
    for site in sites:
        last = run[-1] if run else None
        if isinstance(last, Feature) and site == Feature(last.layer, last.index + 1):
            run.append(site)
            words[-1] = f"{run[0]}-{last.index + 1}"
        else:
            run = [site]
            words.append(str(site))
    return " ".join(words)


def resolve_sites(sites: Iterable[Site], shape: Shape) -> tuple[Site, ...]:
    """Check sites against a model and spell out `Heads`.

    Returns: heads, MLPs, neurons and the rest in order, each once.
    Raises: SiteError naming the first site the model does not have, and what it has.
    """
    result: dict[Site, None] = {}
    with_heads = [i for i in range(shape.n_layers) if i not in shape.without_heads]
    for site in sites:
        past = site == Stream(shape.n_layers) or isinstance(site, Feature)
        if not site.layer < shape.n_layers + past:
            raise SiteError(
                f"{site} is in layer {site.layer}; this model's layers are 0 to "
                f"{shape.n_layers - 1}. Layers count from 0."
            )
        if isinstance(site, Head | Heads | HeadPart) and site.layer in shape.without_heads:
            raise SiteError(
                f"Layer {site.layer} has no heads in this model: it mixes tokens in another way. "
                f"Layers with heads are {', '.join(str(i) for i in with_heads)}."
            )
        if isinstance(site, MLP) and site.layer in shape.without_mlp:
            raise SiteError(f"Layer {site.layer} has no MLP in this model that can be switched.")
        match site:
            case Heads(layer):
                result.update(dict.fromkeys(Head(layer, h) for h in range(shape.n_heads)))
                continue
            case Head(_, head) | HeadPart(_, head) if head >= shape.n_heads:
                raise SiteError(
                    f"There is no head {site}; each layer of this model has heads 0 to "
                    f"{shape.n_heads - 1}. Heads count from 0."
                )
            case Neuron() if shape.d_mlp is None:
                raise SiteError(
                    f"{site} names a neuron, but this model's MLPs are mixtures of experts whose "
                    "neurons cannot be reached one by one. Switch the whole MLP instead."
                )
            case Neuron(_, index) if shape.d_mlp is not None and index >= shape.d_mlp:
                raise SiteError(
                    f"There is no neuron {site}; each MLP of this model has neurons 0 to "
                    f"{shape.d_mlp - 1}."
                )
        result[site] = None
    return tuple(result)


def _expand(word: str) -> list[Site]:
    for kind, pattern in _GRAMMAR:
        match = pattern.fullmatch(word.lower())
        if match is None:
            continue
        parts = match.groups()
        layers = _span(word, parts[0], parts[1])
        if kind is MLP:
            return [MLP(layer) for layer in layers]
        if kind is Heads or (kind is Head and parts[4]):
            return [Heads(layer) for layer in layers]
        if kind is Stream:
            return [Stream(layer, bool(parts[2])) for layer in layers]
        inner = _span(word, parts[2], parts[3])
        if len(layers) * len(inner) > MOST_SITES:
            raise SiteError(f"“{word}” names more than {MOST_SITES} sites; name whole layers (a9).")
        if kind is HeadPart:
            return [HeadPart(layer, i, parts[4]) for layer in layers for i in inner]
        return [kind(layer, i) for layer in layers for i in inner]  # type: ignore[call-arg, arg-type]
    raise SiteError(
        f"“{word[:40]}” is not a site. Write heads as 9.1 or L9H1, MLPs as m9, neurons as n9.123, "
        "every head of a layer as a9, a head's parts as 9.1.q (k, v, pattern), the residual stream "
        "as r9 or r9.mid, an SAE's features as f9.123, ranges as 0-3.5."
    )


def _span(word: str, first: str, last: str | None) -> range:
    start, stop = int(first), int(last if last is not None else first)
    if stop < start:
        raise SiteError(f"The range in “{word}” runs backwards; write {stop}-{start}.")
    return range(start, stop + 1)
