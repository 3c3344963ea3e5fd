"""An ablation made concrete: which activation is changed, at which tokens, to what.

The definitions are those of `experiment.Kind`. Heads are changed at `z`, before the output
projection, per query head; MLPs at `mlp_out`, after the post-norm where there is one; neurons at
`post`, after the activation function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import SiteError
from ..experiment.ablations import Ablations
from ..experiment.method import Kind, Method
from ..experiment.sites import (
    MLP,
    Feature,
    Head,
    HeadPart,
    Neuron,
    Shape,
    Site,
    Stream,
    resolve_sites,
)


@dataclass(frozen=True, eq=False)
class Edit:
    """One change to one activation of one row.

    `point` is its TransformerLens name; `index` the heads or neurons changed, None where the
    whole vector is. `positions` are token indices (of a pattern, the queries'). The activation
    there becomes `value` (broadcast to [positions, index, ...]), or is multiplied by it where
    `scales`, or has it added where `adds`, or its component along it, a unit vector or 0, taken
    off where `projects`; or it becomes what `moves` makes of it, and of what passed in the same row
    and positions at the place that it `reads`. `keys`: how many keys of a pattern it is about, None
    for all.
    """

    point: str
    layer: int
    index: tuple[int, ...] | None
    positions: tuple[int, ...]
    value: Tensor | float
    scales: bool = False
    adds: bool = False
    projects: bool = False
    keys: int | None = None
    moves: Callable[..., Tensor] | None = None
    reads: tuple[str, int] | None = None


def ablated_sites(ablations: Ablations, shape: Shape) -> tuple[Site, ...]:
    """The heads, MLPs and neurons that are changed, the verb taken into account.

    Raises: SiteError for a site the model does not have.
    """
    named = resolve_sites(ablations.sites, shape)
    if ablations.verb == "ablate":
        return named
    every: list[Site] = [*shape.heads, *(shape.mlps if ablations.mlps else ())]
    kept = set(named)
    return tuple(site for site in every if site not in kept)


def place_of(site: Site, shape: Shape) -> tuple[tuple[str, int], int | None]:
    """Where a site is changed: the activation and its layer, and which head or neuron of it (a
    key-value head, of keys and values); None for the whole vector. Raises: SiteError for a
    feature, whose place is its SAE's."""
    match site:
        case Head(layer, head):
            return ("z", layer), head
        case HeadPart(layer, head, "k" | "v" as part):
            return (part, layer), head // (shape.n_heads // shape.n_key_value_heads)
        case HeadPart(layer, head, part):
            return (part, layer), head
        case Neuron(layer, index):
            return ("post", layer), index
        case MLP(layer):
            return ("mlp_out", layer), None
        case Stream(layer, mid):
            last = layer == shape.n_layers
            point = "resid_post" if last else "resid_mid" if mid else "resid_pre"
            return (point, layer - last), None
        case Feature():
            raise SiteError(
                f"{site} is a feature of an SAE: features are changed in an experiment, and are no "
                "places of the model's own."
            )
    raise TypeError(f"{site} is many sites: resolve it first")


def grouped(sites: Sequence[Site], shape: Shape) -> dict[tuple[str, int], tuple[int, ...] | None]:
    """Sites by the place where they are changed, with the heads or neurons there; None where the
    whole vector is."""
    groups: dict[tuple[str, int], set[int] | None] = {}
    for site in sites:
        at, index = place_of(site, shape)
        if index is None:
            groups[at] = None
        elif (result := groups.setdefault(at, set())) is not None:
            result.add(index)
    return {at: None if result is None else tuple(sorted(result)) for at, result in groups.items()}


def edit(
    at: tuple[str, int],
    index: tuple[int, ...] | None,
    method: Method,
    positions: tuple[int, ...],
    reference: Tensor | None,
) -> Edit:
    """What a method does to one group of sites.

    `reference`: for `mean` the average activation without its position axis, for
    `mean_by_position` and `resample` with it, [pos ...], for `add` and `project` the direction;
    None for the other methods. Of a pattern it is [query_pos head_index key_pos], and `keys` are
    as many as it has.
    """
    point, layer = at
    match method.kind:
        case Kind.ZERO:
            return Edit(point, layer, index, positions, 0.0)
        case Kind.SET:
            return Edit(point, layer, index, positions, float(method.number or 0.0))
        case Kind.SCALE:
            return Edit(point, layer, index, positions, float(method.number or 0.0), scales=True)
    assert reference is not None
    match method.kind:
        case Kind.ADD:
            added = float(method.number or 0.0) * reference
            return Edit(point, layer, index, positions, added, adds=True)
        case Kind.PROJECT:
            return Edit(point, layer, index, positions, unit(reference), projects=True)
    by_position = method.kind.by_position
    if by_position:
        reference = reference[list(positions)]
    if index is not None:
        reference = reference.index_select(
            1 if by_position else 0, torch.tensor(index, device=reference.device)
        )
    keys = reference.shape[-1] if point == "pattern" else None
    return Edit(point, layer, index, positions, reference, keys=keys)


def unit(vector: Tensor) -> Tensor:
    """A vector at length 1, float32; 0 where it is 0."""
    long = vector.double() if vector.device.type != "mps" else vector.float()
    length = (long / long.abs().max().clamp_min(1e-300)).norm() * long.abs().max()
    return (long / length if length > 0 else long).float()


def forced_pattern(one: Edit, n_prompt: int) -> Iterator[Edit]:
    """A pattern forced to a value, cut to the keys there are whatever follows: those of the prompt
    for its own tokens, and for a later token those up to itself."""
    within = tuple(p for p in one.positions if p < n_prompt)
    if within:
        yield replace(one, positions=within, keys=n_prompt)
    for p in one.positions[len(within) :]:
        yield replace(one, positions=(p,), keys=p + 1)


def apply(
    edits: Sequence[tuple[int, Edit]],
    activation: Tensor,
    passed: Mapping[tuple[str, int], Tensor] | None = None,
) -> Tensor:
    """Make the changes of each row in a copy of an activation [batch pos ...], in the order given.

    `passed`: what passed at the places that edits read, [batch pos ...]. Rows that share an edit
    are changed together, where it is as many places from their first.
    """
    changed = activation.clone()
    before: Counter[int] = Counter()
    sharing: dict[tuple[int, Edit], list[int]] = {}
    for row, one in edits:
        sharing.setdefault((before[row], one), []).append(row)
        before[row] += 1
    for (_, one), rows in sorted(sharing.items(), key=lambda item: item[0][0]):
        axes = [tuple(rows), one.positions, *([one.index] if one.index is not None else [])]
        cells = _cells(tuple(axes), changed.device)
        value = one.value if isinstance(one.value, float) else one.value.to(changed.dtype)
        part = changed if one.keys is None else changed[..., : one.keys]
        if one.scales:
            part[cells] = part[cells] * value
        elif one.adds:
            part[cells] = part[cells] + value
        elif one.moves is not None:
            read = () if one.reads is None else ((passed or {})[one.reads][cells],)
            part[cells] = one.moves(part[cells], *read).to(part.dtype)
        elif one.projects:
            old = part[cells].float()
            along = one.value.to(old) if isinstance(one.value, Tensor) else old.new_zeros(())
            part[cells] = (old - (old * along).sum(-1, keepdim=True) * along).to(part.dtype)
        else:
            part[cells] = value
    return changed


@lru_cache(maxsize=2048)
def _cells(axes: tuple[tuple[int, ...], ...], device: torch.device) -> tuple[Tensor, ...]:
    """Every combination of these indices, an axis each, ready to index with."""
    n = len(axes)
    return tuple(
        torch.tensor(axis, device=device).view([-1 if i == j else 1 for j in range(n)])
        for i, axis in enumerate(axes)
    )
