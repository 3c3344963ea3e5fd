"""Generation as plotly figures: the steps' numbers, what stayed right, and whole answers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from ..showing.charts import TOLD, chart_layout, line
from ..showing.palette import PALETTE
from ..showing.writing import percent, visible
from ..text.shown import token_text
from .runs import RankedAnswer, RunTotals, Step

if TYPE_CHECKING:
    import plotly.graph_objects as go

_DASHES = {"clean": "solid", "ablated": "dash", "unswitched": "dot"}
STEP_NUMBERS = {
    "entropy": "entropy, nats",
    "log_prob": "log-probability of the token taken",
    "rank": "rank of the token taken",
    "kl": "KL(clean ‖ ablated), nats",
}
"""What can be followed from step to step; StepRun and Step define each."""


def steps_figure(steps: Sequence[Step], number: str) -> go.Figure:
    """One of STEP_NUMBERS, step by step, clean and ablated; a line stands where the texts part."""
    import plotly.graph_objects as go

    figure = go.Figure()
    runs = ["clean", "ablated"]
    if number == "kl":
        runs = runs[1:]
    elif any(step.unswitched is not step.clean for step in steps if step.unswitched):
        runs.append("unswitched")
    for name in runs:
        x, y, hover = [], [], []
        for step in steps:
            run = getattr(step, name)
            value = step.kl if number == "kl" else None if run is None else getattr(run, number)
            if run is None or value is None:
                continue
            x.append(step.index)
            y.append(float(value))
            hover.append(
                f"step {step.index}, {name}: {escape(token_text(run.text, run.token))} "
                f"{percent(run.prob)}<br>"
                f"{STEP_NUMBERS[number]}: {float(value):,.3f}".removesuffix(".000")
            )
        look = {"color": PALETTE[name], "width": 2, "dash": _DASHES[name]}
        named = "clean to ablated" if number == "kl" else name
        figure.add_scatter(**line(x, y, hover, line=look, name=named))
    parted = next((step.index for step in steps if step.parted), None)
    if parted is not None:
        figure.add_vline(x=parted, line={"color": PALETTE["ablated"], "width": 1})
    ranked = {"type": "log", "autorange": "reversed"} if number == "rank" else {}
    return figure.update_layout(
        **chart_layout(820, 270, showlegend=True),
        xaxis={
            "title": {"text": "step"},
            "dtick": max(1, len(steps) // 15),
            "range": [-0.5, (steps[-1].index if steps else 0) + 0.5],
        },
        yaxis={"title": {"text": STEP_NUMBERS[number]}, **ranked},
    )


def shares_figure(totals: Sequence[RunTotals]) -> go.Figure:
    """The share of prompts answered right, run by run, and the random controls of each set as dots.

    Where no prompt has an answer, the share whose text is the clean one.
    """
    import plotly.graph_objects as go

    judged = any(t.share_right is not None for t in totals)
    share = "share_right" if judged else "share_same"
    own = [t for t in totals if not t.run.control_of]
    controls = [t for t in totals if t.run.control_of]
    names = [visible(t.run.name) for t in own]
    figure = go.Figure(
        go.Bar(
            x=list(range(len(own))),
            y=[getattr(t, share) for t in own],
            marker={"color": [PALETTE["ablated" if i else "clean"] for i in range(len(own))]},
            text=[_percent(getattr(t, share)) for t in own],
            textposition="outside",
            cliponaxis=False,
            width=0.5,
            customdata=[_told(t, judged) for t in own],
            hovertemplate=TOLD,
            name="the run",
            showlegend=False,
        )
    )
    if controls:
        at = {t.run.name: i for i, t in enumerate(own)}
        place: dict[str, int] = {}
        x = []
        for t in controls:
            n = place[t.run.control_of] = place.get(t.run.control_of, -1) + 1
            x.append(at[t.run.control_of] + 0.32 + 0.045 * (n % 4))
        figure.add_scatter(
            x=x,
            y=[getattr(t, share) for t in controls],
            mode="markers",
            marker={"color": PALETTE["control"], "size": 8, "opacity": 0.75},
            customdata=[_told(t, judged) for t in controls],
            hovertemplate=TOLD,
            name="random controls",
        )
    return figure.update_layout(
        **chart_layout(max(420, 130 * len(own) + 140), 300),
        xaxis={
            "tickvals": list(range(len(own))),
            "ticktext": [escape(name[:24]) for name in names],
            "range": [-0.5, len(own) - 0.3],
            "showgrid": False,
        },
        yaxis={
            "title": {"text": "answered right" if judged else "text as in the clean run"},
            "range": [0, 1.1],
            "tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1],
            "tickformat": ".0%",
        },
    )


def answers_figure(shown: Sequence[RankedAnswer]) -> go.Figure:
    """The joint log-probability of each answer, clean and ablated, the first on top."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name in ("clean", "ablated"):
        scores = [getattr(one, name) for one in shown]
        hover = []
        for one, score in zip(shown, scores, strict=True):
            each = "<br>".join(
                f"{escape(visible(token))}  {float(log_prob):.3f}"
                for token, log_prob in zip(one.tokens, score.log_probs, strict=True)
            )
            hover.append(
                f"{escape(visible(one.text))}, {name}: {score.log_prob:.3f} "
                f"({percent(score.prob)}), rank {score.rank}<br>{each}"
            )
        figure.add_bar(
            y=list(range(len(shown))),
            x=[score.log_prob for score in scores],
            orientation="h",
            name=name,
            marker={"color": PALETTE[name]},
            customdata=hover,
            hovertemplate=TOLD,
        )
    return figure.update_layout(
        **chart_layout(760, 110 + 34 * len(shown), left=10, barmode="group", bargap=0.25),
        xaxis={"title": {"text": "log-probability of the whole answer"}, "zeroline": True},
        yaxis={
            "tickvals": list(range(len(shown))),
            "ticktext": [escape(visible(one.text[:24])) for one in shown],
            "autorange": "reversed",
            "automargin": True,
            "showgrid": False,
        },
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _told(t: RunTotals, judged: bool) -> str:
    name = escape(visible(t.run.name))
    what = f"<br>{escape(t.run.ablations[:80])}" if t.run.ablations else ""
    if judged:
        return f"{name}: {t.right} of {t.judged} right{what}"
    return f"{name}: {_percent(t.share_same)} of {t.compared} texts as in the clean run{what}"
