"""What a sweep runs: the heads and MLPs of each prompt that are ablated, wave by wave."""

from __future__ import annotations

from collections.abc import Sequence

from ..experiment.sites import Site
from ..model.model import Model
from ..passes.hooks import ablated_sites
from ..scoring.prompts import Prompt
from ..scoring.waves import Scored, Wave, site_rows, waves


def swept(
    model: Model, prompts: Sequence[Prompt], group: Sequence[int], per_position: bool
) -> list[Wave]:
    """The rows of a group; idle sites are no rows."""
    s = model.shape
    idle = set(idle_sites(model, prompts[group[0]]))

    def rows_of(layer: int) -> list[Scored]:
        sites: list[Site] = [head for head in s.heads if head.layer == layer]
        sites += [mlp for mlp in s.mlps if mlp.layer == layer]
        return site_rows(prompts, group, [x for x in sites if x not in idle], per_position)

    return waves(model, prompts, group, rows_of)


def idle_sites(model: Model, prompt: Prompt) -> list[Site]:
    """The heads and MLPs that change nothing more: given already, or all if none acts anywhere."""
    s = model.shape
    every: list[Site] = [*s.heads, *s.mlps]
    given = set(ablated_sites(prompt.e.ablations, s)) if prompt.positions else set(every)
    return [site for site in every if site in given]
