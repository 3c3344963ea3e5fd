"""Several circuits in one text, and the circuit that an experiment's switches leave."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..errors import EngineError, LinkError, SiteError
from ..experiment.ablations import Ablations
from ..experiment.method import Method, parse_ablation
from ..experiment.sites import MLP, Head, Shape, resolve_sites
from ..showing.site_grid import cells
from .circuit import MOST_CIRCUIT_TEXT, Circuit


def write_circuits(circuits: Iterable[Circuit]) -> str:
    """A circuit a line, as JSON without spaces; what `read_circuits` reads back equal."""
    return "\n".join(
        json.dumps(c.to_dict(), ensure_ascii=False, separators=(",", ":")) for c in circuits
    )


def read_circuits(text: str) -> tuple[Circuit, ...]:
    """Read circuits: one JSON object over as many lines as it likes, or one a line.

    Raises: EngineError naming the line that cannot be read.
    """
    if len(text) > MOST_CIRCUIT_TEXT:
        raise LinkError(
            f"The circuits have {len(text):,} characters; at most {MOST_CIRCUIT_TEXT:,}."
        )
    lines = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if lines and lines[0][1].strip() == "{":
        return (Circuit.from_json(text),)
    result = []
    for i, line in lines:
        try:
            result.append(Circuit.from_json(line))
        except EngineError as wrong:
            sentence = str(wrong) if len(lines) == 1 else f"Line {i}: {wrong}"
            raise type(wrong)(sentence) from wrong
    return tuple(result)


def circuit_left(
    ablations: Ablations,
    shape: Shape,
    name: str,
    model: str,
    task: str = "",
    method: str | Method = "mean_by_position",
) -> Circuit:
    """The circuit that stays on while something is ablated.

    Of "keep" it is what is named, and all MLPs unless those not named are ablated too; of "ablate"
    it is every other head and MLP. Raises: SiteError for a site that the model does not have, or
    for neurons.
    """
    named = resolve_sites(ablations.sites, shape)
    other = next((site for site in named if not isinstance(site, Head | MLP)), None)
    if other is not None:
        raise SiteError(f"A circuit is made of heads (9.1) and MLPs (m9), not of {other}.")
    every_mlp = ablations.verb == "keep" and not ablations.mlps
    if ablations.verb == "keep":
        left = [site for site in named if not (every_mlp and isinstance(site, MLP))]
    else:
        left = [s for s in cells(shape) if s not in named]
    return Circuit(
        name,
        model,
        task,
        tuple(left),
        shape.n_layers,
        shape.n_heads,
        without_heads=shape.without_heads,
        without_mlp=shape.without_mlp,
        all_mlps=every_mlp,
        method=parse_ablation(method),
    )
