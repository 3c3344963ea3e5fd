"""Sites as shortly as their grammar can write them."""

from __future__ import annotations

from collections.abc import Iterable

from .sites import MLP, Feature, Head, HeadPart, Heads, Neuron, Shape, Site, Stream, resolve_sites


def fold_sites(sites: Iterable[Site], shape: Shape) -> tuple[Site, ...]:
    """Write sites as shortly as the grammar can: a layer whose heads are all there becomes `a9`.

    Returns: heads by layer, MLPs, neurons, parts of heads, streams, features, each in order.
    `resolve_sites` undoes it.
    """
    resolved = resolve_sites(sites, shape)
    heads: dict[int, list[Head]] = {}
    for site in resolved:
        if isinstance(site, Head):
            heads.setdefault(site.layer, []).append(site)
    folded: list[Site] = []
    for layer, result in sorted(heads.items()):
        folded += [Heads(layer)] if len(result) == shape.n_heads else sorted(result)
    for kind in (MLP, Neuron, HeadPart, Stream, Feature):
        folded += sorted(site for site in resolved if isinstance(site, kind))
    return tuple(folded)
