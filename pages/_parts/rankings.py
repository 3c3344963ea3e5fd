"""What comes next, clean and ablated, with its downloads and the Python that gives its numbers."""

import streamlit as st

import engine
from pages._parts import components, state
from pages._parts.comparison import comparison
from pages._parts.figure import python_of
from pages._parts.refusals import answered
from pages._parts.table import as_csv
from pages._parts.text import plain, visible

SHOWN = 10
_MOST_PROMPT = 300


def rankings(reading: state.Reading, at: str) -> None:
    """Draw the best tokens of both runs, `at` the answer or the prompt's end.

    Raises: EngineError.
    """
    ranked = answered(reading, lambda e: engine.next_token(e, k=SHOWN, at=at, view=state.view()))
    e, result = ranked.e, ranked.result
    downloads = {
        "name": "next-token",
        "title": title(e),
        "about": about(e),
        "csv": as_csv(result.table()),
    }
    components.rankings({**comparison(result, ranked.refused), **downloads}, key="rankings")
    for note in result.notes:
        st.caption(plain(note))
    python_of(rankings_python(e, at), "rankings")


def title(e: engine.Experiment) -> str:
    """What a download says above its drawing: the model, and the prompt or its end."""
    prompt = e.prompt if len(e.prompt) <= _MOST_PROMPT else f"…{e.prompt[-_MOST_PROMPT:]}"
    return f"{e.model} after “{visible(prompt).replace('␣', ' ')}”"


def about(e: engine.Experiment) -> str:
    """What is switched off or changed, how and where."""
    if not e.every_change:
        return "Nothing is ablated."
    where = "" if str(e.positions) == "all" else f", positions {e.positions}"
    short = [f"Ablated: {e.ablations} ({e.method}{where})"] if e.ablations else []
    further = [f"Changed: {'; '.join(map(str, e.changes))}"] if e.changes else []
    return ". ".join(short + further)


def rankings_python(e: engine.Experiment, at: str) -> str:
    """Code that prints the numbers above the rankings, clean and ablated, and then their CSV."""
    return f"""import csv
import sys

import switchboard as engine

e = {e.to_python()}
result = engine.next_token(e, k={SHOWN}, at={at!r})
print("logit difference", result.clean_logit_diff, result.ablated_logit_diff)
for each in filter(None, (result.answer, result.distractor)):
    print("probability of", repr(each.text), each.clean.prob, each.ablated.prob)
    print("rank of", repr(each.text), each.clean.rank, each.ablated.rank)
print("KL divergence", result.kl)

rows = csv.DictWriter(sys.stdout, list(result.table()[0]), lineterminator="\\n")
rows.writeheader()
rows.writerows(result.table())
"""
