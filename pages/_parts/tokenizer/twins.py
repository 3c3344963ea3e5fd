"""The prompt beside prompts that differ by a trifle, with what would come next after each."""

import streamlit as st

import engine
from pages._parts import components, state
from pages._parts.table import downloads, python_for
from pages._parts.text import percent, plain, token_text, visible
from pages._parts.tokenizer.chips import block, chips, clipped, count, row


def twins(e: engine.Experiment) -> None:
    """A row a twin: next tokens, the answer's probability, and the tokens."""
    ablated = f" Ablated: {e.ablations}, {e.method}." if e.ablations else ""
    ablated += f" Changed: {'; '.join(map(str, e.changes))}." if e.changes else ""
    st.caption(plain(f"What a space, a line end or BOS would change right after.{ablated}"))
    result = engine.twins(e, view=state.view())
    runs = ("clean", "ablated") if e.every_change else ("clean",)
    heads = [f"Next token, {run}" for run in runs]
    if e.answer:
        heads += [f"P({visible(e.answer[:20])}), {run}" for run in runs]
    components.token_rows(
        {
            "label": "The prompt and its twins",
            "hint": "Hover a token for its raw piece.",
            "heads": heads,
            "wrap": True,
            "rows": [
                row(
                    t.name,
                    f"{count(len(t.tokens))}, BOS {'on' if t.bos else 'off'}",
                    _facts(t.next, runs, bool(e.answer)) if t.next else [],
                    t.error,
                )
                for t in result.twins
            ],
            "blocks": [block("tokens", [clipped(chips(t.tokens)) for t in result.twins])],
        },
        key="twins",
    )
    downloads(result.table(), "twins", python_for(f"twins({e.to_python()})"))


def _facts(result: engine.NextToken, runs: tuple[str, ...], answer: bool) -> list:
    facts: list = []
    for run in runs:
        best = getattr(result, run)
        facts.append(
            [
                (token_text(text, piece), percent(float(prob)))
                for text, piece, prob in zip(best.texts, best.tokens, best.probs, strict=True)
            ]
        )
    for run in runs if answer else ():
        score = result.answer
        lines = [("", percent(getattr(score, run).prob))] if score else [("", "not scored")]
        if score and score.retokenizes:
            lines.append(("", "would re-tokenize"))
        facts.append(lines)
    return facts
