"""Captured activations of an experiment, clean and ablated: what the pages draw from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from .errors import EngineError
from .experiment.experiment import Experiment
from .experiment.numbers import whole_number
from .experiment.results import Activations
from .model.model import Model
from .model.worker import Steps
from .passes import forward
from .passes.prepare import Prepared, prepare
from .registry import model_of


def activations(e: Experiment, names: Any, view: str | None = None) -> Activations:
    """Run an experiment and keep the activations named, as in `[("pattern", 3), ("z", 0)]`; a name
    alone, `"z"`, is that of every layer that has it, and `"blocks.0.attn.hook_z"` of one.

    Returns: Activations, float32, clean and ablated; its docstring gives each name's axes.
    Raises: EngineError for a name the architecture does not have, and as `next_token` does.
    """
    model = model_of(e)
    wanted = frozenset(_named(model, names))
    for name, layer in wanted:
        if not model.reaches(name, layer):
            raise EngineError(f"{model.checkpoint.architecture} has no {name} in layer {layer}.")

    def steps() -> Steps[Activations]:
        prompt = model.tokenizer.encode(e.prompt, e.prepend_bos)
        forward.check_ids(model, prompt.ids)
        return _activations(model, (yield from prepare(model, e, prompt)), wanted)

    return model.worker.submit(steps(), view=view).result()


_HOOK = re.compile(r"blocks\.(\d{1,5})\.(?:attn\.|mlp\.)?hook_(\w+)")


def _named(model: Model, names: Any) -> Iterator[tuple[str, int]]:
    """Names and layers, of what a notebook hands in. Raises: EngineError for what is neither."""
    match names:
        case str():
            hook = _HOOK.fullmatch(names)
            if hook:
                yield hook[2], int(hook[1])
                return
            name = names.removeprefix("hook_")
            layers = [i for i in range(model.shape.n_layers + 1) if model.reaches(name, i)]
            if not layers:
                raise EngineError(f"{model.checkpoint.architecture} has no {names[:40]}.")
            yield from ((name, layer) for layer in layers)
        case (str(name), layer) if not isinstance(layer, str | tuple | list):
            yield name, whole_number(layer, "A layer")
        case Iterable() if not isinstance(names, Mapping):
            for one in names:
                yield from _named(model, one)
        case _:
            raise EngineError(
                f"{names!r:.60} names no activation: give a name and its layer, as in (“z”, 0)."
            )


def _activations(
    model: Model, prepared: Prepared, names: frozenset[forward.Capture]
) -> Activations:
    prompt = prepared.prompt
    everywhere = tuple(range(len(prompt)))
    edits = prepared.edits(len(prompt))
    clean, ablated = forward.run(
        model,
        [forward.Row(prompt.ids, own, everywhere, names) for own in ((), edits)],
    )
    return Activations(
        tokens=prompt,
        clean={at: _numpy(value) for at, value in clean.captured.items()},
        ablated={at: _numpy(value) for at, value in ablated.captured.items()},
        clean_logits=_numpy(clean.logits),
        ablated_logits=_numpy(ablated.logits),
    )


def _numpy(value: Tensor) -> np.ndarray:
    return value.float().cpu().numpy()
