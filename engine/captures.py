"""Captured activations of an experiment, clean and ablated: what the pages draw from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import Tensor

from .errors import EngineError
from .experiment.experiment import Experiment
from .experiment.results import Activations
from .model.model import Model
from .model.worker import Steps
from .passes import forward
from .passes.ablation import edits_of, prepared
from .registry import load


def activations(
    e: Experiment, names: Iterable[tuple[str, int]], view: str | None = None
) -> Activations:
    """Run an experiment and keep the activations named, as in `[("pattern", 3), ("z", 0)]`.

    Returns: Activations, float32, clean and ablated; its docstring gives each name's axes.
    Raises: EngineError for a name the architecture does not have, and as `next_token` does.
    """
    model = load(e.model)
    wanted = frozenset(names)
    for name, layer in wanted:
        if not model.reaches(name, layer):
            raise EngineError(f"{model.checkpoint.architecture} has no {name} in layer {layer}.")

    def steps() -> Steps[Activations]:
        yield from prepared(model, e)
        return _activations(model, e, wanted)

    return model.worker.submit(steps(), view=view).result()


def _activations(model: Model, e: Experiment, names: frozenset[forward.Capture]) -> Activations:
    prompt = model.tokenizer.encode(e.prompt, e.prepend_bos)
    forward.check_ids(model, prompt.ids)
    everywhere = tuple(range(len(prompt)))
    edits = edits_of(model, e, prompt, len(prompt))
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
