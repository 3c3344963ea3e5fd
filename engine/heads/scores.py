"""What a head attends to, as one number a pattern: attention resting on the keys of one kind.

Each score but entropy is the attention [0, 1] that queries give to the keys in question, summed
over those keys and averaged over the queries that have any; query 0 is left out everywhere, as it
can only attend to itself. BOS is a token like any other. Where a prompt has no such query the score
is NaN, never 0.

What they do not show: what is moved by the attention, or whether anything later reads it. A head
that rests on the first token when it finds nothing (an attention sink) can still be an induction
head on another prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from ..errors import EngineError
from ..experiment.sites import Head
from .results import HeadScores

SCORES = {
    "previous_token": "attention to the token just before (Elhage et al. 2021); on the second "
    "token that is the first one too",
    "first_token": "attention to the first token, BOS where there is one: where a head rests that "
    "has nothing to do (attention sinks, Xiao et al. 2023)",
    "same_token": "attention of a token to itself, the pattern's diagonal",
    "duplicate_token": "attention to earlier occurrences of the same token, over the tokens that "
    "have one (Wang et al. 2022)",
    "induction": "attention to the tokens that came right after earlier occurrences of the same "
    "token, over the tokens that have one (Olsson et al. 2022)",
    "entropy": "−Σ p ln p of a token's attention in nats, averaged over tokens: 0 looks at one "
    "token, ln n at n alike (Clark et al. 2019)",
}
"""Each score's definition, by its name in HeadScores."""

ROLES = tuple(name for name in SCORES if name != "entropy")
ROLE_SHARE = 0.5
"""Of a head's attention: what rests on keys of one kind for it to be called by their name."""


def head_scores(pattern: Float[np.ndarray, "*head pos pos"], ids: Sequence[int]) -> HeadScores:
    """Score attention patterns [*head query_pos key_pos] of a prompt with these ids.

    Returns: HeadScores of shape [*head]: attention from 0 to 1, entropy in nats; NaN where the
    prompt has no token to ask.
    """
    n, token = len(ids), np.asarray(ids)
    earlier = np.tri(n, k=-1, dtype=bool)
    same = token[:, None] == token[None, :]
    follows = np.zeros((n, n), bool)
    follows[:, 1:] = same[:, :-1]  # [query key]: the key's predecessor is the query's token
    later_query = (np.arange(n) > 0)[:, None]
    return HeadScores(
        previous_token=_resting(pattern, np.eye(n, k=-1, dtype=bool)),
        first_token=_resting(pattern, later_query & (np.arange(n) == 0)),
        same_token=_resting(pattern, later_query & np.eye(n, dtype=bool)),
        duplicate_token=_resting(pattern, same & earlier),
        induction=_resting(pattern, follows & earlier),
        entropy=_entropy(pattern),
    )


def head_roles(scores: HeadScores) -> dict[str, tuple[Head, ...]]:
    """What heads do on one prompt, by their scores [layer head_index]: for each name of ROLES those
    that rest at least half of their attention so, the most first.

    A head can be in several, as where the token before is the first one too. None where the prompt
    has no token to ask. On another prompt the same head may do something else.
    Raises: EngineError for scores that are not of every head.
    """
    if scores.entropy.ndim != 2:
        raise EngineError(
            "Roles are told of the scores of every head, [layer head_index]: those of "
            "attention_overview(e), or of attention(e) without a list of heads."
        )
    result = {}
    for name in ROLES:
        values = np.nan_to_num(getattr(scores, name))
        order = np.argsort(-values, axis=None, kind="stable")
        heads = (Head(*map(int, np.unravel_index(i, values.shape))) for i in order)
        result[name] = tuple(h for h in heads if values[h.layer, h.head] >= ROLE_SHARE)
    return result


def _resting(
    pattern: Float[np.ndarray, "*head pos pos"], keys: Bool[np.ndarray, "pos pos"]
) -> Float[np.ndarray, "*head"]:
    """Attention to the keys of each query, averaged over the queries that have any."""
    queries = int(keys.any(axis=1).sum())
    if queries == 0:
        return np.full(pattern.shape[:-2], np.nan)
    return np.asarray(pattern[..., keys].sum(-1, dtype=np.float64) / queries)


def _entropy(pattern: Float[np.ndarray, "*head pos pos"]) -> Float[np.ndarray, "*head"]:
    n = pattern.shape[-1]
    if n < 2:
        return np.full(pattern.shape[:-2], np.nan)
    later = pattern[..., 1:, :]
    logs = np.log(np.maximum(later, np.finfo(np.float32).tiny))
    return np.asarray(-np.einsum("...qk,...qk->...", later, logs, dtype=np.float64) / (n - 1))
