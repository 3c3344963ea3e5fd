"""The patching as a page shows it: its widgets, the work beside the page, and what was found."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

import engine
from pages._parts import work
from pages._parts.boxes import choice
from pages._parts.figure import figure
from pages._parts.pairs_form import Chosen
from pages._parts.patching.fields import PATCH_SHOWS, PLACE
from pages._parts.patching.grid import aspect_of, cells_of
from pages._parts.table import Rows, as_csv, rounded, table_of_sites, ticked
from pages._parts.text import decimal, signed

KEY = "_patching"
"""Where a session keeps its patching."""
_TABLE, _MOST_ROWS = "patched_places", 100
_WAYS = {"denoise": "Denoise", "noise": "Noise"}
_WAY = (
    "**Denoise**: clean values into the corrupted run; what is enough to bring the answer back. "
    "**Noise**: corrupted values into the clean run; what it cannot do without."
)
_AT = {"whole": "everywhere", "position": "at each position"}


def options(e: engine.Experiment, chosen: Chosen) -> engine.Patch:
    """Draw the widgets. Returns: what the engine is asked."""
    ss = st.session_state
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "Patched, one by one",
            PLACE.values,
            key="place",
            format_func=lambda place: f"{place}: {engine.PATCH_PLACES[place]}",
            width=280,
        )
        choice("Way", "way", _WAYS, help=_WAY)
        if ss["place"] in engine.HEAD_PLACES:
            choice("Each is patched", "patched_at", _AT)
        st.selectbox(
            "Show",
            PATCH_SHOWS.values,
            key="patch_shows",
            format_func=engine.PATCH_ASPECTS.__getitem__,
            width=200,
        )
    own = replace(e.clean, positions=e.positions, prompt="", corrupted="", answer="", distractor="")
    whole = ss["patched_at"] != "position"
    return engine.Patch(own, chosen.task.pairs, ss["place"], ss["way"], not whole, estimate=True)


def progress(result: engine.PatchResult | None) -> None:
    """How far it is, with a way to stop it; once it is over, how it ended."""
    told = None if result is None else (result.n_done, result.n_places, result.seconds_left)
    work.exact(KEY, told)


def summary(result: engine.PatchResult) -> None:
    """The two runs, and how far the estimate can be trusted."""
    name, n = engine.METRIC_NAMES[result.metric], len(result.pairs)
    over = f"Mean of {n:,} prompts" if n > 1 else "This prompt"
    with st.container(horizontal=True):
        for run in ("clean", "corrupted"):
            st.metric(
                f"{run.capitalize()} {name}", signed(result.run(run)), help=over, width="content"
            )
        if result.estimate is not None and result.agreement == result.agreement:
            st.metric(
                "Estimate against exact, r",
                decimal(result.agreement),
                help="Pearson's correlation over the places that differ. The estimate is first "
                "order: attribution patching.",
                width="content",
            )


def greatest(result: engine.PatchResult) -> Rows:
    """The rows of the places with the greatest numbers, of those known."""
    aspect = aspect_of(result)
    return [row for row in result.table(by=aspect, most=_MOST_ROWS) if row[aspect] != ""]


def ticked_cells(result: engine.PatchResult, rows: Rows, n_layers: int) -> list[int]:
    """The grid's cells of the rows that are ticked in the table of these."""
    cells = cells_of(result, n_layers)
    each = [
        cells.index(int(str(row["layer"])), int(str(row["head"] or 0)), _position(row))
        for row in rows
    ]
    return [cell for cell in ticked(_TABLE, each) if cell is not None]


def _position(row: dict[str, object]) -> int | None:
    return int(str(row["position"])) if "position" in row else None


def places(result: engine.PatchResult, rows: Rows) -> None:
    """The places with the greatest numbers, to be ticked."""
    shown: Rows = []
    for row in rows:
        line: dict[str, object] = {"site": row["site"]}
        if "position" in row:
            tokens = dict.fromkeys((str(row["clean"]), str(row["corrupted"])))
            line["at"] = f"{row['position']} {' → '.join(tokens)}"
        line |= {name: rounded(row[name]) for name in ("share", "spread", "change")}
        if "estimate" in row:
            line["estimate"] = rounded(row["estimate"])
        shown.append(line)
    if shown:
        table_of_sites(shown, _TABLE, height=min(420, 38 + 35 * len(shown)))


def explanation(result: engine.PatchResult) -> str:
    """What the numbers are: sign, runs, how many prompts, what they do not show."""
    name, n = engine.METRIC_NAMES[result.metric], len(result.pairs)
    base, donor = result.run("base"), result.run("donor")
    whole = "brings all of it back" if donor > base else "loses all of it"
    text = (
        f"Each alone, {engine.PATCH_DIRECTIONS[result.direction]}: the share of the {name}'s way "
        f"from {signed(base)} to {signed(donor)}; 0 changes nothing, 1 {whole}, and blue is better "
        f"for the answer. {f'Mean of {n:,} prompts' if n > 1 else 'One prompt'}."
    )
    if result.positions is not None and result.place in engine.HEAD_PLACES:
        text += " The grid has each head at the position where it changes most."
    if guesses := result.n_places - result.n_done:
        text += f" {guesses:,} of {result.n_places:,} are not exact yet; hatched is an estimate."
    if same := int((~result.unlike[:, list(result.layers)]).sum()):
        text += f" {same:,} of {result.n_places:,} hold the same in both runs: nothing to patch."
    if abs(donor - base) < 1e-6:
        text += " Both runs score alike, so there is no share: look at the change."
    return f"{text} It shows that a place matters, not by which way it acts: Circuits, Edges does."


def picture(result: engine.PatchResult, question: engine.Patch, chosen: Chosen) -> None:
    """The patching as a figure with its downloads."""
    figure(
        result.figure(aspect_of(result)),
        "patching",
        csv=as_csv(result.table()),
        python=f"import switchboard as engine\n\n{chosen.python}\n"
        f"result = {question.to_python(pairs='task.pairs')}\n"
        "for row in result.table():\n    print(row)\n",
        key="patching_figure",
    )
