"""What a direction is on a model: its numbers, how long it is beside the stream, and how near
others are.

    share = ‖v‖ / median ‖x‖      x: what is at its site, at each token but a BOS
    cosine = v · w / (‖v‖ ‖w‖)

A steering coefficient is told in the unit of v: `add(v, c)` moves the stream by c ‖v‖. What it does
not show: random vectors of a wide stream have cosines near 0, ±1/√d_model, so little is much; and
streams have a few axes of enormous size, along which any two directions may agree.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import Tensor

from ..errors import ExperimentError
from ..experiment.direction import Direction, directions
from ..experiment.experiment import Experiment, check_experiment
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.directions import made, place_of_direction, seen, stream_norm
from ..registry import load
from .results import DirectionValues


def direction(
    given: Experiment | str,
    which: Direction | str,
    others: Iterable[Direction] | None = None,
    view: str | None = None,
) -> DirectionValues:
    """A direction on a model, made by running it clean, or of its weights, or from a file.

    `given`: an experiment, whose directions have names, or a model's name. `which`: a direction, or
    the name of one of the experiment's. `others`: those it is compared with; by themselves the
    experiment's.
    Raises: EngineError in words for what cannot be made.
    """
    e = Experiment(given) if isinstance(given, str) else given
    check_experiment(e)
    if isinstance(which, str):
        which = e.vector(which)
    if not isinstance(which, Direction):
        raise ExperimentError(f"A direction is asked about, not {which!r:.60}.")
    some = e.vectors if others is None else directions(others)
    model, rest = load(e.model), tuple(one for one in some if one != which)
    return model.worker.submit(_described(model, e, which, rest), view=view).result()


def _described(
    model: Model, e: Experiment, which: Direction, others: tuple[Direction, ...]
) -> Steps[DirectionValues]:
    own = yield from made(model, which, e.prepend_bos)
    norm = own.stream_norm
    if np.isnan(norm) and e.prompt:
        prompt = model.tokenizer.encode(e.prompt, e.prepend_bos)
        forward.check_ids(model, prompt.ids)
        norm = stream_norm((yield from seen(model, [prompt], place_of_direction(model, which))))
    rest = []
    for other in others:
        rest.append(_numpy((yield from made(model, other, e.prepend_bos)).values))
    values = _numpy(own.values)
    norms = np.array([np.linalg.norm(one.astype(np.float64)) for one in rest])
    return DirectionValues(
        model=model.name,
        direction=which,
        values=values,
        stream_norm=norm,
        others=others,
        other_norms=norms,
        cosines=np.array([_cosine(values, one) for one in rest]),
    )


def _numpy(values: Tensor) -> np.ndarray:
    return values.float().cpu().numpy().copy()


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.clip(a @ b / lengths, -1, 1)) if lengths > 0 else float("nan")
