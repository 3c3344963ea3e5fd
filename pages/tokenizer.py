"""What a tokenizer really does to a prompt: every token, and what would change it."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

import engine
from pages._parts import state
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.text import plain
from pages._parts.tokenizer.batch import batch
from pages._parts.tokenizer.fields import SHOW
from pages._parts.tokenizer.joined_answer import joined_answer
from pages._parts.tokenizer.lossless import lossless
from pages._parts.tokenizer.number_picture import number_picture
from pages._parts.tokenizer.other_tokenizers import other_tokenizers, sentencepiece
from pages._parts.tokenizer.twins import twins

VIEWS = {
    "tokens": ("Tokens", lossless),
    "twins": ("Twins", twins),
    "tokenizers": ("Other tokenizers", other_tokenizers),
    "sentencepiece": ("SentencePiece", sentencepiece),
    "numbers": ("Numbers", number_picture),
    "answer": ("With the answer", joined_answer),
    "batch": ("Many prompts", batch),
}

WITHOUT_PROMPT = ("numbers", "batch")

e = state.read().experiment
tokens = prompt_tokens(e)
st.segmented_control(
    "View",
    SHOW.values,
    key="show",
    format_func=lambda name: VIEWS[name][0],
    required=True,
    label_visibility="collapsed",
)
show = st.session_state["show"]
if tokens is not None or show in WITHOUT_PROMPT:
    try:
        VIEWS[show][1](e)
    except engine.EngineError as wrong:
        st.error(plain(wrong))
