"""Within one head, or one MLP: its direct number by source token, or by neuron.

At the position where answer and distractor part, what a head gives is Σ pattern × value over the
tokens it looks at, and what an MLP gives Σ activation × output weights over its neurons; what each
term writes is followed as `direct` follows the whole, norms held at the scale that the run has.
Query heads that share values each bring them by their own pattern. What it does not show: why a
head looks where it does, or what made a value or an activation what it is.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from ..errors import SiteError
from ..experiment.experiment import Experiment
from ..experiment.sites import MLP, Head, Shape, Site, parse_sites, resolve_sites
from ..model.model import Model
from ..model.weights import W_out
from ..model.worker import Steps
from ..registry import model_of
from .readout import close_to
from .results import NeuronAttribution, NeuronRun, SourceAttribution, SourceRun
from .runs import Ended, both_runs
from .written import heads_parts, neurons_parts, refused

S = TypeVar("S", Head, MLP)
_WHOLE = "Its number as a whole stands."


def source_attribution(e: Experiment, head: Any, view: str | None = None) -> SourceAttribution:
    """What a head writes towards answer − distractor, by the token whose value it brought.

    `head`: a Head, or as text, "9.1".
    Returns: SourceAttribution, clean and ablated, in logits, positive for the answer.
    Raises: EngineError in words, as `direct_attribution` does, and for a head whose output is not
    its pattern times values that can be seen.
    """
    model = model_of(e)
    one = _one(head, Head, model.shape)
    return model.worker.submit(_sources(model, e, one), view=view).result()


def neuron_attribution(e: Experiment, mlp: Any, view: str | None = None) -> NeuronAttribution:
    """What each neuron of an MLP writes towards answer − distractor.

    `mlp`: an MLP, its layer, or as text, "m9".
    Returns: NeuronAttribution, clean and ablated, in logits, positive for the answer.
    Raises: EngineError in words, as `direct_attribution` does, and for a mixture of experts.
    """
    model = model_of(e)
    if isinstance(mlp, int) and not isinstance(mlp, bool):
        mlp = MLP(mlp)
    one = _one(mlp, MLP, model.shape)
    return model.worker.submit(_neurons(model, e, one), view=view).result()


def _one(given: Any, kind: type[S], shape: Shape) -> S:
    """The one head or MLP that is meant. Raises: SiteError."""
    sites: tuple[Site, ...] = parse_sites([given] if isinstance(given, Site) else given)
    if len(sites) != 1 or not isinstance(sites[0], kind):
        example = "a head, as in 9.1" if kind is Head else "an MLP, as in m9"
        raise SiteError(f"Name one site, {example}; “{given!s:.40}” is not that.")
    resolve_sites(sites, shape)
    return sites[0]


def _sources(model: Model, e: Experiment, head: Head) -> Steps[SourceAttribution]:
    layer = head.layer
    for name in ("pattern", "v"):
        if not model.reaches(name, layer):
            raise refused(
                model,
                layer,
                f"no {name} can be seen, so what {head} writes is not split by token",
                _WHOLE,
            )
    names = [
        (name, layer) for name in ("z", "attn_out", "pattern", "v") if model.reaches(name, layer)
    ]
    runs = yield from both_runs(model, e, names, at_end=False)
    clean = _by_source(model, runs.clean, head)
    if clean is None:
        raise refused(
            model,
            layer,
            "what a head gives is not its pattern times its values (they are normed or gated on "
            f"the way), so what {head} writes is not split by token",
            _WHOLE,
        )
    ablated, notes = clean, runs.notes
    if runs.ablated is not runs.clean:
        result = _by_source(model, runs.ablated, head, replaced=True)
        assert result is not None
        ablated = result
        if np.isnan(ablated.direct).any():
            notes = (f"In the ablated run what {head} gives is put in place, not brought.", *notes)
    pieces = model.tokenizer.pieces(runs.ids)
    texts = model.tokenizer.texts(runs.ids)
    return SourceAttribution(head, tuple(pieces), tuple(texts), clean, ablated, notes)


def _by_source(model: Model, run: Ended, head: Head, replaced: bool = False) -> SourceRun | None:
    """One run of a head by token; where that is not what the head gives, None, or, where it may
    have been `replaced`, 0 if it gives nothing and NaN if anything else."""
    layer = head.layer
    here = {name: value for (name, at), value in run.vectors.items() if at == layer}
    vectors = {at: value[-1] for at, value in run.vectors.items() if at[0] in ("z", "attn_out")}
    parts = heads_parts(model, layer, vectors, run.read.toward)
    assert parts is not None
    shared = model.shape.n_heads // model.shape.n_key_value_heads
    pattern = here["pattern"][head.head, -1].cpu().double()
    values = here["v"][:, head.head // shared].cpu().double()
    given = here["z"][-1, head.head].cpu().double()
    total = float(parts.numbers[head.head].sum())
    if values.shape[-1] == given.shape[-1] and _is_sum(model, pattern @ values, given):
        direct = pattern * (values @ parts.each[head.head])
    elif replaced:
        direct = pattern * (float("nan") if bool(given.any()) else 0.0)
    else:
        return None
    return SourceRun(direct.numpy(), pattern.numpy(), total)


def _is_sum(model: Model, parts: Tensor, whole: Tensor) -> bool:
    return bool((parts - whole).norm() <= close_to(model) * (parts.norm() + whole.norm()))


def _neurons(model: Model, e: Experiment, mlp: MLP) -> Steps[NeuronAttribution]:
    layer = mlp.layer
    W_out(model, layer)  # says why there is none
    if not model.reaches("post", layer):
        raise refused(
            model,
            layer,
            "single neurons cannot be reached, as where some layers are mixtures of experts, so "
            f"{mlp} is not split by neuron",
            _WHOLE,
        )
    runs = yield from both_runs(model, e, [("post", layer), ("mlp_out", layer)])
    clean = _by_neuron(model, runs.clean, layer)
    if clean is None:
        raise refused(
            model,
            layer,
            f"what {mlp} writes is not what its neurons' output weights make of them, so it is not "
            "split by neuron",
            _WHOLE,
        )
    ablated, notes = clean, runs.notes
    if runs.ablated is not runs.clean:
        result = _by_neuron(model, runs.ablated, layer, replaced=True)
        assert result is not None
        ablated = result
        if np.isnan(ablated.direct).any():
            notes = (f"In the ablated run what {mlp} gives is put in place.", *notes)
    return NeuronAttribution(mlp, clean, ablated, notes)


def _by_neuron(model: Model, run: Ended, layer: int, replaced: bool = False) -> NeuronRun | None:
    """One run of an MLP by neuron, as `_by_source` of a head."""
    parts, whole = neurons_parts(model, layer, run.vectors, run.read.toward)
    written = run.vectors["mlp_out", layer].cpu().double()
    direct, bias = parts.numbers, parts.bias
    if not whole and not replaced:
        return None
    if not whole:
        gone = float("nan") if bool(written.any()) else 0.0
        direct, bias = direct * gone, bias * gone
    post = run.vectors["post", layer].cpu().double()
    return NeuronRun(direct.numpy(), post.numpy(), bias, float(written @ run.read.toward))
