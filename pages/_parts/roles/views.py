"""What heads do to words, as a page shows it: the question, the grid, the table, one head."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import work
from pages._parts.boxes import choice, whole, written
from pages._parts.figure import figure
from pages._parts.roles.fields import INPUTS, OUTPUTS, OWN, SAME
from pages._parts.table import Rows, as_csv, rounded, table_of_sites, ticked
from pages._parts.text import percent, plain, visible

KEY = "_roles"
"""Where a session keeps its scores."""
_TABLE = "role_heads"
_TAKEN_FOR = {"layer 0": "its stream behind layer 0", "embedding": "its embedding"}


def options(model: str) -> engine.ScoreOV:
    """Draw the widgets. Returns: what the engine is asked. Raises: EngineError."""
    ss = st.session_state
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox("Looking at", INPUTS.values, key="role_words", width=170)
        if ss["role_words"] == OWN:
            st.text_input(
                "Words, in order", key="own_words", width=300, help="With spaces between them."
            )
        st.selectbox("a head raises, of", OUTPUTS.values, key="role_outputs", width=170)
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
        choice(
            "A word is taken for",
            "taken_for",
            _TAKEN_FOR,
            help="Published scores take what layer 0 makes of the token behind nothing but the "
            "BOS, as most later heads see a word only behind that.",
        )
    words = tuple(written("own_words").split()) if ss["role_words"] == OWN else ss["role_words"]
    outputs = None if ss["role_outputs"] == SAME else engine.read_words(ss["role_outputs"])
    return engine.ScoreOV(
        model, engine.read_words(words), outputs, whole("top_tokens", "First"), ss["taken_for"]
    )


def places_on() -> int:
    """How many places on the word meant is. Raises: EngineError."""
    return whole("places_on", "Places on")


def ticked_sites(rows: Rows) -> list[engine.Site]:
    """The heads that are ticked in the table of these rows."""
    return ticked(_TABLE, [engine.parse_sites(str(row["site"]))[0] for row in rows])


def summary(result: engine.OVScores, rows: Rows, by: int) -> None:
    """The best head, what chance would give, and how many heads are above it."""
    above = result.above_chance(by)
    n, best = sum(float(str(row["score"])) >= above for row in rows), float(str(rows[0]["score"]))
    st.metric(f"Best head: {rows[0]['site']}", f"{best:.0%}", width="content")
    st.metric(
        "Heads above chance",
        f"{n} of {len(rows)}",
        help=f"With tokens raised at random a head has {percent(result.chance)} right, and "
        f"none of all reaches {above:.0%} but once in twenty times.",
        width="content",
    )


def heads(rows: Rows) -> None:
    """The heads, to be ticked."""
    shown: Rows = [
        {
            "site": row["site"],
            "score": f"{float(str(row['score'])):.0%}",
            "other words": f"{float(str(row['others'])):.0%}",
            "median rank": f"{float(str(row['rank'])):,.0f}",
            "copying": rounded(row["copying"]),
        }
        for row in rows
    ]
    table_of_sites(shown, _TABLE, height=min(330, 38 + 35 * len(shown)))


def one_head(result: engine.OVScores, rows: Rows, by: int) -> None:
    """What one head raises of each word: the one in the box, or the best. Raises: EngineError."""
    best = str(rows[0]["site"])
    st.text_input(
        "Head", key="role_head", placeholder=f"{best}: the best", width=220, help="As 9.1."
    )
    head = written("role_head") or best
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
    st.dataframe(shown, hide_index=True, height=min(420, 38 + 35 * len(shown)))
    st.caption(plain(f"{head}: {right} of {len(words)} right."))


def explanation(result: engine.OVScores, by: int) -> str:
    """What a score is, its chance, and what it does not show."""
    where = "what leaves layer 0" if result.embedding == "layer 0" else "its embedding"
    meant = {0: "the word itself, or at its place in the other list", 1: "the next word"}
    return (
        f"Share of {result.n(by)} words of which a head, looking at the word alone ({where}), has "
        f"{meant.get(by, f'the word {by:+} places on')} among the {result.k} tokens it raises "
        f"most: through its layer's norm, W_V, W_O, the final norm and the unembedding. By chance "
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


def progress() -> None:
    """How far it is, with a way to stop it; once it is over, how it ended."""
    work.progress(KEY, "layer by layer", refused=_refused)


def _refused(wrong: engine.EngineError) -> None:
    (st.info if isinstance(wrong, engine.NoWords) else st.error)(plain(wrong))
