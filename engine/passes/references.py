"""What methods put in the place of an activation: averages over reference prompts, or its values in
the corrupted prompt's run.

Averages are taken once for a set of reference prompts and kept, of every head and MLP together (and
of a layer's neurons when first asked for), so that the next toggle costs no pass over the
references. A `mean` weighs every reference token equally, BOS included; what is generated after a
prompt has no counterpart at its position, so `mean_by_position` and `resample` leave it alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.method import Kind
from ..experiment.results import Tokens
from ..experiment.sae import Sae
from ..model.model import Model
from ..model.worker import Steps
from ..saved.dictionary import Dictionary
from . import forward
from .hooks import grouped
from .overflow import check_numbers

Texts = tuple[tuple[int, ...], ...]
"""The ids of prompts that values are taken from."""
_REFERENCE_TOKENS = 512
"""Reference tokens run at a time: what is captured of them is averaged and let go."""


def reference_texts(model: Model, e: Experiment, kind: Kind, prompt: Tokens) -> Texts:
    """The ids of the prompts that a method takes its values from; empty for methods without any.

    Raises: ExperimentError where there are none, or where their length does not fit the prompt.
    """
    match kind.takes:
        case "corrupted":
            if not e.corrupted:
                raise ExperimentError(
                    f"{kind.word} takes its values from the corrupted prompt, and there is none. "
                    "Give one with as many tokens as the prompt."
                )
            texts: Sequence[str] = (e.corrupted,)
        case "references":
            texts = e.references or ((e.corrupted,) if e.corrupted else ())
            if not texts:
                raise ExperimentError(
                    f"{kind.word} averages over reference prompts, and there are none. Give some, "
                    "or choose zero."
                )
        case _:
            return ()
    result = []
    what = "corrupted prompt" if kind is Kind.RESAMPLE else "reference prompt"
    for text in texts:
        ids = model.tokenizer.encode(text, e.prepend_bos).ids
        if kind.by_position and len(ids) != len(prompt):
            raise ExperimentError(
                f"The {what} “{text[:60]}” is {len(ids)} tokens long and the prompt "
                f"{len(prompt)}; {kind.word} needs them equal"
                + ("." if kind is Kind.RESAMPLE else ", mean does not.")
            )
        forward.check_ids(model, ids, what)
        result.append(ids)
    return tuple(result)


def site_values(
    model: Model, e: Experiment, prompt: Tokens, wanted: set[forward.Capture] | None = None
) -> Steps[dict[forward.Capture, Tensor]]:
    """What the experiment's method puts at the places wanted, by themselves every head's `z` and
    every MLP's `mlp_out`, as `hooks.edit` takes it; empty for methods that need no references.

    Raises: as `reference_texts` does.
    """
    kind = e.method.kind
    texts = reference_texts(model, e, kind, prompt)
    if not texts:
        return {}
    wanted = _every_site(model) if wanted is None else wanted
    return (yield from take(model, texts, kind.by_position, wanted))


def take(
    model: Model, texts: Texts, by_position: bool, wanted: set[forward.Capture]
) -> Steps[dict[forward.Capture, Tensor]]:
    """The values wanted, from the store, else by running the references, a group a step."""
    result = {at: model.means.get((texts, by_position, *at)) for at in wanted}
    kept = {at: value for at, value in result.items() if value is not None}
    missing = wanted - set(kept)
    if missing:
        if any(name != "post" for name, _ in missing):
            missing |= _every_site(model)
        taken = yield from _averages(model, texts, by_position, frozenset(missing))
        for at, value in taken.items():
            model.means.keep((texts, by_position, *at), value)
        kept |= taken
    return {at: kept[at] for at in wanted}


def feature_values(
    model: Model,
    texts: Texts,
    by_position: bool,
    sae: Sae,
    dictionary: Dictionary,
    reads: forward.Capture,
) -> Steps[Float[Tensor, "*pos d_sae"]]:
    """The features that an SAE has of texts on average, also over their tokens unless
    `by_position`, a text a step; from the store where they are known.

    Raises: EngineError where they overflow.
    """
    key = ("features", sae, texts, by_position)
    known: Tensor | None = model.means.get(key)
    if known is not None:
        return known
    total: Tensor | float = 0.0
    for i, ids in enumerate(texts):
        (run,) = forward.run(model, [forward.Row(ids, captures=frozenset({reads}))])
        values = dictionary.encode(run.captured[reads].float())
        check_numbers(model, values, "encode")
        values = values.double() if model.device.type != "mps" else values
        total = total + (values if by_position else values.sum(0))
        yield (i + 1) / len(texts)
    assert isinstance(total, Tensor)
    n = len(texts) if by_position else sum(len(ids) for ids in texts)
    result = (total / n).float()
    model.means.keep(key, result)
    return result


def _every_site(model: Model) -> set[forward.Capture]:
    """Where the heads and the MLPs are changed."""
    s = model.shape
    return set(grouped((*s.heads, *s.mlps), s))


def _averages(
    model: Model,
    texts: Texts,
    by_position: bool,
    points: frozenset[forward.Capture],
) -> Steps[dict[forward.Capture, Tensor]]:
    """Averages over texts, and over their tokens unless `by_position`."""
    sums: dict[forward.Capture, Tensor] = {}
    group: list[forward.Row] = []
    for i, ids in enumerate(texts):
        group.append(forward.Row(ids, captures=points))
        if sum(len(row.ids) for row in group) < _REFERENCE_TOKENS and i + 1 < len(texts):
            continue
        for result in forward.run(model, group):
            for at, captured in result.captured.items():
                value = captured.transpose(0, 1) if at[0] == "pattern" else captured
                value = value.double() if model.device.type != "mps" else value.float()
                total = value if by_position else value.sum(0)
                sums[at] = sums[at] + total if at in sums else total
        group = []
        yield (i + 1) / len(texts)
    n = len(texts) if by_position else sum(len(ids) for ids in texts)
    return {at: (total / n).to(torch.float32) for at, total in sums.items()}
