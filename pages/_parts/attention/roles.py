"""What heads do on this prompt, as chips: how many of each, and a click that looks at them."""

import streamlit as st

import engine
from pages._parts.attention.fields import ROLE
from pages._parts.refusals import Answered

_CHIPS = "_roles"


def role_chips(answer: Answered[engine.AttentionOverview]) -> None:
    """A chip for each role that any head has in the run shown; of the difference, in either run.
    A click scores the grid by it and looks at those heads; in one run, whose highest scores they
    have, it outlines them too."""
    result, run = answer.result, answer.run
    clean, ablated = map(engine.head_roles, (result.clean_scores, result.ablated_scores))
    shown = {"clean": clean, "ablated": ablated}.get(
        run, {name: tuple(dict.fromkeys(clean[name] + ablated[name])) for name in clean}
    )
    there = {name: heads for name, heads in shown.items() if heads}
    if not there:
        return

    def written(name: str) -> str:
        before, after = len(clean[name]), len(ablated[name])
        n = f"{before} → {after}" if run == "difference" else len(there[name])
        return f"{name.replace('_', ' ')} {n}"

    st.pills(
        f"Heads that rest {engine.ROLE_SHARE:.0%} of their attention or more, on this prompt",
        list(there),
        format_func=written,
        key=_CHIPS,
        wrap=True,
        on_change=_look,
        args=(there, run != "difference"),
        help="\n\n".join(f"**{n.replace('_', ' ')}**: {engine.SCORES[n]}." for n in there),
    )


def _look(there: dict[str, tuple[engine.Head, ...]], outlined: bool) -> None:
    ss = st.session_state
    name = ss[_CHIPS]
    if name in there:
        ss["score"], ss["heads"] = name, engine.print_sites(there[name])
        if outlined:
            ss[ROLE] = (ss.get(ROLE, (0, 0))[0] + 1, len(there[name]))
    ss[_CHIPS] = None  # it can be clicked again
