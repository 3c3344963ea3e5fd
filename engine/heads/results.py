"""Results about where heads look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int8

from ..errors import EngineError
from ..experiment.results import Tokens
from ..experiment.sites import Head, parse_sites
from .figures import pattern_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class HeadScores:
    """What heads attend to, one number a head; `head_scores.SCORES` defines each.

    All of shape [*head]. Attention from 0 to 1; `entropy` in nats. NaN where the prompt has no
    token to ask (a single token, or none that occurred before), and for layers without heads.
    """

    previous_token: Float[np.ndarray, "*head"]
    first_token: Float[np.ndarray, "*head"]
    same_token: Float[np.ndarray, "*head"]
    duplicate_token: Float[np.ndarray, "*head"]
    induction: Float[np.ndarray, "*head"]
    entropy: Float[np.ndarray, "*head"]


@dataclass(frozen=True)
class AttentionRun:
    """Attention of one run.

    `pattern`: float32 [*head query_pos key_pos], after the softmax, 0 to 1. Rows sum to 1, but
    where a sink takes a share or a pattern was changed, which the notes of the whole say.
    `value_norm`: [*head key_pos], the length of the value vector at each key; query heads that
    share a value head share it. `scores`: of each pattern, [*head]. All NaN for layers without
    heads. `without_values`: layers that have patterns and no values of their own to be seen, as in
    latent attention; their `value_norm` is NaN.
    """

    pattern: Float[np.ndarray, "*head pos pos"]
    value_norm: Float[np.ndarray, "*head pos"]
    scores: HeadScores
    without_values: tuple[int, ...] = ()

    @property
    def value_weighted(self) -> np.ndarray:
        """Attention times the norm of the value vector attended to: from 0, same axes as
        `pattern`. Not the direction written, nor what the output projection makes of it.

        Raises: EngineError naming a layer whose values cannot be seen.
        """
        check_values(self.without_values)
        return self.pattern * self.value_norm[..., None, :]


@dataclass(frozen=True)
class Attention:
    """Attention patterns of one experiment, clean and ablated.

    `heads`: those there are in the first axes, in order: every head with axes [layer head_index
    ...], where layers without heads are NaN, or the ones asked for, [head ...]. The two runs are
    equal where nothing is ablated. `notes`: sentences, such as why rows do not sum to 1.
    """

    tokens: Tokens
    heads: tuple[Head, ...]
    clean: AttentionRun
    ablated: AttentionRun
    notes: tuple[str, ...] = ()

    def figure(self, head: str | Head, run: str = "clean") -> go.Figure:
        """One head's pattern: queries down, keys across, 0 to 1; `run` is "clean" or "ablated".

        Raises: EngineError for a head that was not asked for.
        """
        (site,) = parse_sites([head] if isinstance(head, Head) else head)
        if site not in self.heads or not isinstance(site, Head):
            raise EngineError(f"{site} is none of the heads whose patterns are here.")
        pattern = {"clean": self.clean, "ablated": self.ablated}[run].pattern
        at = (site.layer, site.head) if pattern.ndim == 4 else (self.heads.index(site),)
        return pattern_figure(pattern[at], self.tokens)


@dataclass(frozen=True)
class Thumbnails:
    """Every head's pattern made small.

    `shade`: [layer head_index row col], −127 to 127, where 127 stands for `most`; of each block of
    a larger pattern it is the value furthest from 0. Rows are queries, columns keys. 0 throughout
    for layers without heads.
    """

    shade: Int8[np.ndarray, "layer head_index row row"]
    most: float


@dataclass(frozen=True)
class AttentionOverview:
    """Every head's thumbnail and scores, clean, ablated and their difference.

    `difference` is ablated − clean: positive where the ablated run attends more. Clean and ablated
    are on one scale: up to 1, or to the largest value of both where values weigh the patterns.
    Scores are [layer head_index], and always of the patterns without weights. `heads`: those that
    have a pattern; the others' thumbnails are blank. `notes`: sentences.
    """

    tokens: Tokens
    clean: Thumbnails
    ablated: Thumbnails
    difference: Thumbnails
    clean_scores: HeadScores
    ablated_scores: HeadScores
    heads: tuple[Head, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """What the thumbnails take, which is nearly all there is."""
        return sum(t.shade.nbytes for t in (self.clean, self.ablated, self.difference))


def check_values(layers: tuple[int, ...]) -> None:
    """Refuse to weigh attention by values that cannot be seen. Raises: EngineError."""
    if layers:
        raise EngineError(
            f"Layer {layers[0]} has no values of its own that can be seen (it makes them from "
            "something shared, as latent attention does), so its attention cannot be weighted by "
            "their length. Its patterns can be shown as they are."
        )
