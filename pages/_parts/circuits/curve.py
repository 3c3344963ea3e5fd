"""A ranking cut into circuits of every size, as a page shows it: how much of the answer each keeps,
drawn as it comes, with circuits of the library as points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice, whole
from pages._parts.circuits import library as shelf
from pages._parts.circuits import ranking
from pages._parts.circuits.now import on_now
from pages._parts.corrupted import twins
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure
from pages._parts.layout import beside_switches
from pages._parts.pairs_form import Chosen
from pages._parts.switches import not_known, switches
from pages._parts.table import Rows, as_csv, show_rows
from pages._parts.text import decimal, plain, signed

KEY = "_curve"
"""Where a session keeps the curve; its points behind it."""
ORDERS = {"magnitude": "by size", "signed": "most helpful first"}


@dataclass(frozen=True)
class _Asked:
    """The curve that is asked for, the circuits beside it, and the Python of the ranking."""

    curve: engine.FaithfulnessCurves
    points: tuple[engine.FaithfulnessCurves, ...]
    circuits: tuple[engine.Circuit, ...]
    python: str


def curve(reading: state.Reading, chosen: Chosen) -> None:
    """The whole view. Raises: EngineError."""
    e, shape, asked, result = reading.experiment, model_shape(), None, None
    given = None
    if st.session_state["over"] != "prompt" or twins(e, "The curve lies"):
        given = _options(reading, chosen)
    points: list[engine.FaithfulnessCurve] = []
    if given is not None:
        asked = _asked(given, chosen)
        result = work.ask(KEY, asked.curve).result
        if work.is_over(KEY):
            points = _points(asked)
    left, right = beside_switches(shape.n_heads)
    with left:
        tint = not_known(shape) if given is None else given.ranked.grid(shape)
        switches(e.ablations, shape, tint)
        on_now(reading, chosen)
    if asked is None:
        return
    with right:
        _progress(result)
        if result is not None:
            _numbers(result)
            _drawn(result, points, asked, chosen)
            _told(result, chosen, reading.experiment)
    if result is not None:
        _table(result, points)


def _options(reading: state.Reading, chosen: Chosen) -> ranking.Given | None:
    """Draw the widgets. Returns: the ranking, None while it is not there."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        ranking.choose()
        choice("First", "curve_order", ORDERS)
        st.text_input(
            "Random rankings",
            key="n_random",
            width=125,
            help="How many random orders of the same nodes or edges stand beside it.",
        )
        st.text_input("Their seed", key="control_seed", width=90)
    if not reading.whole:
        return None
    return ranking.given(reading.experiment, chosen)


def _asked(given: ranking.Given, chosen: Chosen) -> _Asked:
    """Draw which circuits are points. Returns: all that is asked. Raises: EngineError."""
    controls = whole("n_random", "Random rankings"), whole("control_seed", "Their seed")
    by = st.session_state["curve_order"]
    task = replace(chosen.task, notes=())
    question = engine.FaithfulnessCurves(given.ranked, task, by, *controls)
    some = _circuits(chosen.model) if given.ranked.level == "nodes" else []
    points = tuple(
        engine.FaithfulnessCurves(
            replace(engine.rank_members(one), model=chosen.model), task, "magnitude", *controls
        )
        for one in some
    )
    return _Asked(question, points, tuple(some), given.python)


def _circuits(model: str) -> list[engine.Circuit]:
    """Draw which circuits of the library are points. Returns: them."""
    shape, every = model_shape(), shelf.library().every
    of_it = {n: c for n, c in every.items() if c.model == model and not shelf.why_not(c, shape)}
    if not of_it:
        return []
    named = st.session_state["curve_points"].split("\n")
    st.session_state["_curve_points"] = [name for name in named if name in of_it]
    st.pills(
        "Circuits as points",
        list(of_it),
        selection_mode="multi",
        key="_curve_points",
        on_change=_on_points,
        format_func=lambda name: f"{name} · {shelf.size(of_it[name])}",
    )
    return [of_it[name] for name in st.session_state["_curve_points"]]


def _on_points() -> None:
    st.session_state["curve_points"] = "\n".join(st.session_state["_curve_points"])


def _points(asked: _Asked) -> list[engine.FaithfulnessCurve]:
    """The circuits whose faithfulness is known by now; one is asked after the other."""
    result: list[engine.FaithfulnessCurve] = []
    for i, question in enumerate(asked.points):
        key = f"{KEY} {i}"
        one = work.ask(key, question)
        if one.result is not None:
            result.append(one.result)
        work.progress(key, first=question.ranked.name)
        if not work.is_over(key):
            break
    return result


def _progress(result: engine.FaithfulnessCurve | None) -> None:
    known = "" if result is None else f"{_known(result)} of {len(result.sizes)} sizes"
    left = work.seconds_left(KEY)
    work.progress(
        KEY,
        ", ".join(filter(None, (known, f"{left:.0f} s left" if left else ""))),
        first="Curve",
        again="Go on",
        stopped=f"Stopped: {known} are known." if known else "Stopped before anything was known.",
        anew=work.go_on,
    )


def _known(result: engine.FaithfulnessCurve) -> int:
    return sum(value == value for value in result.faithfulness.tolist())


def _numbers(result: engine.FaithfulnessCurve) -> None:
    """Both areas beside those of random rankings, and both ends."""
    name = engine.METRIC_NAMES[result.metric]
    with st.container(horizontal=True):
        for label, of, value, says in (
            ("CPR", "cpr", result.cpr(), "The area under the curve: greater is better."),
            ("CMD", "cmd", result.cmd(), "The area between the curve and 1: less is better."),
        ):
            random = result.control_areas(of)
            random = random[random == random]
            beside = f"random {random.mean():.3f} ± {random.std():.3f}" if len(random) else None
            st.metric(
                label,
                decimal(value, 3) if value == value else "–",
                beside,
                delta_color="off",
                delta_arrow="off",
                help=f"{says} Sizes from .1 to 100%, by trapezoids (MIB); beside it the mean of "
                f"{len(random)} random rankings, ± their standard deviation.",
                width="content",
            )
        for run, values in (("Whole model", result.clean), ("Nothing kept", result.corrupted)):
            st.metric(
                run, signed(float(values.mean())), help=f"Mean {name} of {result.n} pairs.",
                width="content",
            )  # fmt: skip


def _told(result: engine.FaithfulnessCurve, chosen: Chosen, e: engine.Experiment) -> None:
    """What the numbers are: what is kept, what becomes of all else, n, and what is not shown."""
    n, level = result.n, result.ranked.level
    sentences = [
        f"Faithfulness is the share of what corrupting takes away, (kept − nothing kept) / (whole "
        f"model − nothing kept), of means over {n} pair{'' if n == 1 else 's'} of "
        f"“{chosen.task.name}”: 1 is all, 0 none.",
        f"Kept are the first of {result.n_members:,} {level}; everything else is as in the "
        "corrupted run.",
        "The band is random rankings, least to greatest."
        if len(result.controls)
        else "No random rankings were asked for: others might do as well.",
    ]
    if e.every_change:
        sentences.append("It is of the clean model: what is switched off is not in it.")
    st.caption(plain(" ".join((*sentences, *result.notes))))


def _drawn(
    result: engine.FaithfulnessCurve,
    points: Sequence[engine.FaithfulnessCurve],
    asked: _Asked,
    chosen: Chosen,
) -> None:
    """The curve with its points, and what is to be taken away."""
    circuits = "".join(f"    {one.to_python()},\n" for one in asked.circuits)
    figure(
        engine.faithfulness_figure([result, *points]),
        "faithfulness",
        csv=as_csv(_rows(result, points)),
        key="curve_figure",
        python=f"import switchboard as engine\n\n{chosen.python}\n{asked.python}\n"
        f"curve = {asked.curve.to_python(ranked='ranked', task='task')}\n"
        f"circuits = [\n{circuits}]\n"
        "points = [engine.faithfulness_curve(engine.rank_members(c), task) for c in circuits]\n"
        "print(curve.cpr(), curve.cmd(), curve.control_areas())\n"
        "for one in [curve, *points]:\n    for row in one.table():\n        print(row)\n",
    )


def _table(result: engine.FaithfulnessCurve, points: Sequence[engine.FaithfulnessCurve]) -> None:
    """Every size's numbers, and the ranking as a file."""
    show_rows([_shown(row) for row in _rows(result, points)])
    st.download_button(
        "Ranking as MIB JSON",
        lambda: engine.write_mib(result.ranked),
        "graph.json",
        "application/json",
        on_click="ignore",
        icon=":material/download:",
        help="The scores as EAP-IG's Graph.from_json and the MIB benchmark read them.",
    )


def _rows(result: engine.FaithfulnessCurve, points: Sequence[engine.FaithfulnessCurve]) -> Rows:
    return [row for one in (result, *points) for row in one.table()]


def _shown(row: dict[str, object]) -> dict[str, object]:
    """A row as a table shows it."""

    def rounded(name: str) -> object:
        return round(value, 4) if isinstance(value := row[name], float) else None

    return {
        "ranking": row["ranking"],
        "share": f"{100 * float(str(row['share'])):.3g}%",
        "size": row["size"],
        "edges": row["edges"],
        "faithfulness": rounded("faithfulness"),
        "±": rounded("spread"),
        "random": rounded("random"),
        "random, least": rounded("random_least"),
        "greatest": rounded("random_greatest"),
    }
