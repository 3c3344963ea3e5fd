"""What heads write of words: copies, the next one, its name in another list, from the weights."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice, whole
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.roles import words_form
from pages._parts.roles.fields import OUTPUTS, OWN, SAME
from pages._parts.roles.views import beside_grid, head_box, heads_table, metrics, progress
from pages._parts.table import Rows, as_csv, rounded, show_rows
from pages._parts.text import percent, plain, signed, visible
from pages._parts.together import together

KEY = "_roles_writes"
"""Where a session keeps its scores."""
_PUBLISHED = "_published"
_READ_IN = {
    "alone": "alone",
    "in fours": "in each four in succession",
    "in sequence": "among all words",
}
_COUNTS_AS = {"after a space": "the token after a space", "either": "with or without the space"}


def writes(reading: state.Reading) -> None:
    """The whole view."""
    e, question, result, by = reading.experiment, None, None, 1
    rows: Rows = []
    with errors_shown():
        question = options(e.model)
        by = places_on()
        result = work.ask(KEY, question).result
        rows = result.table(by) if result is not None else []
    tint = result.grid(by) if rows and result is not None else None
    with beside_grid(reading, tint, rows, "writes"):
        if question is not None:
            progress(KEY)
        with st.container(horizontal=True):
            if rows and result is not None:
                metrics(rows, result.above_chance(by), result.chance)
            if not reading.errors:
                with errors_shown():
                    together(reading, clean_too=True)
        if rows and result is not None and question is not None:
            _reported(result, question, by)
            _heads(rows)
            with errors_shown():
                one_head(result, head_box(str(rows[0]["site"])), by)
            st.caption(plain(explanation(result, by)))
    if rows and result is not None and result.done and question is not None:
        picture(result, question, by)


def options(model: str) -> engine.ScoreOV:
    """Draw the widgets. Returns: what the engine is asked. Raises: EngineError."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        words_form.inputs("Looking at")
        words_form.outputs("a head raises, of")
        st.text_input(
            "so many places on",
            key="places_on",
            width=130,
            help="0: the word itself, or the one at its place in the other list (copying, "
            "translating); 1: the next (a successor head); −1: the one before.",
        )
        st.text_input(
            "among its first",
            key="top_tokens",
            width=110,
            help="A word is right if it is among so many of the tokens that the head raises most.",
        )
        with st.popover("Read and counted", icon=":material/tune:"):
            words_form.taken_for()
            choice(
                "A word is read",
                "read_in",
                _READ_IN,
                help="Alone: behind nothing but the BOS. In each four: in prompts of four words in "
                "succession, at each of its places. Among all: in one prompt of all words.",
            )
            choice("A word that is raised counts as", "counts_as", _COUNTS_AS)
        st.pills(
            "Published settings",
            [one.name for one in engine.PUBLISHED],
            key=_PUBLISHED,
            wrap=True,
            on_change=_take_published,
            help="Sets everything as Lan, Torr & Barez 2023 have it in their code, and puts what "
            "they report of GPT-2-small beside what this model has.",
        )
    return asked(model)


def asked(model: str) -> engine.ScoreOV:
    """What the widgets ask, wherever they are drawn. Raises: EngineError."""
    ss, (inputs, outputs) = st.session_state, words_form.chosen()
    k = whole("top_tokens", "First")
    return engine.ScoreOV(
        model, inputs, outputs, k, ss["taken_for"], ss["read_in"], ss["counts_as"]
    )


def places_on() -> int:
    """How many places on the word meant is. Raises: EngineError."""
    return whole("places_on", "Places on")


def _take_published() -> None:
    ss = st.session_state
    one = next((one for one in engine.PUBLISHED if one.name == ss[_PUBLISHED]), None)
    ss[_PUBLISHED] = None  # it can be clicked again
    if one is None:
        return
    names = {words: name for name, words in engine.WORD_LISTS.items()}
    question = one.question()
    ss["role_words"] = names.get(one.inputs, OWN)
    ss["own_words"] = " ".join(one.inputs)
    ss["role_outputs"] = SAME if one.outputs is None else names.get(one.outputs, OUTPUTS.default)
    ss["places_on"], ss["top_tokens"] = str(one.by), str(question.k)
    ss["taken_for"], ss["read_in"] = question.embedding, question.context
    ss["counts_as"] = question.spelling


def _reported(result: engine.OVScores, question: engine.ScoreOV, by: int) -> None:
    """What was reported of GPT-2-small by these settings, where they are some."""
    for one in engine.PUBLISHED:
        if one.by != by or one.question(question.model) != question:
            continue
        shown: Rows = [
            {
                "site": row["site"],
                "reported of gpt2": f"{float(str(row['reported'])):.1%}",
                f"here ({question.model})": "no such head"
                if row["found"] != row["found"]
                else f"{float(str(row['found'])):.1%}",
                "n": row["n"],
            }
            for row in one.beside(result)
        ]
        show_rows(shown)
        st.caption(plain(f"{one.name}: {one.source}, of GPT-2-small's own weights."))


def _heads(rows: Rows) -> None:
    shown: Rows = [
        {
            "site": row["site"],
            "score": f"{float(str(row['score'])):.0%}",
            "other words": f"{float(str(row['others'])):.0%}",
            "median rank": f"{float(str(row['rank'])):,.0f}",
            "copying": rounded(row["copying"]) if row["copying"] == row["copying"] else None,
        }
        for row in rows
    ]
    heads_table(shown, "writes")


def one_head(result: engine.OVScores, head: str, by: int) -> None:
    """What one head raises of each word. Raises: EngineError."""
    words = result.words(head, by)
    right = sum(bool(row["right"]) for row in words)
    shown: Rows = [
        {
            "looking at": row["input"],
            "meant": row["meant"],
            "right": "✓" if row["right"] else "",
            "rank": row["rank"],
            f"{head} raises": "  ".join(
                visible(str(value)) for name, value in row.items() if name.startswith("token")
            ),
        }
        for row in words
    ]
    show_rows(shown)
    st.caption(plain(f"{head}: {right} of {len(words)} right."))


def explanation(result: engine.OVScores, by: int) -> str:
    """What a score is, its chance, and what it does not show."""
    where = "what leaves layer 0" if result.embedding == "layer 0" else "its embedding"
    read = "" if result.context == "alone" else f", read {_READ_IN[result.context]}"
    meant = {0: "the word itself, or at its place in the other list", 1: "the next word"}.get(
        by, f"the word {signed(by, 0)} places on"
    )
    return (
        f"Share of {result.n(by)} words of which a head, looking at the word alone ({where}{read}),"
        f" has {meant} among the {result.k} tokens it raises most: through its layer's norm, W_V, "
        "W_O, the final norm and the unembedding. By chance "
        f"{percent(result.chance)}; from {result.above_chance(by):.0%} on above it. Other words: "
        "the share of all other words of the list that it raises so, which a head has that raises "
        "any of them. Copying: −1 to 1, the eigenvalues of its map from embeddings to logits, 1 "
        "raises each token itself. Of the weights alone: not whether it ever looks at such a "
        f"word, nor what becomes of what it writes. {' '.join(result.notes)}"
    )


def picture(result: engine.OVScores, question: engine.ScoreOV, by: int) -> None:
    """The scores as a figure with their downloads."""
    figure(
        result.figure(by),
        "roles",
        csv=as_csv(result.table(by)),
        python=f"import switchboard as engine\n\nresult = {question.to_python()}\n"
        f"for row in result.table(by={by}):\n    print(row)\n",
        key="roles_figure",
    )
