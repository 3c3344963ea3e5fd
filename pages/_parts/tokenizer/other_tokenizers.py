"""The prompt under other tokenizers, aligned by characters; SentencePiece beside Hugging Face."""

import streamlit as st

import engine
from pages._parts import components
from pages._parts.table import downloads, python_for
from pages._parts.text import plain, visible
from pages._parts.tokenizer.chips import block, chips, count, row
from pages._parts.tokenizer.fields import OTHERS

_MOST = 400
_MOST_NAMED = 20


def other_tokenizers(e: engine.Experiment) -> None:
    """A row a tokenizer; a block is a stretch that all of them begin and end with a token."""
    ss = st.session_state
    known = list(dict.fromkeys([e.model, *(model.name for model in engine.models())]))
    named = list(dict.fromkeys(filter(None, ss[OTHERS.name].split("\n")))) or known
    ss["tokenizers"] = named[:_MOST_NAMED]
    chosen = st.multiselect(
        "Tokenizers",
        list(dict.fromkeys([*known, *named])),
        key="tokenizers",
        max_selections=_MOST_NAMED,
        accept_new_options=True,
        on_change=_choose,
        help="Models that are bundled or loaded; type a directory that holds a tokenizer, or a "
        "hub name, to add one. No weights are loaded for it.",
    )
    if len(named) > _MOST_NAMED:
        st.warning(f"{len(named)} tokenizers are named, and the first {_MOST_NAMED} compared.")
    result = engine.compare_tokenizers(e.prompt, chosen, e.prepend_bos)
    _draw(
        "The prompt under each tokenizer",
        [
            row(name, _count(tokens), error=wrong)
            for name, tokens, wrong in zip(result.names, result.tokens, result.errors, strict=True)
        ],
        [
            block(
                visible(result.text[b.start : b.end]),
                [
                    chips(tokens, *span) if tokens is not None else []
                    for tokens, span in zip(result.tokens, b.spans, strict=True)
                ],
                not b.agree,
            )
            for b in result.blocks[:_MOST]
        ],
        len(result.blocks),
        "alignment",
    )
    question = f"compare_tokenizers({e.prompt!r}, {chosen!r}, {e.prepend_bos})"
    downloads(result.table(), "tokenizers", python_for(question))


def _choose() -> None:
    st.session_state[OTHERS.name] = "\n".join(st.session_state["tokenizers"])


def _count(tokens: engine.Tokens | None) -> str:
    if tokens is None:
        return ""
    return f"{count(len(tokens))}, BOS {'on' if tokens.bos else 'off'}"


def sentencepiece(e: engine.Experiment) -> None:
    """SentencePiece's own ids above those the model gets."""
    result = engine.compare_sentencepiece(e.model, e.prompt)
    if result is None:
        st.info(
            plain(f"{e.model} has no .model file of SentencePiece, so there is nothing to compare.")
        )
        return
    if result.agree:
        st.success(plain(f"SentencePiece ({result.file}) and Hugging Face give the same ids."))
    else:
        n = sum(not same for *_, same in result.blocks)
        st.warning(
            plain(
                f"SentencePiece ({result.file}) and Hugging Face disagree at {n} "
                f"place{'' if n == 1 else 's'}, marked below. The model here is given Hugging "
                "Face's ids; if it was trained on SentencePiece's, it reads another text than it "
                "learnt. A prompt that does not begin with a space, nor holds special tokens as "
                "text, usually mends it."
            ),
            icon=":material/warning:",
        )
    own, hf = (result.ids, result.pieces), (result.hf_ids, result.hf_pieces)
    _draw(
        "SentencePiece and Hugging Face",
        [
            row("SentencePiece", count(len(result.ids))),
            row("Hugging Face", count(len(result.hf_ids))),
        ],
        [
            block(
                "" if same else "≠",
                [
                    [[visible(pieces[i]), pieces[i], ids[i], False] for i in range(first, last)]
                    for (ids, pieces), first, last in ((own, a, b), (hf, c, d))
                ],
                not same,
            )
            for a, b, c, d, same in result.blocks[:_MOST]
        ],
        len(result.blocks),
        "sentencepiece",
    )
    question = f"compare_sentencepiece({e.model!r}, {e.prompt!r})"
    downloads(result.table(), "sentencepiece", python_for(question))


def _draw(label: str, rows: list, blocks: list, n: int, key: str) -> None:
    components.token_rows(
        {
            "label": label,
            "hint": "Coloured where they differ; hover a token for its raw piece.",
            "heads": [],
            "wrap": False,
            "rows": rows,
            "blocks": blocks,
        },
        key=key,
    )
    if n > _MOST:
        st.caption(f"The first {_MOST} of {n:,} stretches are drawn; the CSV holds all.")
