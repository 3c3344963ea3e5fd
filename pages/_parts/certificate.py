"""A model's mark in the sidebar: what was tried of it when it was loaded, with the figures."""

import streamlit as st

import engine
from pages._parts.text import plain

PLACES = {
    "resid_pre": "stream entering a layer, r9",
    "resid_mid": "stream before the MLP, r9.mid",
    "resid_post": "stream leaving a layer",
    "attn_out": "heads' output together",
    "mlp_out": "MLP's output, m9",
    "post": "neurons, n9.123",
    "q": "queries, 9.1.q",
    "k": "keys, 9.1.k",
    "v": "values, 9.1.v",
    "z": "heads, 9.1",
    "pattern": "attention, 9.1.pattern",
}
"""What each kind of place is, and how a site there is written."""
CHECKS = {
    "weights are numbers": "none is infinite or missing",
    "reads left to right": "a later token changes nothing before it",
    "clean runs": "a shared pass is the plain one",
    "alone and together": "rows of one pass do not touch",
    "rows join late": "they set out at their first change",
    "rows are read whole": "from the first layer on, as late ones differ",
    "parts of heads": "a head's q, k and v are its own",
    "between": "the block goes on from r9.mid",
    "adds up": "what is written is what the stream grows by",
    "along directions": "steered, or a feature moved, as by a plain hook",
    "into MLPs": "what a transcoder reads is what the MLP is given",
    "cached": "token by token as all at once",
    "block by block": "blocks called one at a time",
}
"""What each check is of."""
COSTS = {
    "parts of heads": "Changes of queries, keys and values are",
    "between": "Changes of the stream before the MLP are",
    "adds up": "Direct paths, and a lens of what heads or MLPs add alone, are",
    "along directions": "Steering, and changes of features, are",
    "into MLPs": "Transcoders are",
    "cached": "Generation is",
    "block by block": "Sweep and search are",
}
"""What is refused where a check fails."""


def certificate(result: engine.Certificate) -> None:
    """Draw the mark of a loaded model, which opens on the table behind it."""
    n = len(result.refused)
    with st.popover(
        f"certified, but for {n}" if n else "certified",
        icon=":material/rule:" if n else ":material/verified:",
        help=plain(f"{result.mark}."),
    ):
        st.markdown(
            "**Tried when it was loaded.** Each kind of place was set to random numbers at its "
            "first, middle and last layer, and compared with a plain hook on the model as "
            "Hugging Face runs it. Differences are shares of the size of what is compared."
        )
        for reason in _refused(result):
            st.warning(plain(reason))
        st.markdown(_table(_places(result)))
        st.markdown(_table(_checks(result)))
        st.caption(plain(_told(result)))


def _refused(result: engine.Certificate) -> list[str]:
    """What is refused, and why, in sentences."""
    notes = []
    for place in result.places:
        if not place.holds:
            what = PLACES.get(place.name, place.name).partition(",")[0]
            notes.append(f"Changes of the {what} are refused: {place.why.rstrip('.')}.")
    for check in result.checks:
        if not check.holds:
            what = COSTS.get(check.name, f"What needs “{check.name}” is")
            notes.append(f"{what} refused: {check.why.rstrip('.')}.")
    return notes


def _table(rows: list[dict[str, str]]) -> str:
    """Rows as Markdown, which is drawn only once the popover is open; a data frame is sent with
    every click."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(map(plain, row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _places(result: engine.Certificate) -> list[dict[str, str]]:
    return [
        {
            "place": PLACES.get(one.name, one.name),
            "layers": " ".join(map(str, one.layers)),
            "reads off by": _small(one.reads),
            "edits off by": _small(one.edits),
            "moves": f"{one.moves:.2g}",
            "": "✓" if one.holds else "refused",
        }
        for one in result.places
    ]


def _checks(result: engine.Certificate) -> list[dict[str, str]]:
    return [
        {
            "check": one.name,
            "of what": CHECKS.get(one.name, ""),
            "off by": _small(one.figure),
            "at most": _small(one.limit),
            "": "✓" if one.holds else "refused",
        }
        for one in result.checks
    ]


def _told(result: engine.Certificate) -> str:
    absent = [PLACES.get(name, name).partition(",")[0] for name in result.absent]
    versions = ", ".join(f"{name} {number}" for name, number in result.versions)
    return (
        (f"It has no {', no '.join(absent)}, or none that can be reached. " if absent else "")
        + f"{result.architecture} in {result.dtype}; attention {result.kernel}; {versions}; tried "
        f"in {result.seconds:.1f} s. In Python: engine.certificate({result.model!r}).table()"
    )


def _small(x: float) -> str:
    if x == 0:
        return "0"
    return "–" if x != x or x == float("inf") else f"{x:.0e}" if x < 0.01 else f"{x:.2g}"
