"""Scores by gradients between the clean and the corrupted run: of every head and MLP, or of every
edge, beside the exact effects that they predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice, whole, written
from pages._parts.corrupted import twins
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure
from pages._parts.layout import beside_switches, errors_shown
from pages._parts.pairs_form import Chosen, pairs_form
from pages._parts.switches import not_known, switches
from pages._parts.table import Rows, as_csv, rounded, show_rows, table_of_sites, ticked
from pages._parts.text import decimal, plain, signed

if TYPE_CHECKING:
    import plotly.graph_objects as go

Scores = engine.NodeAttribution | engine.EdgeAttribution
Exact = engine.SweepResult | engine.PathPatch
KEY, EXACT = "_gradients", "_gradients_exact"
"""Where a session keeps the scores, and the exact effects."""
_TABLE, _MOST_EDGES = "gradient_sites", 100
_OF = {"nodes": "heads and MLPs", "edges": "edges"}
_SHOW = {"score": "estimated", "exact": "exact"}


@dataclass(frozen=True)
class _Asked:
    """The scores asked for, the exact effects beside them, and the pairs of both."""

    scores: engine.AttributeNodes | engine.AttributeEdges
    exact: engine.Sweep | engine.PatchPaths
    chosen: Chosen

    @property
    def python(self) -> str:
        """The code that gives the scores, and how well they predict the exact effects."""
        pairs = {"task": "task"} if isinstance(self.exact, engine.PatchPaths) else {
            "pairs": "task.pairs"
        }  # fmt: skip
        return (
            f"import switchboard as engine\n\n{self.chosen.python}\n"
            f"result = {self.scores.to_python(pairs='task.pairs')}\n"
            f"exact = {self.exact.to_python(**pairs)}\n"
            "print(result.agreement(exact))\nfor row in result.table():\n    print(row)\n"
        )


def by_gradient(reading: state.Reading) -> None:
    """The whole view: what is asked, the switches tinted by it, and how well it predicts."""
    shape, asked, result, exact = model_shape(), None, None, None
    with errors_shown():
        chosen = pairs_form(reading.experiment)
        asked = _options(reading.experiment, chosen) if chosen is not None else None
        if asked is not None and reading.whole:
            result = work.ask(KEY, asked.scores).result
            if result is not None and result.done and _comparable(result):
                exact = work.ask(EXACT, asked.exact).result
    rows = _rows(result, exact) if result is not None else []
    left, right = beside_switches(shape.n_heads)
    with left:
        tint = not_known(shape) if result is None else _tint(result, exact)
        sites = [engine.parse_sites(str(row["site"]))[0] for row in rows]
        switches(reading.experiment.ablations, shape, tint, ticked(_TABLE, sites))
    if asked is None:
        return
    with right:
        work.progress(KEY, first="Gradients")
        if result is not None:
            _beside(result, exact, rows, asked)
    if result is not None and result.done:
        _picture(result, asked)


def _options(e: engine.Experiment, chosen: Chosen) -> _Asked | None:
    """Draw the widgets. Returns: what the engine is asked; None without a corrupted prompt.

    Raises: EngineError for what cannot be asked.
    """
    ss = st.session_state
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choice("Scored", "gradients_of", _OF)
        st.text_input(
            "Steps",
            key="gradient_steps",
            width=75,
            help="Runs on the way from the corrupted to the clean prompt's input in which "
            "gradients are taken: 5 is integrated gradients as published (EAP-IG), 1 is "
            "attribution patching, in the clean run alone.",
        )
        if ss["gradients_of"] == "edges":
            st.text_input(
                "Edges into",
                key="gradients_into",
                width=190,
                help="What the grid and the exact effects are of: logits is what the unembedding "
                "reads, m10 what an MLP reads, 9.6.q what the queries of head 9.6 are made from "
                "(k: keys, v: values), 9.6 all three.",
            )
        choice("Grid shows", "gradients_show", _SHOW)
    if ss["over"] == "prompt" and not twins(e, "Gradients are taken"):
        return None
    own = replace(e.clean, positions=e.positions, prompt="", corrupted="", answer="", distractor="")
    resampled = replace(own, method="resample")
    steps, task = whole("gradient_steps", "Steps"), chosen.task
    if ss["gradients_of"] == "nodes":
        sweep = engine.Sweep(resampled, task.pairs, at="answer")
        return _Asked(engine.AttributeNodes(own, task.pairs, steps), sweep, chosen)
    if not written("gradients_into"):
        raise engine.EngineError("No receivers are named; write some, as in 9.6.q m10 logits.")
    engine.parse_receivers(written("gradients_into"), model_shape())
    paths = engine.PatchPaths(resampled, None, written("gradients_into"), task)
    return _Asked(engine.AttributeEdges(own, task.pairs, steps), paths, chosen)


def _comparable(result: Scores) -> bool:
    """Whether exact effects can be had: paths are patched for the logit difference alone."""
    return isinstance(result, engine.NodeAttribution) or result.metric == "logit_diff"


def _scores(result: Scores) -> engine.SiteGrid:
    if isinstance(result, engine.NodeAttribution):
        return result.grid()
    return result.grid(written("gradients_into"))


def _effects(result: Scores, exact: Exact) -> engine.SiteGrid:
    if isinstance(exact, engine.SweepResult):
        return exact.grid(result.metric, "change")
    return exact.grid(model_shape())


def _tint(result: Scores, exact: Exact | None) -> engine.SiteGrid:
    """What the switches are tinted by: the estimates, or what is exact, filled up by them."""
    scores = _scores(result)
    if st.session_state["gradients_show"] == "score" or exact is None:
        return scores
    return _effects(result, exact).filled(scores)


def _rows(result: Scores, exact: Exact | None) -> Rows:
    """A row a head or MLP with its numbers, those with the greatest estimates first."""
    scores = _scores(result)
    effects = None if exact is None else _effects(result, exact)
    spread = _spread(result) if result.n > 1 else {}
    return [
        {
            "site": str(site),
            "estimate": rounded(scores[site]),
            **({"±": rounded(spread[site])} if spread else {}),
            "exact": None if effects is None else rounded(effects[site]),
        }
        for site in sorted(scores.sites, key=lambda site: -abs(scores[site]))
    ]


def _spread(result: Scores) -> Mapping[engine.Site, float]:
    """The spread of each score over prompts; none of edges into several receivers together."""
    if isinstance(result, engine.NodeAttribution):
        grid = result.grid("spread")
        return {site: grid[site] for site in grid.sites}
    spread = result.spread_into(written("gradients_into"))
    each = dict(zip(result.senders, spread.tolist(), strict=True))
    return {} if bool((spread != spread).all()) else each


def _beside(result: Scores, exact: Exact | None, rows: Rows, asked: _Asked) -> None:
    """The two runs, how well the estimates predicted, and a point for each head and MLP."""
    n, name = len(result.pairs), engine.METRIC_NAMES[result.metric]
    over = f"Mean of {n:,} prompts" if n > 1 else "This prompt"
    with st.container(horizontal=True):
        for run, values in (("Clean", result.clean), ("Corrupted", result.corrupted)):
            mean = float(values[values == values].mean()) if result.n else float("nan")
            st.metric(f"{run} {name}", signed(mean), help=over, width="content")
        compared = _compared(result, exact)
        if compared is not None and compared[0].n > 2:
            st.metric(
                "Estimate against exact, r",
                decimal(compared[0].pearson),
                help=f"Pearson's correlation over {compared[0].n} heads and MLPs; Spearman's "
                f"{decimal(compared[0].spearman)}.",
                width="content",
            )
    _exact_progress(result, exact)
    if compared is not None:
        csv: Rows = [{k: row[k] for k in ("site", "estimate", "exact")} for row in rows]
        figure(compared[1], "estimated-beside-exact", csv=as_csv(csv), key="gradients_beside")
    if rows:
        table_of_sites(rows, _TABLE, height=min(330, 38 + 35 * len(rows)))
    st.caption(plain(" ".join((_told(result, asked), *result.notes))))


def _compared(result: Scores, exact: Exact | None) -> tuple[engine.Agreement, go.Figure] | None:
    """How well the scores predicted the exact effects, and both drawn; None without these."""
    if isinstance(result, engine.NodeAttribution) and isinstance(exact, engine.SweepResult):
        return result.agreement(exact), result.beside_figure(exact)
    if isinstance(result, engine.EdgeAttribution) and isinstance(exact, engine.PathPatch):
        return result.agreement(exact), result.beside_figure(exact)
    return None


def _exact_progress(result: Scores, exact: Exact | None) -> None:
    """How far the exact effects are, with a way to stop them; or why there are none."""
    if not _comparable(result):
        st.caption(
            "Paths are patched for a logit difference, and no token tells answer and distractor "
            "apart: the scores stand alone."
        )
    elif result.done and isinstance(exact, engine.SweepResult):
        work.exact(EXACT, (exact.n_done, len(exact.sites), exact.seconds_left))
    elif result.done:
        work.progress(EXACT, first="Exact", anew=work.go_on)


def _told(result: Scores, asked: _Asked) -> str:
    """What the numbers are: sign, unit, from how many runs and prompts, what they do not show."""
    name, unit = engine.METRIC_NAMES[result.metric], "logits"
    if result.metric == "log_prob":
        unit = "nats"
    steps = result.steps
    way = "attribution patching" if steps == 1 else f"gradients integrated over {steps} steps"
    if isinstance(result, engine.NodeAttribution):
        what = "each head or MLP alone becomes what it is in the corrupted run"
        exactly = "a sweep by resample"
    else:
        what = (
            f"{written('gradients_into')} alone reads of each head or MLP what it is in the "
            f"corrupted run ({result.n_edges:,} edges in all, the greatest below)"
        )
        exactly = "those paths patched"
    n = len(result.pairs)
    over = f"{result.n:,} of {n:,} prompts, ± their standard deviation." if n > 1 else "One prompt."
    text = (
        f"Estimated by {way}: the change of the {name}, in {unit}, when {what}; below 0, red, it "
        f"helps the answer. {over} Exact: {exactly}. Of both runs without changes; together parts "
        "may act otherwise, and what saturates along the way is seen in part."
    )
    if result.completeness == result.completeness:
        text += (
            " All that enters the first layer is predicted to do "
            f"{result.completeness:.0%} of what it does (100% with steps enough).".replace("-", "−")
        )
    return text


def _picture(result: Scores, asked: _Asked) -> None:
    """The scores as a figure with their downloads; of edges the greatest as a table."""
    if isinstance(result, engine.NodeAttribution):
        drawn, rows = result.figure(), result.table()
    else:
        drawn, rows = result.figure(written("gradients_into")), result.table(most=None)
        with st.expander(plain(f"The {_MOST_EDGES} greatest of {result.n_edges:,} edges")):
            shown = [{k: _shown(v) for k, v in row.items()} for row in rows[:_MOST_EDGES]]
            show_rows(shown)
    figure(
        drawn,
        f"{st.session_state['gradients_of']}-by-gradient",
        csv=as_csv(rows),
        python=asked.python,
        key="gradients_figure",
    )


def _shown(value: object) -> object:
    return rounded(value) if isinstance(value, float) else value
