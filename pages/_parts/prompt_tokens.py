"""The prompt as the tokens the model sees, with the positions an ablation acts at."""

import streamlit as st

import engine
from pages._parts import components
from pages._parts.text import plain, token_text

_STRIP = "token_strip"
_FIRST, _LAST = 700, 300


def prompt_tokens(e: engine.Experiment) -> engine.Tokens | None:
    """Draw the prompt's tokens; a click chooses positions. Warnings follow in words.

    Returns: the tokens; None where the prompt cannot be read, which is said there, as is that it is
    empty. Positions that are not there are told where something acts at them.
    """
    try:
        tokens = engine.tokenize(e.model, e.prompt, e.prepend_bos)
    except engine.EngineError as wrong:
        st.error(plain(wrong))
        return None
    n = len(tokens)
    if not n:
        st.info("The prompt is empty: type something, or switch BOS on.")
        return tokens
    shown = [at for at in range(n) if at < _FIRST or at >= n - _LAST]
    try:
        acts_at = set(e.positions.at(n, n))
    except engine.EngineError:
        acts_at = set()
    components.token_strip(
        {
            "tokens": [
                [
                    at,
                    token_text(tokens.texts[at], tokens.pieces[at]),
                    tokens.pieces[at],
                    tokens.ids[at],
                    tokens.bos and at == 0,
                ]
                for at in shown
            ],
            "positions": [at for at in shown if at in acts_at],
            "hint": f"{n} tokens; hover for ids, click to choose where the ablation acts "
            f"(now: {e.positions}).",
        },
        key=_STRIP,
        on_clicked=lambda: _on_clicked(n),
    )
    for warning in tokens.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    return tokens


def _on_clicked(n: int) -> None:
    clicked = st.session_state[_STRIP]["clicked"]
    try:
        positions = engine.Positions.parse(st.session_state["positions"])
        acts_at = set(positions.at(n, n)) if positions.which == "indices" else set()
    except engine.EngineError:  # what was written there fits no more
        acts_at = set()
    chosen = acts_at ^ {clicked}
    which = engine.Positions("indices", tuple(sorted(chosen)))
    st.session_state["positions"] = str(which) if 0 < len(chosen) < n else "all"
