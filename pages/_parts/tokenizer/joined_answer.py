"""Whether writing the answer right after the prompt would change the prompt's own tokens."""

import streamlit as st

import engine
from pages._parts import components
from pages._parts.table import downloads, python_for
from pages._parts.text import plain, visible
from pages._parts.tokenizer.chips import block, chips, clipped, count, row


def joined_answer(e: engine.Experiment) -> None:
    """The same question of the answer and of the distractor."""
    question = [(name, text) for name, text in (("answer", e.answer), ("distractor", e.distractor))
             if text]  # fmt: skip
    if not question:
        st.info("Type an answer beside the prompt to see what it would do to the prompt's tokens.")
    for name, text in question:
        _joined(e, name, text)


def _joined(e: engine.Experiment, name: str, text: str) -> None:
    result = engine.would_change(e.model, e.prompt, text, e.prepend_bos)
    written = f"the {name} “{visible(text[:40])}”"
    if result.changes:
        lost = len(result.prompt) - result.kept
        st.warning(
            plain(
                f"Yes: writing {written} changes the last {'token' if lost == 1 else count(lost)} "
                "of the prompt. Texts are cut together, so the model has hardly ever seen this "
                "prompt followed by it, and what it says of it tells little. Take the space or "
                "line end from the prompt's end and put it in front."
            ),
            icon=":material/warning:",
        )
    else:
        st.success(plain(f"No: writing {written} leaves every token of the prompt as it is."))
    both, kept = (result.prompt, result.joined), result.kept
    components.token_rows(
        {
            "label": f"The prompt with its {name}",
            "hint": "Marked are the tokens that are not the same; hover one for its raw piece.",
            "heads": [],
            "wrap": False,
            "rows": [
                row("Prompt", count(len(result.prompt))),
                row(f"Prompt and {name}", count(len(result.joined))),
            ],
            "blocks": [
                block("the same", [clipped(chips(t, 0, kept)) for t in both]),
                block(
                    "changed and added" if result.changes else "added",
                    [clipped(chips(t, kept, odd_from=kept)) for t in both],
                    result.changes,
                ),
            ],
        },
        key=f"joined_{name}",
    )
    ids = ", ".join(map(str, result.answer_ids))
    st.caption(plain(f"In place it is {' '.join(result.answer_pieces)} (ids {ids})."))
    call = f"would_change({e.model!r}, {e.prompt!r}, {text!r}, {e.prepend_bos})"
    downloads(result.table(), f"prompt_and_{name}", python_for(call))
