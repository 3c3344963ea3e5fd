"""The features that matter most for the answer: estimated, then exactly, and switched off."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice, whole
from pages._parts.features.off import buttons, features_off
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.metric import metric
from pages._parts.pairs_form import Chosen, pairs_form
from pages._parts.refusals import refused_of_pairs
from pages._parts.sweep.views import BASELINES, agreement_metric, over_prompts, runs_metrics
from pages._parts.table import Rows, as_csv, rounded, table_of_sites, ticked
from pages._parts.text import decimal, plain, visible

KEY = "_feature_ranking"
"""Where a session keeps its ranking."""
_TABLE, _PROMOTED = "_ranked_features", 4


def for_the_answer(reading: state.Reading, sae: engine.Sae) -> None:
    """The whole view: what is asked, both ends, the features as a table and as a figure."""
    e = reading.experiment
    question, chosen, result = None, None, None
    with errors_shown():
        chosen = pairs_form(e)
        if chosen is not None:
            question = ranking_form(e, chosen, sae)
            if reading.whole:
                result = work.ask(KEY, question).result
    if question is None or chosen is None:
        return
    ranking_progress(result, question, chosen)
    if result is None or not result.clean.size:
        return
    _numbers(result)
    left, right = st.columns([1.15, 1], gap="medium")
    with left, errors_shown():
        _table(e, sae, result)
    with right:
        figure(
            result.figure(),
            f"features-{sae.name}-answer",
            csv=as_csv(result.table()),
            python=f"import switchboard as engine\n\n{chosen.python}\n"
            f"ranked = {question.to_python(pairs='task.pairs')}\n"
            "print(ranked.spliced.mean(), ranked.emptied.mean(), ranked.band)\n"
            "for row in ranked.table():\n    print(row)\n",
            key="features_answer",
        )
    st.caption(plain(" ".join((_explanation(result), *result.notes))))


def ranking_form(e: engine.Experiment, chosen: Chosen, sae: engine.Sae) -> engine.RankFeatures:
    """Draw the widgets. Returns: what the engine is asked. Raises: EngineError."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choice("On top of", "baseline", BASELINES)
        st.text_input(
            "Measured",
            key="features_exact",
            width=85,
            help="All features that are on are estimated; of so many, those with the greatest "
            "estimates, the exact effect is measured.",
        )
        st.text_input(
            "Random",
            key="random_features",
            width=85,
            help="How many others that are on are drawn and measured too: the grey band.",
        )
        st.text_input("Their seed", key="control_seed", width=90)
    numbers = (
        whole("features_exact", "Measured"),
        whole("random_features", "Random"),
        whole("control_seed", "Their seed"),
    )
    return engine.RankFeatures(asked_of(e), sae, chosen.task.pairs, *numbers)


def asked_of(e: engine.Experiment) -> engine.Experiment:
    """The experiment that pairs are asked of: with what is changed now, or the clean model, of
    which nothing is asked anew when features are switched."""
    own = replace(e, prompt="", corrupted="", answer="", distractor="")
    if st.session_state["baseline"] == "given":
        return own
    return replace(
        own, ablations=engine.Ablations(), changes=(), vectors=(), saes=(), references=()
    )


def ranking_progress(
    result: engine.FeatureRanking | None, question: engine.RankFeatures, chosen: Chosen
) -> None:
    """How far the ranking is, with a way to stop it and to go on."""
    told = None
    if result is not None:
        told = result.n_exact, len(result.features), result.seconds_left
    progress(KEY, told, question.e, chosen)


def progress(
    key: str,
    told: tuple[int, int, float | None] | None,
    e: engine.Experiment,
    chosen: Chosen,
    are: str = "exact",
) -> None:
    """The same of what is kept under a key: how many numbers `are` so, of how many, and the seconds
    left."""
    work.exact(key, told, lambda wrong: refused_of_pairs(wrong, e, chosen, key), are)


def _numbers(result: engine.FeatureRanking) -> None:
    """What the SAE carries: the runs as they are, without its error, and without its features."""
    known, name = result.clean == result.clean, engine.METRIC_NAMES[result.metric]
    if not known.any():
        return
    over = over_prompts(len(result.pairs))
    given = float(result.given[known].mean())
    with st.container(horizontal=True):
        runs = float(result.clean[known].mean()), given
        runs_metrics(name, over, runs, bool(result.experiment.every_change))
        for label, values, says in (
            ("Without the error", result.spliced, "What the SAE makes of the activation in its "
             "place: its error gone, all features kept"),
            ("Without the features", result.emptied, "All features 0, the error kept"),
        ):  # fmt: skip
            mean = float(values.mean())
            if mean == mean:
                metric(label, decimal(mean, 3), mean - given, 3, help=f"{says}; {over}")
        agreement = result.agreement
        agreement_metric(
            agreement,
            f"over the {agreement.n} features measured, random ones among them",
            "Of the others nothing is said.",
        )


def _table(e: engine.Experiment, sae: engine.Sae, result: engine.FeatureRanking) -> None:
    """The features measured and the error, to be ticked, and what can be done with those ticked."""
    rows = [row for row in result.table(0) if row["rank"]]
    named = [_feature(row) for row in rows]
    several = [one for one in named if one is not None]
    says = engine.feature_tokens(e.model, sae, several, _PROMOTED, view=f"{state.view()} promoted")
    off, many, shown = features_off(e, sae), len(result.pairs) > 1, Rows()
    for row, one in zip(rows, named, strict=True):
        line: dict[str, object] = {
            "node": row["node"] if one is not None else "the error",
            "off": one in off,
            "exact": rounded(row["exact"]),
        }
        if many:
            line["±"] = rounded(row["exact_std"])
        line["estimate"] = rounded(row["estimate"])
        if many:
            line["on in"] = "" if one is None else f"{row['share_on']:.0%}"
        line["at"] = row["at"]
        texts = () if one is None else says[one].top_texts
        line["promotes"] = "  ".join(visible(text) for text in texts)
        shown.append(line)
    table_of_sites(shown, _TABLE, height=min(560, 38 + 35 * len(shown)))
    chosen = [one for one in ticked(_TABLE, named) if one is not None]
    buttons(e, sae, chosen, "the ticked")


def _feature(row: dict[str, object]) -> engine.Feature | None:
    """The feature a row is of; None of the error."""
    sites = engine.parse_sites(str(row["node"])) if row["kind"] == "measured" else ()
    return next((site for site in sites if isinstance(site, engine.Feature)), None)


def _explanation(result: engine.FeatureRanking) -> str:
    """What the numbers are: sign, unit, over what, what stands beside them."""
    e, n = result.experiment, len(result.pairs)
    unit = "logits" if result.metric == "logit_diff" else "nats"
    text = (
        f"Each feature of “{result.sae.name}” switched off alone at {result.sae.site} (positions "
        f"{e.positions}), its error kept, over {n} prompt{'s' if n != 1 else ''}: the change of "
        f"the {engine.METRIC_NAMES[result.metric]}, in {unit}, below 0 where it helps the answer. "
        f"Estimates, −activation × gradient along its direction, are of all {result.n_active:,} "
        f"that are on; exact, of the {len(result.features)} with the greatest. The error is one "
        "node beside them."
    )
    if result.random:
        text += (
            f" The band: {len(result.random)} random features of the others that are on, least "
            "to greatest."
        )
    if e.every_change:
        text += f" The baseline is the run with {'; '.join(map(str, e.every_change))} changed."
    return f"{text} Features that act together, or stand in for each other, are not seen."
