"""The sweep as a page shows it: the work kept beside the page, its widgets, and what was found."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

import engine
from pages._parts import work
from pages._parts.boxes import choice
from pages._parts.figure import figure
from pages._parts.metric import metric
from pages._parts.pairs_form import Chosen
from pages._parts.refusals import refused_of_pairs
from pages._parts.sweep.fields import ASPECT, METRIC
from pages._parts.table import Rows, as_csv, rounded, table_of_sites, ticked
from pages._parts.text import decimal

KEY = "_sweep"
"""Where a session keeps its sweep."""
_TOGETHER = "_together"
BASELINES = {"clean": "the clean model", "given": "what is off now"}
PER = {"site": "everywhere", "position": "at each position"}
_MOST_ROWS, _TABLE = 100, "swept_sites"


def options(e: engine.Experiment, chosen: Chosen) -> engine.Sweep:
    """Draw the widgets. Returns: what the engine is asked."""
    ss = st.session_state
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choice("On top of", "baseline", BASELINES)
        choice("Each site is ablated", "per", PER)
        st.selectbox(
            "Metric",
            METRIC.values,
            key="metric",
            format_func=engine.METRIC_NAMES.__getitem__,
            width=200,
            help="\n\n".join(
                f"**{engine.METRIC_NAMES[m]}**: {definition}."
                for m, definition in engine.METRICS.items()
            ),
        )
        st.selectbox(
            "Show",
            ASPECT.values,
            key="aspect",
            format_func=engine.ASPECTS.__getitem__,
            width=210,
        )
    own = replace(e, prompt="", corrupted="", answer="", distractor="")
    if ss["baseline"] != "given":
        own = replace(own, ablations=engine.Ablations(), changes=())
    per_position = ss["per"] == "position"
    return engine.Sweep(own, chosen.task.pairs, per_position, estimate=True, at="answer")


def progress(result: engine.SweepResult | None, question: engine.Sweep, chosen: Chosen) -> None:
    """How far the sweep is, with a way to stop it; once it is over, how it ended."""
    work.exact(
        KEY,
        None if result is None else (result.n_done, len(result.sites), result.seconds_left),
        lambda wrong: refused_of_pairs(wrong, question.e, chosen, KEY),
    )


def seen(result: engine.SweepResult) -> tuple[str, str]:
    """The metric and the aspect to be shown: those chosen, or what this sweep has instead."""
    ss = st.session_state
    metric = ss["metric"] if ss["metric"] in result.metrics else result.metric
    aspect = ss["aspect"]
    if aspect == "estimate":
        return (result.estimate.metric, aspect) if result.estimate else (metric, "change")
    return metric, aspect


def tint(result: engine.SweepResult) -> engine.SiteGrid:
    """What the switches are tinted by: estimates where nothing exact is known yet."""
    metric, aspect = seen(result)
    grid = result.grid(metric, aspect)
    if aspect != "change" or result.estimate is None or result.estimate.metric != metric:
        return grid
    return grid.filled(result.grid(metric, "estimate"))


def summary(result: engine.SweepResult, together: engine.TaskScore | None) -> None:
    """The baseline, how far the estimate can be trusted, and what all that is off does together."""
    metric, _ = seen(result)
    runs = float(result.mean("clean", metric)), float(result.mean("given", metric))
    over = f"{engine.METRICS[metric]}; {over_prompts(len(result.pairs))}"
    agreement = result.agreement
    with st.container(horizontal=True):
        runs_metrics(engine.METRIC_NAMES[metric], over, runs, bool(result.experiment.every_change))
        together_metric(together)
        if agreement is not None:
            agreement_metric(
                agreement,
                f"over {agreement.n} sites",
                "The estimate is first order: attribution patching.",
            )


def over_prompts(n: int) -> str:
    """What a number is the mean of."""
    return f"mean of {n:,} prompts" if n > 1 else "this prompt"


def runs_metrics(name: str, over: str, runs: tuple[float, float], changed: bool) -> None:
    """Draw a metric of the clean run, and, where that is `changed`, of what rows set out from."""
    clean, given = runs
    st.metric(f"Clean {name}", decimal(clean, 3), help=over, width="content")
    if changed:
        metric(f"Baseline {name}", decimal(given, 3), given - clean, 3)


def together_metric(score: engine.TaskScore | None) -> None:
    """Draw the logit difference with all that is off, where it is known."""
    if score is None or score.ablated is None:
        return
    mean, whole = score.ablated.mean_logit_diff, score.clean.mean_logit_diff
    if mean is not None and whole is not None:
        metric(
            "All that is off, together",
            decimal(mean, 3),
            mean - whole,
            3,
            help="Mean logit difference with every site that is off ablated at once",
        )


def agreement_metric(agreement: engine.Agreement, over: str, says: str) -> None:
    """Draw how estimates go with exact effects, where there are enough; `says` what of."""
    if agreement.n > 2:
        st.metric(
            "Estimate against exact, r",
            decimal(agreement.pearson),
            help=f"Pearson's correlation {over}; Spearman's {decimal(agreement.spearman)}. {says}",
            width="content",
        )


def together(
    e: engine.Experiment, result: engine.SweepResult | engine.NeuronRanking, chosen: Chosen
) -> engine.TaskScore | None:
    """How the task fares with all that is off, at once; None where nothing is, or what is asked is
    on top of it, or still runs."""
    if not e.every_change or result.experiment.every_change or not result.done:
        return None
    own = replace(result.experiment, ablations=e.ablations, changes=e.changes)
    together: engine.TaskScore | None = work.ask(
        _TOGETHER, engine.ScoreTask(e.model, chosen.task, own)
    ).result
    work.progress(
        _TOGETHER,
        "all that is off, together",
        refused=lambda wrong: refused_of_pairs(wrong, own, chosen, _TOGETHER),
    )
    return together


def explanation(result: engine.SweepResult) -> str:
    """What the numbers are: sign, method, what was averaged over, how many prompts."""
    e, n, wrong = result.experiment, len(result.pairs), len(result.wrong)
    text = (
        f"Each head and MLP ablated alone ({e.method}, positions {e.positions}), {n} "
        f"prompt{'s' if n != 1 else ''}. Change is ablated − baseline: where a site helps the "
        "answer, it falls (rank and divergence rise)."
    )
    if result.references:
        text += f" Averages are over {len(result.references)} reference prompts."
    shown = tint(result)
    if shown.inexact:
        text += (
            f" {len(shown.sites) - len(shown.inexact):,} of {len(result.sites):,} are exact; "
            "hatched is an estimate."
        )
    if e.ablations:
        text += f" The baseline is the run without {e.ablations}."
    if e.changes:
        text += f" The baseline is changed: {'; '.join(map(str, e.changes))}."
    if wrong:
        text += f" The model gets {wrong} of the prompts wrong clean."
    return text


def most_changed(result: engine.SweepResult) -> Rows:
    """The rows of the sites (and positions) that change most, of those known."""
    metric, _ = seen(result)
    known = result.table(by=metric, most=_MOST_ROWS)
    return [row for row in known if row[f"{metric}_change"] != ""]


def ticked_sites(rows: Rows) -> list[engine.Site]:
    """The sites that are ticked in the table of these rows."""
    return ticked(_TABLE, [engine.parse_sites(row["site"])[0] for row in rows])


def sites(result: engine.SweepResult, rows: Rows) -> None:
    """The sites that change most, with their numbers, to be ticked."""
    metric, _ = seen(result)
    guess = result.estimate is not None and result.estimate.metric == metric
    shown: Rows = []
    for row in rows:
        line: dict[str, object] = {"site": row["site"]}
        if "position" in row:
            p = int(str(row["position"]))
            line["at"] = f"{p} {''.join(result.read[p : p + 1])}"
        numbers = {"change": "_change", engine.METRIC_NAMES[metric]: "", "±": "_std"}
        if guess:
            numbers["estimate"] = "_estimated_change"
        line |= {name: rounded(row[f"{metric}{end}"]) for name, end in numbers.items()}
        shown.append(line)
    if shown:
        table_of_sites(shown, _TABLE, height=min(420, 38 + 35 * len(shown)))


def picture(result: engine.SweepResult, question: engine.Sweep, chosen: Chosen) -> None:
    """The sweep as a figure with its downloads."""
    metric, aspect = seen(result)
    drawn = (
        result.positions_figure(metric, aspect)
        if result.positions is not None
        else result.figure(metric, aspect)
    )
    figure(
        drawn,
        "sweep",
        csv=as_csv(result.table()),
        python=f"import switchboard as engine\n\n{chosen.python}\n"
        f"result = {question.to_python(pairs='task.pairs')}\n"
        "for row in result.table():\n    print(row)\n",
        key="sweep_figure",
    )
