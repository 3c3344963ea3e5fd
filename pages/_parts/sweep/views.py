"""The sweep as a page shows it: the work kept beside the page, its widgets, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

import engine
from pages._parts import state
from pages._parts.boxes import choice
from pages._parts.figure import figure
from pages._parts.following import AT_FIRST, Following
from pages._parts.pairs_form import Chosen
from pages._parts.table import as_csv
from pages._parts.text import plain, visible

BASELINES = {"clean": "the clean model", "given": "what is off now"}
PER = {"site": "everywhere", "position": "at each position"}
_MOST_ROWS = 100


@dataclass(frozen=True)
class Asked:
    """A sweep as it is asked for."""

    e: engine.Experiment
    pairs: tuple[engine.Pair, ...]
    per_position: bool

    def python(self, chosen: Chosen, printed: str) -> str:
        """Code that prints the rows of `printed`, an expression of `found`."""
        options = ", per_position=True" if self.per_position else ""
        return (
            f"import engine\n\ne = {self.e.to_python()}\n{chosen.python}\n"
            f"found = engine.sweep(e, task.pairs{options}, estimate=True)\n"
            f"for row in {printed}:\n    print(row)\n"
        )


def options(e: engine.Experiment, chosen: Chosen) -> Asked:
    """Draw the widgets. Returns: what the engine is asked."""
    ss = st.session_state
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choice("On top of", "baseline", BASELINES)
        choice("Each site is ablated", "per", PER)
        st.selectbox(
            "Metric",
            state.CHOICES["metric"],
            key="metric",
            format_func=engine.METRIC_NAMES.__getitem__,
            width=200,
            help="\n\n".join(
                f"**{engine.METRIC_NAMES[m]}**: {told}." for m, told in engine.METRICS.items()
            ),
        )
        st.selectbox(
            "Show",
            state.CHOICES["aspect"],
            key="aspect",
            format_func=engine.ASPECTS.__getitem__,
            width=210,
        )
    own = replace(e, prompt="", corrupted="", answer="", distractor="")
    if ss["baseline"] != "given":
        own = replace(own, ablations=engine.Ablations(), changes=())
    return Asked(own, chosen.task.pairs, ss["per"] == "position")


def kept(asked: Asked) -> Following:
    """The sweep of this question: the one that is there, or one begun now. Raises: EngineError."""
    ss = st.session_state
    found = ss.get("_sweep")
    if not isinstance(found, Following) or found.asked != asked:
        if isinstance(found, Following):
            found.cancel()
        ss["_sweep"] = None
        going = engine.sweeping(
            asked.e,
            asked.pairs,
            asked.per_position,
            estimate=True,
            at="answer",
            view=f"{state.view()} sweep",
        )
        found = ss["_sweep"] = Following(asked, going)
        found.follow(AT_FIRST)
    found.follow()
    return found


def is_going() -> bool:
    """Whether there is a sweep that still runs."""
    found = st.session_state.get("_sweep")
    return isinstance(found, Following) and found.going is not None


def progress(one: Following) -> None:
    """How far a sweep is, with a way to stop it; once it is over, how it ended."""
    if one.going is not None:
        share = min(1.0, one.going.progress)
        left = one.found.seconds_left if one.found is not None else None
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Stop", key="_stop_sweep", on_click=one.going.cancel, icon=":material/stop:")
            st.progress(share, f"{share:.0%}" + (f", {left:.0f} s left" if left else ""))
    elif one.failed:
        st.error(plain(one.failed))
    elif one.found is not None and not one.found.done:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Begin again", on_click=_forget, icon=":material/replay:")
            st.caption(f"Stopped at {one.found.progress:.0%}; what is not known is blank.")


def _forget() -> None:
    st.session_state["_sweep"] = None


def seen(found: engine.SweepResult) -> tuple[str, str]:
    """The metric and the aspect to be shown: those chosen, or what this sweep has instead."""
    ss = st.session_state
    metric = ss["metric"] if ss["metric"] in found.metrics else found.metric
    aspect = ss["aspect"]
    if aspect == "estimate":
        return (found.estimate.metric, aspect) if found.estimate else (metric, "change")
    return metric, aspect


def tint(found: engine.SweepResult) -> engine.SiteGrid:
    """What the switches are tinted by: estimates where nothing exact is known yet."""
    metric, aspect = seen(found)
    grid = found.grid(metric, aspect)
    if aspect != "change" or found.estimate is None or found.estimate.metric != metric:
        return grid
    return grid.filled(found.grid(metric, "estimate"))


def summary(found: engine.SweepResult, together: engine.TaskScore | None) -> None:
    """The baseline, how far the estimate can be trusted, and what all that is off does together."""
    metric, _ = seen(found)
    name = engine.METRIC_NAMES[metric]
    n = len(found.pairs)
    over = f"mean of {n:,} prompts" if n > 1 else "this prompt"
    clean, given = (float(found.mean(of, metric)) for of in ("clean", "given"))
    with st.container(horizontal=True):
        st.metric(
            f"Clean {name}",
            f"{clean:.3f}",
            help=f"{engine.METRICS[metric]}; {over}",
            width="content",
        )
        if found.experiment.every_change:
            st.metric(f"Baseline {name}", f"{given:.3f}", f"{given - clean:+.3f}", width="content")
        elif together is not None and together.ablated is not None:
            mean, whole = together.ablated.mean_logit_diff, together.clean.mean_logit_diff
            if mean is not None and whole is not None:
                st.metric(
                    "All that is off, together",
                    f"{mean:.3f}",
                    f"{mean - whole:+.3f}",
                    help="Mean logit difference with every site that is off ablated at once",
                    width="content",
                )
        if (agreement := found.agreement) is not None and agreement.n > 2:
            st.metric(
                "Estimate against exact, r",
                f"{agreement.pearson:.2f}",
                help=f"Pearson's correlation over {agreement.n} sites; Spearman's "
                f"{agreement.spearman:.2f}. The estimate is first order: attribution patching.",
                width="content",
            )


def together(
    e: engine.Experiment, found: engine.SweepResult, chosen: Chosen
) -> engine.TaskScore | None:
    """How the task fares with all that is off, at once; None where nothing is, or the sweep is on
    top of it, or still runs."""
    if not e.every_change or found.experiment.every_change or not found.done:
        return None
    ss, asked = st.session_state, (found.experiment, e.every_change, chosen.task)
    if ss.get("_together_of") != asked:
        own = replace(found.experiment, ablations=e.ablations, changes=e.changes)
        ss["_together"] = engine.score_task(e.model, chosen.task, own, view=f"{state.view()} task")
        ss["_together_of"] = asked
    together: engine.TaskScore = ss["_together"]
    return together


def told(found: engine.SweepResult) -> str:
    """What the numbers are: sign, method, what was averaged over, how many prompts."""
    e, n, wrong = found.experiment, len(found.pairs), len(found.wrong)
    text = (
        f"Each head and MLP ablated alone ({e.method}, positions {e.positions}), {n} "
        f"prompt{'s' if n != 1 else ''}. Change is ablated − baseline: where a site helps the "
        "answer, it falls (rank and divergence rise)."
    )
    if found.references:
        text += f" Averages are over {len(found.references)} reference prompts."
    if e.ablations:
        text += f" The baseline is the run without {e.ablations}."
    if e.changes:
        text += f" The baseline is changed: {'; '.join(map(str, e.changes))}."
    if wrong:
        text += f" The model gets {wrong} of the prompts wrong clean."
    return text


def sites(found: engine.SweepResult) -> None:
    """The sites that change most, with their numbers."""
    metric, _ = seen(found)
    guess = found.estimate is not None and found.estimate.metric == metric
    shown = []
    for row in engine.sweep_table(found, by=metric, most=_MOST_ROWS):
        if row[f"{metric}_change"] == "":
            continue
        line: dict[str, object] = {"site": row["site"]}
        if "position" in row:
            line["at"] = f"{row['position']} {visible(str(row['piece']))}"
        numbers = {"change": "_change", engine.METRIC_NAMES[metric]: "", "±": "_std"}
        if guess:
            numbers["estimate"] = "_estimated_change"
        line |= {name: _rounded(row[f"{metric}{end}"]) for name, end in numbers.items()}
        shown.append(line)
    if shown:
        st.dataframe(shown, hide_index=True, height=min(420, 38 + 35 * len(shown)))


def _rounded(value: object) -> float | None:
    return round(value, 4) if isinstance(value, float) else None


def picture(found: engine.SweepResult, asked: Asked, chosen: Chosen) -> None:
    """The sweep as a figure with its downloads."""
    metric, aspect = seen(found)
    drawn = (
        engine.draw_sweep_positions(found, metric, aspect)
        if found.positions is not None
        else engine.draw_sweep(found, metric, aspect)
    )
    figure(
        drawn,
        "sweep",
        csv=as_csv(engine.sweep_table(found)),
        python=asked.python(chosen, "engine.sweep_table(found)"),
        key="sweep_figure",
    )
