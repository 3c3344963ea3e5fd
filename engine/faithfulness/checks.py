"""What a faithfulness curve cannot be had of, said in words before anything is shown."""

from __future__ import annotations

import numpy as np

from ..attribution.readout import close_to
from ..attribution.runs import there
from ..attribution.written import check_added, refused
from ..errors import ExperimentError
from ..gradients.asked import Read
from ..gradients.runs import CLEAN, CORRUPTED, Runs
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.forward import Row
from ..passes.pace import Pace
from .edge_runs import EdgeCircuits
from .runs import Circuits, rows_of
from .wiring import Wiring

MOST_BYTES = 4 * 2**30
"""What is held of both runs of all pairs."""


def check_pairs(model: Model, result: Read, level: str) -> None:
    """Refuse more pairs than are held, and for edges a model that adds to its stream otherwise."""
    s, tokens = model.shape, sum(len(p.target.ids) for p in result.prompts)
    nbytes = 2 * tokens * s.n_layers * s.d_model * model.dtype.itemsize * 4
    if nbytes > MOST_BYTES:
        raise ExperimentError(
            f"What {len(result.prompts):,} pairs write takes {nbytes / 2**30:.1f} GiB, and at most "
            f"{MOST_BYTES / 2**30:.0f} are held. Take fewer pairs."
        )
    if level == "nodes":
        return
    ids = max((prompt.target.ids for prompt in result.prompts), key=len)
    stream = there(model, "resid_pre", "attn_out", "resid_mid", "mlp_out")
    stream |= {("resid_post", s.n_layers - 1)}
    (row,) = forward.run(model, [Row(ids, captures=stream, at_end=True)])
    others = check_added(model, row.captured)
    if others:
        raise refused(
            model, others[0],
            "more is added to the stream than what heads and MLPs write, so no circuit of edges "
            "is run", "Circuits of nodes can be had.",
        )  # fmt: skip


def check_edges(
    model: Model, pace: Pace, circuits: Circuits, runs: Runs, wiring: Wiring
) -> Steps[None]:
    """Refuse a model in which all edges kept are not the clean run, or none the corrupted one."""
    assert isinstance(circuits, EdgeCircuits)
    circuits.check(runs)
    ends = rows_of([0], [wiring.is_edge, np.zeros_like(wiring.is_edge)])
    leaving = yield from circuits.run(pace, runs, ends)
    post = runs.captured["resid_post", model.shape.n_layers - 1][:, 0].float()
    for run in (CLEAN, CORRUPTED):
        off = (leaving[run].float() - post[run]).norm()
        if not off <= close_to(model) * post[run].norm():
            raise refused(
                model, model.shape.n_layers - 1,
                "the stream is not what edges into queries, keys, values and MLPs make of it, so "
                "no circuit of edges is run", "Circuits of nodes can be had.",
            )  # fmt: skip


def check_ends(metric: np.ndarray) -> None:
    """Refuse pairs that the model scores alike in both runs: there is nothing to be kept."""
    clean, corrupted = metric.mean(1).tolist()
    if abs(clean - corrupted) < 1e-4 * max(1.0, abs(clean)):
        raise ExperimentError(
            f"The model scores these pairs alike in both runs ({clean:.4f} clean, {corrupted:.4f} "
            "corrupted, means): there is nothing for a circuit to keep, and no share of it. Take "
            "corrupted prompts in which the answer does not follow."
        )
