"""An ablation made concrete: which activation is changed, at which tokens, to what.

The definitions are those of `experiment.Kind`. Heads are changed at `z`, before the output
projection, per query head; MLPs at `mlp_out`, after the post-norm where there is one; neurons at
`post`, after the activation function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .experiment import Ablations, Kind
from .sites import MLP, Head, Neuron, Shape, Site, resolve_sites


@dataclass(frozen=True, eq=False)
class Edit:
    """One change to one activation of one row.

    `point` is "z", "mlp_out" or "post"; `index` the heads or neurons changed, None where the
    whole vector is. `positions` are token indices. The activation there becomes `value`
    (broadcast to [positions, index, ...]), or is multiplied by it where `scales`.
    """

    point: str
    layer: int
    index: tuple[int, ...] | None
    positions: tuple[int, ...]
    value: Tensor | float
    scales: bool = False


def ablated_sites(ablations: Ablations, shape: Shape) -> tuple[Site, ...]:
    """The heads, MLPs and neurons that are changed, the verb taken into account.

    Raises: SiteError for a site the model does not have.
    """
    named = resolve_sites(ablations.sites, shape)
    if ablations.verb == "ablate":
        return named
    every: list[Site] = [Head(i, h) for i in range(shape.n_layers) for h in range(shape.n_heads)]
    if ablations.mlps:
        every += [MLP(i) for i in range(shape.n_layers)]
    kept = set(named)
    return tuple(site for site in every if site not in kept)


def grouped(sites: Sequence[Site]) -> dict[tuple[str, int], tuple[int, ...] | None]:
    """Sites by hook point and layer, with the heads or neurons there (None for an MLP)."""
    groups: dict[tuple[str, int], list[int] | None] = {}
    for site in sites:
        match site:
            case Head(layer, head):
                found = groups.setdefault(("z", layer), [])
                assert found is not None
                found.append(head)
            case Neuron(layer, index):
                found = groups.setdefault(("post", layer), [])
                assert found is not None
                found.append(index)
            case MLP(layer):
                groups[("mlp_out", layer)] = None
    return {at: None if found is None else tuple(sorted(found)) for at, found in groups.items()}


def edit(
    at: tuple[str, int],
    index: tuple[int, ...] | None,
    kind: Kind,
    number: float | None,
    positions: tuple[int, ...],
    reference: Tensor | None,
) -> Edit:
    """The change of one group of sites.

    `reference`: for `mean` the average activation without its position axis, for
    `mean_by_position` and `resample` with it, [pos ...]; None for the other methods.
    """
    point, layer = at
    match kind:
        case Kind.ZERO:
            return Edit(point, layer, index, positions, 0.0)
        case Kind.SET:
            return Edit(point, layer, index, positions, float(number or 0.0))
        case Kind.SCALE:
            return Edit(point, layer, index, positions, float(number or 0.0), scales=True)
    assert reference is not None
    if kind is not Kind.MEAN:
        reference = reference[list(positions)]
    if index is not None:
        reference = reference.index_select(
            0 if kind is Kind.MEAN else 1, torch.tensor(index, device=reference.device)
        )
    return Edit(point, layer, index, positions, reference)


def apply(edits: Sequence[tuple[int, Edit]], activation: Tensor) -> Tensor:
    """Make the changes of each row in a copy of an activation [batch pos ...]."""
    changed = activation.clone()
    for row, one in edits:
        here = changed[row]
        where = torch.tensor(one.positions, device=here.device)
        value = one.value if isinstance(one.value, float) else one.value.to(here.dtype)
        if one.index is None:
            here[where] = here[where] * value if one.scales else value
            continue
        index = torch.tensor(one.index, device=here.device)
        cells = (where.unsqueeze(1), index)
        here[cells] = here[cells] * value if one.scales else value
    return changed
