"""What one neuron says and listens to, read off the weights in tokens.

It promotes tokens along its row of W_out (Geva et al. 2021 and 2022, values of feed-forward layers
read in the vocabulary):

    logits = W_U · γ ⊙ (w_out − mean)        γ: the gain of the final norm

per unit of activation, in a stream whose root mean square is 1, so that the final norm's scale is 1
(of an RMSNorm no mean is taken off); a norm behind the MLP is held likewise. A factor or a cap
behind the unembedding is left out. The mean over all
tokens, of which the softmax knows nothing, is taken off. It is moved by tokens along its column of
W_in, and of W_gate where there is one:

    w_in · norm(W_E[token]) + b_in           the layer's own norm, of that embedding alone

which is what the neuron would read, before its activation function, of a stream that holds nothing
but the token. What neither shows: what other parts of the model make of what it writes, and what
the stream holds by its layer, which is little of the token's embedding in the later ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import EngineError
from ..experiment.numbers import whole_number
from ..experiment.sites import Neuron
from ..model.model import Model
from ..model.weights import W_E, W_U, W_gate, W_in, W_out, b_gate, b_in
from ..model.worker import Steps
from ..registry import load
from .norms import before, behind, on_unit
from .places import check_neuron, one_neuron
from .token_results import NeuronTokens, TokenNumbers

_NUMBERS = 2**22
"""Of the rows that are read in a step: a norm goes through them several times."""
MOST_TOKENS = 1_000


def neuron_tokens(model: str, neuron: Any, k: int = 10, view: str | None = None) -> NeuronTokens:
    """The tokens that a neuron promotes and demotes, and those that move it up and down.

    `neuron`: a Neuron, or as text, “n5.12”. `k`: how many tokens of each.
    Returns: NeuronTokens: logits per unit of activation, and pre-activations.
    Raises: EngineError in words for a neuron there is not, or whose output weights cannot be read.
    """
    loaded, one = load(model), one_neuron(neuron)
    k = _checked(k)
    return loaded.worker.submit(_steps(loaded, one, k), view=view).result()


def promoted_tokens(
    model: str, neurons: Sequence[Any], k: int = 5, view: str | None = None
) -> dict[Neuron, tuple[str, ...]]:
    """The texts of the k tokens that each of some neurons promotes most, as `neuron_tokens` has
    them. Raises: as that does."""
    loaded, several = load(model), [one_neuron(one) for one in neurons]
    k = _checked(k)
    return loaded.worker.submit(_promoted(loaded, several, k), view=view).result()


def vector_tokens(model: Model, vector: Tensor, k: int = 10) -> Steps[TokenNumbers]:
    """The tokens that a vector [d_model] of the stream promotes and demotes, by the final norm and
    the unembedding alone, as a neuron's row of W_out is read."""
    toward = _behind_norms(model, vector, (model.structure.ln_final,))
    return _numbers(model, (yield from logits_of(model, toward)), _checked(k))


def logits_of(model: Model, behind: Tensor) -> Steps[np.ndarray]:
    """What the unembedding makes of a vector [d_model] that stands behind the final norm, less the
    mean over all tokens, [d_vocab]; its bias, and a factor or a cap behind it, left out."""
    logits = yield from _read(W_U(model).T, None, behind, model)
    result: np.ndarray = (logits - logits.mean())[: model.shape.d_vocab]
    return result


def _checked(k: Any) -> int:
    k = whole_number(k, "How many tokens there are of each kind")
    if not 1 <= k <= MOST_TOKENS:
        raise EngineError(f"1 to {MOST_TOKENS:,} tokens of each kind, not {k:,}.")
    return k


def _promoted(
    model: Model, neurons: Sequence[Neuron], k: int
) -> Steps[dict[Neuron, tuple[str, ...]]]:
    result: dict[Neuron, tuple[str, ...]] = {}
    for neuron in neurons:
        check_neuron(model, neuron)
        logits = yield from _read(W_U(model).T, None, _toward(model, neuron), model)
        ids = np.argsort(-logits, kind="stable")[:k].tolist()
        result[neuron] = tuple(model.tokenizer.texts((one,))[0] for one in ids)
    return result


def _steps(model: Model, neuron: Neuron, k: int) -> Steps[NeuronTokens]:
    check_neuron(model, neuron)
    layer, notes = neuron.layer, []
    if behind(model, layer) is not None:
        notes.append("The norm behind the MLP is held at the scale it has on a vector of size 1.")
    logits = yield from _read(W_U(model).T, None, _toward(model, neuron), model)
    says = _numbers(model, logits - logits.mean(), k)
    yield 0.3
    reads: dict[str, TokenNumbers] = {}
    try:
        norm, embed = before(model, layer), W_E(model)
        yield 0.4
        weights = {"in": (W_in(model, layer), b_in(model, layer))}
        if "mlp.gate" in model.layer(layer).parts:
            weights["gate"] = W_gate(model, layer), b_gate(model, layer)
        for name, (weight, bias) in weights.items():
            given = yield from _read(embed, norm, weight[:, neuron.index], model)
            reads[name] = _numbers(model, given + float(bias[neuron.index]), k)
    except EngineError as wrong:
        reads = {}
        notes.append(f"What moves it is not shown. {wrong}")
    return NeuronTokens(neuron, model.shape.d_vocab, says, reads, tuple(notes))


def _toward(model: Model, neuron: Neuron) -> Tensor:
    """What a unit of a neuron's activation is behind the final norm, [d_model], float64."""
    layer = neuron.layer
    own = W_out(model, layer)[neuron.index] * model.place("mlp_out", layer).scale
    return _behind_norms(model, own, (behind(model, layer), model.structure.ln_final))


def _behind_norms(model: Model, vector: Tensor, norms: Sequence[nn.Module | None]) -> Tensor:
    """A vector behind norms that are held at the scale they have on one of size 1, float64."""
    own = vector.float().cpu().double()
    for module in norms:
        norm = on_unit(model, module)
        own = own if norm is None else norm(own) - norm.bias
    return own


def _read(rows: Tensor, norm: Any, column: Tensor, model: Model) -> Steps[np.ndarray]:
    """Rows [n d_model], each through a norm, · column."""
    at_once, parts = max(1, _NUMBERS // rows.shape[1]), []
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        some = some if norm is None else norm(some.to(model.dtype))
        parts.append((some.float() @ column.to(some.device, torch.float32)).double().cpu())
        yield start / len(rows)
    numbers: np.ndarray = torch.cat(parts).numpy()
    return numbers


def _numbers(model: Model, values: np.ndarray, k: int) -> TokenNumbers:
    """The greatest and the least of them, with their tokens."""
    values = values[: model.shape.d_vocab]
    order = np.argsort(-values, kind="stable")
    k = min(k, len(values))
    ends = [tuple(order[:k].tolist()), tuple(order[::-1][:k].tolist())]
    texts = [tuple(model.tokenizer.texts((one,))[0] for one in ids) for ids in ends]
    most, least = (values[list(ids)] for ids in ends)
    return TokenNumbers(ends[0], texts[0], most, ends[1], texts[1], least, float(values.std()))
