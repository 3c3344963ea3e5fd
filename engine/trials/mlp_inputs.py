"""Whether what an MLP is given is read in time to move what it writes, as transcoders need it."""

from __future__ import annotations

import torch
from torch import Tensor

from ..passes import forward
from ..passes.hooks import Edit
from .checks import reason_of
from .readings import Change, Readings, off_by
from .results import Check

NAME = "into MLPs"


def into_mlps(trial: Readings) -> Check | None:
    """What MLPs are given, added to what they write in the very pass in which it is read, against
    the sum of both put there by a plain hook; None where neither can be seen."""
    model, ids, everywhere = trial.model, trial.texts[0], tuple(range(trial.n))
    layers = [i for name, i in trial.tried() if name == "mlp_out" and model.reaches("mlp_in", i)]
    if not layers:
        return None
    try:
        read = frozenset(("mlp_in", layer) for layer in layers)
        given = forward.run(model, [forward.Row(ids, captures=read)])[0].captured
        rows, plain = [], []
        for layer in layers:
            at, into = ("mlp_out", layer), ("mlp_in", layer)
            written: Tensor = trial.seen[at][0]
            edit = Edit(*at, None, everywhere, 0.0, moves=torch.add, reads=into)
            rows.append(forward.Row(ids, (edit,), everywhere))
            plain.append((0, Change(at, 0, written + given[into])))
        results = [result.logits for result in forward.run(model, rows)]
        off = max(off_by(a, b) for a, b in zip(results, trial.plainly(plain), strict=True))
        why = "" if off <= trial.limit else "what its MLPs are given is not what is read of it"
    except Exception as wrong:  # of whatever kind: then it is not read
        off, why = float("inf"), reason_of(wrong)
    return Check(NAME, off, trial.limit, why)
