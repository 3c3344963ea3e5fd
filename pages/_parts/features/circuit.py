"""How few features keep a task: the curve, the smallest circuit, and buttons that make it so."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice, count_in, whole
from pages._parts.features import answer
from pages._parts.features.off import AT_0, buttons, own_changes
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.pairs_form import Chosen, pairs_form
from pages._parts.table import Rows, as_csv, rounded, show_rows
from pages._parts.text import plain, signed, visible

KEY = "_feature_curve"
"""Where a session keeps its curve."""
ORDERS = {
    "exact": "by exact effect",
    "magnitude": "by estimate",
    "signed": "most helpful first",
}
OTHERS = {"mean": "their mean", "zero": "0"}
ERRORS = {"kept": "stays", "zero": "goes"}
_MOST_LISTED, _PROMOTED = 40, 4


def circuit(reading: state.Reading, sae: engine.Sae) -> None:
    """The whole view: what is asked, the curve, and the circuit chosen with its features."""
    e = reading.experiment
    chosen, question, result = None, None, None
    with errors_shown():
        chosen = pairs_form(e)
        if chosen is not None:
            question = _form(reading, chosen, sae)
            if question is not None:
                result = work.ask(KEY, question).result
    if question is None or chosen is None:
        return
    _progress(result, question, chosen)
    if result is None or not result.n_known:
        return
    left, right = st.columns([1.4, 1], gap="medium")
    with left:
        _drawn(result, question, chosen, sae)
    with right, errors_shown():
        _circuit(e, sae, result)
    st.caption(plain(" ".join((_explanation(result), *result.notes))))
    show_rows([_shown(row) for row in result.table()])


def _form(reading: state.Reading, chosen: Chosen, sae: engine.Sae) -> engine.CutFeatures | None:
    """Draw the widgets. Returns: what the engine is asked; None while the order is not there."""
    ranking = answer.ranking_form(reading.experiment, chosen, sae)
    alone = len(chosen.task.pairs) == 1
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choice(
            "First come features",
            "feature_order",
            ORDERS,
            help="By exact effect: those measured, by its size, and the others behind them by the "
            "size of their estimates. Most helpful: estimates farthest below 0.",
        )
        if not alone:
            choice("All others become", "other_features", OTHERS)
        choice("The error", "sae_error", ERRORS)
        st.text_input("Random orders", key="n_random", width=110)
    if not reading.whole:
        return None
    order, first = st.session_state["feature_order"], ()
    if order == "exact":
        ranked = work.ask(answer.KEY, ranking)
        if not ranked.answered:
            answer.ranking_progress(ranked.result, ranking, chosen)
            return None
        first = ranked.result.order[: len(ranked.result.features)]
    return engine.CutFeatures(
        ranking.e,
        sae,
        ranking.pairs,
        first,
        "signed" if order == "signed" else "magnitude",
        "zero" if alone else st.session_state["other_features"],
        st.session_state["sae_error"],
        whole("n_random", "Random orders"),
        ranking.seed,
    )


def _progress(
    result: engine.FeatureCurve | None, question: engine.CutFeatures, chosen: Chosen
) -> None:
    told = None
    if result is not None:
        told = result.n_known, len(result.sizes), result.seconds_left
    answer.progress(KEY, told, question.e, chosen, "sizes known")


def _drawn(
    result: engine.FeatureCurve,
    question: engine.CutFeatures,
    chosen: Chosen,
    sae: engine.Sae,
) -> None:
    figure(
        result.figure(),
        f"features-{sae.name}-circuit",
        csv=as_csv(result.table()),
        python=f"import switchboard as engine\n\n{chosen.python}\n"
        f"curve = {question.to_python(pairs='task.pairs')}\n"
        "print(curve.smallest(), curve.smallest_random(), len(curve.order))\n"
        "for row in curve.table():\n    print(row)\n",
        key="features_circuit",
    )


def _circuit(e: engine.Experiment, sae: engine.Sae, result: engine.FeatureCurve) -> None:
    """The smallest circuit, both ends, and a circuit of a size with its features."""
    smallest, random = result.smallest(), result.smallest_random()
    over = f"mean {engine.METRIC_NAMES[result.metric]} of {len(result.pairs)} prompts"
    with st.container(horizontal=True):
        st.metric(
            "Keep 80%",
            "–" if smallest is None else f"{smallest:,}",
            None if random is None else f"random orders {random:,}",
            delta_color="off",
            delta_arrow="off",
            help="The smallest size whose features alone keep 80% of what all carry, sought by "
            "halving between sizes tried: exact where each feature more keeps more. Beside it that "
            "of random orders, on average, of the sizes tried of them.",
            width="content",
        )
        for label, values in (("All features", result.whole), ("None of them", result.none)):
            st.metric(label, signed(float(values.mean())), help=over, width="content")
    st.text_input(
        "Features of the circuit",
        key="circuit_features",
        placeholder=str(smallest or len(result.order)),
        width=160,
        help="How many, the first of the order; empty, the smallest that keep 80%.",
    )
    size = count_in("circuit_features") or smallest or len(result.order)
    size = min(size, len(result.order))
    features = result.features(size)
    if size in result.sizes:
        i = result.sizes.index(size)
        kept, left = float(result.faithfulness[i]), float(result.completeness[i])
        if kept == kept and left == left:
            st.caption(
                plain(
                    f"{size:,} of {len(result.order):,} features: alone they keep {kept:.0%}, and "
                    f"without them {left:.0%} is left."
                )
            )
    if result.done or count_in("circuit_features"):
        which = f"these {size:,}" if size > 1 else "this one"
        becomes, references, why = _as_measured(e, sae, result)
        buttons(e, sae, features, which, becomes, references)
        st.caption(plain(why))
    else:
        st.caption("Buttons come with the whole curve: until then the smallest size may change.")
    says = engine.feature_tokens(
        e.model, sae, features[:_MOST_LISTED], _PROMOTED, view=f"{state.view()} promoted"
    )
    rows: Rows = [
        {"feature": str(one), "promotes": "  ".join(visible(text) for text in tokens.top_texts)}
        for one, tokens in says.items()
    ]
    show_rows(rows, 250)
    if size > _MOST_LISTED:
        st.caption(f"The first {_MOST_LISTED} of {size:,}.")


def _as_measured(
    e: engine.Experiment, sae: engine.Sae, result: engine.FeatureCurve
) -> tuple[engine.Method, tuple[str, ...], str]:
    """What the buttons set features to: what the curve did, with the references it takes, where an
    experiment can; else 0. And what is to be said of it."""
    becomes, why = result.becomes, result.why
    prompts = tuple(pair.prompt for pair in result.pairs)
    own = own_changes(e, sae)
    others = [one for one in e.every_change if one not in own]
    beside = ""
    if others and not result.experiment.every_change:
        beside = " What else is changed here stays changed, and is not in the curve."
    if becomes == AT_0:
        return AT_0, (), f"The buttons do the same to the prompt above: features become 0.{beside}"
    if becomes is not None:
        why = _unfit(e, others, becomes, prompts)
    if becomes is None or why:
        return AT_0, (), (
            f"The buttons set features to 0, which is not what the curve measured: {why}."
        )  # fmt: skip
    return becomes, prompts, (
        "The buttons do the same to the prompt above: features become their mean over these "
        f"{len(prompts):,} prompts, which are then the references in the link.{beside}"
    )  # fmt: skip


def _unfit(
    e: engine.Experiment,
    others: list[engine.Change],
    becomes: engine.Method,
    prompts: tuple[str, ...],
) -> str:
    """Why the prompt above cannot have features at their mean over these prompts; empty where it
    can. `others`: what else is changed."""
    averages = any(one.becomes.kind.takes == "references" for one in others)
    if e.references and e.references != prompts and averages:
        return "the experiment has other references, and averages over them elsewhere"
    if becomes.kind.by_position:
        n, meant = (
            len(engine.tokenize(e.model, text, e.prepend_bos)) for text in (e.prompt, prompts[0])
        )
        if n != meant:
            return f"the prompt above has {n} tokens, and the {meant} of the pairs each their mean"
    return ""


def _explanation(result: engine.FeatureCurve) -> str:
    """What the numbers are: what is kept, what becomes of all else, over what."""
    n, (_, others, error, controls, *_) = len(result.pairs), result.asked
    become = "0" if others == "zero" else "their mean over the prompts"
    sentences = [
        f"The first features of “{result.sae.name}” at {result.sae.site} kept alone: all others "
        f"that are on become {become}, the SAE's error {'stays' if error == 'kept' else 'goes'}.",
        f"Shares are (kept − none kept) / (all − none kept) of the "
        f"{engine.METRIC_NAMES[result.metric]}, means over {n} prompt{'' if n == 1 else 's'}; "
        "switched off, the same with these features become so and the others as they are.",
    ]
    sentences.append(
        f"The band: {controls} random orders of the same features."
        if controls
        else "No random orders were asked for: others might do as well."
    )
    return " ".join(sentences)


def _shown(row: dict[str, object]) -> dict[str, object]:
    """A row as a table shows it."""
    names = {
        "faithfulness": "kept alone", "spread": "±", "completeness": "switched off",
        "random": "random", "random_least": "random, least", "random_greatest": "greatest",
    }  # fmt: skip
    shown: dict[str, object] = {"size": row["size"], "last": row["last"]}
    return shown | {told: rounded(row[name]) for name, told in names.items()}
