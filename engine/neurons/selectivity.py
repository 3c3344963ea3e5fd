"""How selective neurons are between sets of prompts, from how often or how strongly they are on.

By entropy (LAPE: Tang et al. 2024, "Language-Specific Neurons"): with pₛ the share of a set's
tokens at which a neuron is above 0,

    qₛ = pₛ / Σ p        entropy = −Σ q ln q        0: only in one set; ln of their number: in all

the lowest among neurons that are active enough: whose greatest pₛ is at least the 95% quantile of
all pₛ of all neurons. Each belongs to the set where it is most often on. By average precision
(Kojima et al. 2024, "On the multilingual ability of decoder-based pre-trained language models"):
prompts in the order of the neuron's mean activation, those of one set to be told from the others',

    AP = the mean, over the set's prompts, of the share of its own among all that are as strong

0 to 1: 1 if all its own come first. What neither shows: that the model uses the neuron for that,
or that it is the language, and not what it says or how long its words are, that sets differ in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

ACTIVE_QUANTILE = 0.95


def entropies(
    probabilities: Float[np.ndarray, "set ..."],
) -> Float[np.ndarray, "..."]:
    """The entropy over sets, in nats; that of a neuron that is never on is as of one always on."""
    total = probabilities.sum(0)
    share = np.where(total > 0, probabilities / np.where(total > 0, total, 1.0), 0.0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.where(total > 0, -(share * logs).sum(0), np.log(len(probabilities)))


def average_precisions(
    means: Float[np.ndarray, "prompt ..."], own: Bool[np.ndarray, " prompt"]
) -> Float[np.ndarray, "..."]:
    """The average precision with which a neuron's mean activation tells a set's prompts from the
    others; equal ones count as found together."""
    result = np.zeros(means.shape[1:])
    for threshold in means[own]:
        result += (means[own] >= threshold).sum(0) / (means >= threshold).sum(0)
    return result / own.sum()


def by_entropy(probabilities: Float[np.ndarray, "set ..."], n: int) -> list[np.ndarray]:
    """The n neurons, by flat index, with the lowest entropies of those that are active enough, each
    set's own, the most selective first."""
    flat = probabilities.reshape(len(probabilities), -1)
    entropy, most = entropies(flat), flat.max(0)
    enough = (most >= np.quantile(flat, ACTIVE_QUANTILE)) & (most > 0)
    order = np.lexsort((-most, np.where(enough, entropy, np.inf)))[:n]
    order = order[enough[order]]
    return [order[flat[:, order].argmax(0) == s] for s in range(len(flat))]


def by_precision(precisions: Float[np.ndarray, "set ..."], n: int) -> list[np.ndarray]:
    """The n / sets neurons, by flat index, with the greatest average precision for each set; none
    is of two."""
    flat = precisions.reshape(len(precisions), -1)
    best, each = flat.argmax(0), max(1, n // len(flat))
    result = []
    for s, values in enumerate(flat):
        order = np.argsort(-np.where(best == s, values, -1.0), kind="stable")[:each]
        result.append(order[best[order] == s])
    return result


def drawn_like(
    found: Sequence[int],
    not_these: Sequence[int],
    width: int,
    n_layers: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """As many random neurons, by flat index, of the same layers; none of `not_these`, unless a
    layer has too few others."""
    result = []
    for layer in range(n_layers):
        n = sum(i // width == layer for i in found)
        if n:
            here = {i for i in not_these if i // width == layer}
            free = [i for i in range(layer * width, (layer + 1) * width) if i not in here]
            result.append(rng.choice(free, size=min(n, len(free)), replace=False))
    return np.concatenate(result) if result else np.zeros(0, dtype=np.int64)
