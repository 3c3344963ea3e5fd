"""Directions made: of runs of the clean model, its weights, an SAE, or a file.

What a head writes is read off the model's own modules: a text of one token, whose stream before the
head's layer is the vector looked at, with every other head silent, less the same with all silent.
So its norm, W_V, b_V, W_O and a norm behind are the family's own, that one at the scale of this
head alone; biases that belong to no head are out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import EngineError, ExperimentError
from ..experiment.direction import Direction
from ..experiment.makings import (
    FromFeature,
    FromFile,
    FromHead,
    FromPrompts,
    FromUnembedding,
)
from ..experiment.results import Tokens
from ..experiment.sites import Head, resolve_sites
from ..model.model import Model
from ..model.weights import W_U
from ..model.worker import Steps
from ..saved.vectors import kept_values
from . import forward
from .hooks import Edit, place_of, unit
from .overflow import overflow
from .pace import Pace
from .points import Capture
from .saes import check_feature, dictionary_of, read_dictionary

_TOKENS, _OPERATIONS = 512, 2e9
"""Tokens of the prompts run at a time, and floating-point operations, which a moment is enough for:
not as many as time allows, as a direction is to come out the same every time."""
_TEXTS = 32
"""Prompts tokenized at a time."""


@dataclass(frozen=True, eq=False)
class Made:
    """A direction on a model: `values` [d_model] float32, and the stream's norm at its site over
    the tokens of the prompts it is made of, see `stream_norm`; NaN where there are none."""

    values: Float[Tensor, " d_model"]
    stream_norm: float = math.nan

    @property
    def nbytes(self) -> int:
        """How many bytes it holds."""
        return int(self.values.nbytes)


def made(model: Model, direction: Direction, prepend_bos: bool | None = None) -> Steps[Made]:
    """The numbers of a direction, from the store, else made anew, a few prompts a step.

    Raises: EngineError in words for what cannot be made on this model.
    """
    making = direction.made
    key = ("direction", direction.site, making, prepend_bos)
    known: Made | None = None if isinstance(making, FromFile) else model.means.get(key)
    if known is not None:
        return known
    if isinstance(making, FromPrompts | FromFeature):  # many texts or numbers: read, then judged
        at = place_of_direction(model, direction)
    else:
        at = check_direction(model, direction, prepend_bos)
    match making:
        case FromPrompts():
            result = yield from _from_prompts(model, making, at, prepend_bos)
        case FromHead(head, text):
            token = token_of(model, text, prepend_bos)
            result = Made(_from_head(model, head, token, prepend_bos))
        case FromUnembedding(text, minus):
            values = W_U(model)[:, token_of(model, text, prepend_bos)].float()
            if minus:
                values = values - W_U(model)[:, token_of(model, minus, prepend_bos)].float()
            result = Made(values.clone())
        case FromFeature(sae, feature, length):
            dictionary = dictionary_of(model, sae)
            check_feature(sae, dictionary, feature.index)
            values = dictionary.direction(feature.index)
            result = Made(unit(values) if length == "unit" else values.clone())
        case FromFile():
            values = torch.from_numpy(kept_values(direction, making).copy())
            return Made(values.to(model.device))
    if not torch.isfinite(result.values).all():
        raise overflow(model, f"make “{direction.name}” of")
    model.means.keep(key, result)
    return result


def check_direction(model: Model, direction: Direction, prepend_bos: bool | None = None) -> Capture:
    """Say why a direction cannot be made on a model, without running it.

    Returns: the place where it is read. Raises: EngineError in words.
    """
    at = place_of_direction(model, direction)
    match direction.made:
        case FromPrompts():
            for _ in _read(model, direction.made.texts, prepend_bos):
                pass
        case FromHead(head, text):
            resolve_sites((head,), model.shape)
            for name in ("resid_pre", "z", "attn_out"):
                _check_place(model, (name, head.layer))
            token_of(model, text, prepend_bos)
        case FromUnembedding(text, minus):
            W_U(model)
            for one in filter(None, (text, minus)):
                token_of(model, one, prepend_bos)
        case FromFeature(sae, feature):
            check_feature(sae, read_dictionary(model, sae), feature.index)
        case FromFile():
            _check_file(model, direction, direction.made)
    return at


def token_of(model: Model, text: str, prepend_bos: bool | None = None) -> int:
    """The token that a text is where it stands in a text, or whose piece it is (`Ġ5`, `▁`).

    Raises: ExperimentError for a text of several tokens, or of none.
    """
    tokenizer = model.tokenizer
    ids, _ = tokenizer.in_place(tokenizer.encode("", prepend_bos), text)
    if len(ids) != 1:
        piece = tokenizer.hf.get_vocab().get(text)
        if piece is None:
            pieces = " ".join(tokenizer.pieces(ids)) or "none"
            raise ExperimentError(
                f"“{text[:40]}” is {len(ids)} tokens here ({pieces[:80]}), and a direction is of "
                "one: write the text of one token, or its piece."
            )
        ids = (piece,)
    forward.check_ids(model, ids, "token of a direction")
    return ids[0]


def place_of_direction(model: Model, direction: Direction) -> Capture:
    """Where a direction is read. Raises: EngineError for a site that is not there."""
    (site,) = resolve_sites((direction.site,), model.shape)
    at, _ = place_of(site, model.shape)
    _check_place(model, at)
    return at


def _check_place(model: Model, at: Capture) -> None:
    if not model.reaches(*at):
        raise EngineError(model.why_not(*at))


def _check_file(model: Model, direction: Direction, made: FromFile) -> None:
    values, width = kept_values(direction, made), model.shape.d_model
    if made.model and PurePath(made.model).name != PurePath(model.name).name:
        raise ExperimentError(
            f"The direction “{direction.name}” is of a file made on “{made.model}”, and this is "
            f"“{model.name}”, where it means nothing. If it is the same model by another name, "
            "leave `model` out of the direction."
        )
    if values.shape != (width,):
        raise ExperimentError(
            f"The direction “{direction.name}” is of a file with {values.size:,} numbers, and this "
            f"model's stream has {width:,}: it belongs to another model."
        )


def _read(model: Model, texts: Sequence[str], prepend_bos: bool | None) -> Steps[list[Tokens]]:
    result: list[Tokens] = []
    for i, text in enumerate(texts):
        if i and i % _TEXTS == 0:
            yield i / len(texts)
        tokens = model.tokenizer.encode(text, prepend_bos)
        forward.check_ids(model, tokens.ids, f"prompt “{text[:40]}” of a direction")
        result.append(tokens)
    return result


def _from_prompts(
    model: Model, making: FromPrompts, at: Capture, prepend_bos: bool | None
) -> Steps[Made]:
    texts = yield from _read(model, making.texts, prepend_bos)
    each = yield from seen(model, texts, at)
    read = torch.stack([one[-1] if making.read == "last" else one.mean(0) for one in each])
    plus, minus = read[: len(making.plus)], read[len(making.plus) :]
    values = plus.mean(0) - minus.mean(0)
    if making.by == "pca":
        axis = _first_component(plus - minus)
        values = (axis @ values) * axis
    return Made(values.float(), stream_norm(each))


def stream_norm(each: Sequence[Float[Tensor, "_ d_model"]]) -> float:
    """The median L2 norm of what is at tokens of texts, of two in the middle the smaller: a model
    without BOS may make its first token hundreds of times as long as all others (massive
    activations: Sun et al. 2024), and a mean would tell of that one alone."""
    return float(torch.cat([one.norm(dim=-1) for one in each]).median())


def seen(model: Model, texts: Sequence[Tokens], at: Capture) -> Steps[list[Tensor]]:
    """What is at a place in clean runs of texts, [pos d_model] of each, double where the device has
    it: at all tokens but a BOS, of one that is nothing else at that."""
    result: list[Tensor] = []
    group: list[Tokens] = []
    most = min(_TOKENS, _OPERATIONS / max(1.0, sum(Pace(model).block_cost)))
    for i, text in enumerate(texts):
        group.append(text)
        if sum(map(len, (*group, *texts[i + 1 : i + 2]))) <= most and i + 1 < len(texts):
            continue
        rows = [forward.Row(one.ids, captures=frozenset({at})) for one in group]
        for one, row in zip(group, forward.run(model, rows), strict=True):
            own = row.captured[at][int(one.bos and len(one) > 1) :]
            result.append(own.double() if model.device.type != "mps" else own.float())
        group = []
        yield (i + 1) / len(texts)
    return result


def _first_component(
    differences: Float[Tensor, "pair d_model"],
) -> Float[Tensor, " d_model"]:
    """The unit vector along which differences are farthest from 0; 0 where all are."""
    largest = differences.abs().max()
    if not largest > 0:
        return torch.zeros_like(differences[0])
    scaled = (differences / largest).cpu()
    weights = torch.linalg.eigh(scaled @ scaled.T).eigenvectors[:, -1]
    axis = weights @ scaled
    return (axis / axis.norm()).to(differences)


def _from_head(model: Model, head: Head, token: int, prepend_bos: bool | None) -> Tensor:
    ids = (*model.tokenizer.encode("", prepend_bos).ids, token)
    stream = forward.clean_stream(model, ids)[min(head.layer, 1), -1]
    at, one = ("attn_out", head.layer), (0,)
    edits = [Edit("resid_pre", head.layer, None, one, stream[None].float())]
    if model.reaches("pattern", head.layer):  # where a sink takes a part of what is looked at
        edits.append(Edit("pattern", head.layer, None, one, 1.0))
    every = tuple(range(model.shape.n_heads))
    others = tuple(h for h in every if h != head.head)
    rows = [
        forward.Row(
            (token,),
            (*edits, *([Edit("z", head.layer, silent, one, 0.0)] if silent else [])),
            captures=frozenset({at}),
        )
        for silent in (others, every)
    ]
    own, bias = (row.captured[at][0].float() for row in forward.run(model, rows))
    return own - bias
