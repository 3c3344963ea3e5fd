"""What a tokenizer really does to a prompt: every token, and what would change it."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import state
from pages._parts.boxes import choice
from pages._parts.layout import errors_shown
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.tokenizer.batch import batch
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
choice("View", "show", {name: title for name, (title, _) in VIEWS.items()}, bare=True)
show = st.session_state["show"]
if tokens is not None or show in WITHOUT_PROMPT:
    with errors_shown():
        VIEWS[show][1](e)
