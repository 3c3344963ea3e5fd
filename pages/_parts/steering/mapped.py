"""The map: what a direction brings and costs at layers and coefficients, and the best of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import number, whole, written
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.pairs_form import Chosen, pairs_form
from pages._parts.steering.using import steer_by
from pages._parts.table import as_csv
from pages._parts.text import plain, signed

MAP, BEST = "_steering_map", "_best_coefficient"
_PYTHON = """import switchboard as engine

{task}
result = {question}
for row in result.table():
    print(row)
"""


def mapped(reading: state.Reading, direction: engine.Direction) -> None:
    """The whole view: the prompts, what is asked, the map with its cost, and the best."""
    e, chosen, question, limit = reading.experiment, None, None, 0.0
    with errors_shown():
        chosen = pairs_form(e)
        if chosen is not None:
            question, limit = _options(e, chosen, direction.name)
    if question is None or chosen is None or not reading.whole:
        return
    result = None
    with errors_shown():
        asked = work.ask(MAP, question)
        result = asked.result
    left = work.seconds_left(MAP)
    work.progress(
        MAP,
        f"{left:.0f} s left" if left else "the direction, then random ones",
        again="Go on",
        anew=work.go_on,
    )
    if result is None:
        return
    if e.every_change:
        st.caption("Of the model with nothing changed: what is changed now is left out here.")
    figure(
        result.figure(limit),
        "steering",
        csv=as_csv(result.table()) if result.done else "",
        key="steering_figure",
        python=_PYTHON.format(task=chosen.python, question=question.to_python(pairs="task.pairs")),
    )
    st.caption(plain(" ".join((_explanation(result, limit), *result.notes))))
    if result.done:
        with errors_shown():
            _best(question, result, limit, chosen)


def _options(e: engine.Experiment, chosen: Chosen, name: str) -> tuple[engine.SteeringMap, float]:
    """Draw the widgets. Returns: what the engine is asked, and the damage that is allowed."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.text_input("Coefficients", key="steer_coefficients", width=240)
        st.text_input(
            "Layers",
            key="steer_layers",
            placeholder="all",
            width=110,
            help="As in 0 4 8; where none is written all, of a deep model twelve of them.",
        )
        st.text_input("Random directions", key="steer_draws", width=130)
        st.text_input("Their seed", key="steer_seed", width=90)
        st.text_input(
            "KL allowed",
            key="steer_kl",
            width=95,
            help="How far neutral text may be changed, in nats a token, for what is named the "
            "best.",
        )
    own = replace(
        e.clean, positions=e.positions, prompt="", corrupted="", answer="", distractor="",
        references=(),
    )  # fmt: skip
    question = engine.SteeringMap(
        own,
        name,
        chosen.task.pairs,
        tuple(_numbers("steer_layers", "Layers", int)),
        tuple(_numbers("steer_coefficients", "Coefficients", float)),
        whole("steer_draws", "Random directions"),
        whole("steer_seed", "Their seed"),
    )
    return question, number("steer_kl", "KL allowed")


def _share(x: float) -> str:
    """A share of some prompts."""
    return f"{x:.0%}"


def _numbers(key: str, label: str, kind: type) -> list:
    """The numbers in a box, with spaces or commas between. Raises: EngineError for what is none."""
    result = []
    for word in written(key).replace(",", " ").replace("−", "-").split():
        try:
            result.append(kind(word))
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise engine.EngineError(f"{label}: “{word[:20]}” is not {what}.") from None
    return result


def _explanation(result: engine.SteeringResult, limit: float) -> str:
    """What the numbers are: sign, unit, over what, and what they do not show."""
    n, t = len(result.pairs), sum(result.n_tokens)
    text = (
        f"Left the change of the {engine.METRIC_NAMES[result.metric]} of the wanted answer, mean "
        f"of {n} prompt{'' if n == 1 else 's'}; blue brings it nearer. Clean it is "
        f"{signed(result.clean('score'))}. Right what that costs: KL(clean ‖ steered) over {t} "
        f"tokens of neutral text, which is changed at every token. Below, the same of random "
        f"directions as long: what they do too is not this direction's doing."
    )
    if result.n_draws < 19:
        text += f" {result.n_draws} of them are a hint; for a verdict take 19 or more."
    best = result.best(limit)
    if result.done and best is None:
        text += f" Nothing within KL {limit:g} brings the answer nearer."
    elif best is not None:
        text += f" Framed: the best cell within KL {limit:g}, × {best[1]:g}".replace("-", "−")
        text += f" at r{best[0]}."
    return text


def _best(
    question: engine.SteeringMap, result: engine.SteeringResult, limit: float, chosen: Chosen
) -> None:
    """The best coefficient at the best layer, searched, with what it moves and costs."""
    cell = result.best(limit)
    known = result.shown("change")
    layer = cell[0] if cell else result.layers[int(np.nanargmax(known.max(1)))]
    asked = engine.BestCoefficient(
        question.e, question.name, question.pairs, layer, limit, controls=question.controls,
        seed=question.seed,
    )  # fmt: skip
    found = work.ask(BEST, asked).result
    st.subheader(f"The best coefficient at r{layer}", anchor=False)
    work.progress(BEST, "coefficients are tried")
    if found is None:
        return
    row = found.row()
    n = {name: float(str(value)) for name, value in row.items() if name != "metric"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.metric("Coefficient", f"{found.coefficient:.3g}".replace("-", "−"), width="content")
        st.metric(
            "Change",
            signed(n["change"]),
            help=f"± {n['spread']:.2f} over {n['n']:.0f} prompts; clean {signed(n['clean'])}",
            width="content",
        )
        st.metric("Passes its distractor", _share(n["moved"]), width="content",
                  help=f"clean {_share(n['clean_moved'])}; it comes first in "
                  f"{_share(n['first'])}, clean {_share(n['clean_first'])}")  # fmt: skip
        st.metric("KL", f"{n['kl']:.3f}", width="content", help="nats a token of neutral text")
        st.metric("Perplexity", f"{n['perplexity']:.2f}", width="content",
                  help=f"of neutral text; clean {n['clean_perplexity']:.2f}")  # fmt: skip
        st.metric("Left alone", _share(n["spared"]), width="content",
                  help="Letters and weekdays that are still right; clean "
                  f"{_share(n['clean_spared'])}")  # fmt: skip
        st.button(
            "Add it so",
            key="_add_best",
            on_click=steer_by,
            args=(found.change,),
            disabled=not (found.done and found.coefficient),
            type="primary",
            icon=":material/add:",
            help="It becomes a further change, on every page.",
        )
    figure(
        found.figure(),
        "best-coefficient",
        csv=as_csv(found.table()) if found.done else "",
        key="best_figure",
        python=_PYTHON.format(task=chosen.python, question=asked.to_python(pairs="task.pairs")),
    )
    if found.done and np.isfinite(n["random_change_mean"]):
        st.caption(
            plain(
                f"Random directions as long change it by {signed(n['random_change_mean'])} "
                f"({signed(n['random_change_least'])} to {signed(n['random_change_greatest'])}) at "
                f"that coefficient, at a KL of {n['random_kl_mean']:.3f}. The band is from the "
                "least of them to the greatest; the dashed lines are the KL allowed and the best."
            )
        )
