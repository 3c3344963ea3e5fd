"""The norms on a neuron's way in and out, each held at the scale it has on a vector of size 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..attribution.frozen import FrozenNorm
from ..attribution.readout import close_to
from ..errors import EngineError
from ..model.model import Model
from ..model.place import Place
from ..model.through import hook
from ..passes import forward


def on_unit(model: Model, module: nn.Module | None) -> FrozenNorm | None:
    """A norm as it acts on a vector whose root mean square is 1; None for no norm."""
    if module is None:
        return None
    vector = torch.ones(model.shape.d_model)
    vector[1::2] = -1
    return FrozenNorm.on(module, vector)


def behind(model: Model, layer: int) -> nn.Module | None:
    """The norm between an MLP's output projection and the stream (Gemma 2 and 3, OLMo 2)."""
    place, projection = model.place("mlp_out", layer), model.layer(layer).parts["mlp.out"].module
    inside = any(one is projection for one in place.module.modules())
    return None if inside else place.module


def before(model: Model, layer: int) -> nn.Module | None:
    """The norm through which a layer's MLP reads the stream; None where it reads it as it is.

    It is looked up in a run: of the layer's norms the one that makes of the stream what the MLP is
    given. Raises: EngineError where none does.
    """
    parts = model.layer(layer).parts
    seen: list[Tensor] = []
    ids = tuple(range(3, 3 + min(4, model.shape.d_vocab - 3, model.shape.n_ctx or 4)))
    streams = [("resid_mid", layer), ("resid_pre", layer)]
    there = frozenset(at for at in streams if model.reaches(*at))
    into = Place(parts["mlp.in"].module, True)
    handle = hook(into, len(ids), lambda given: seen.append(given.detach().clone()))
    try:
        row = forward.run(model, [forward.Row(ids, captures=there)])[0]
    finally:
        handle.remove()
    given = seen[-1][-1].float()
    for at in (at for at in streams if at in there):
        stream = row.captured[at]
        for name in ("ln2", "ln1", None):
            module = parts[name].module if name in parts else None
            if (name is None) == (module is None):
                read = stream if module is None else module(stream)
                if (read.float() - given).norm() <= close_to(model) * given.norm():
                    return module
    raise EngineError(
        f"What the MLP of layer {layer} is given is not the stream behind one of its norms in "
        f"{model.checkpoint.architecture}, so what moves its neurons is not read off the weights."
    )
